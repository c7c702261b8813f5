//! Reads the structs of k8s-openapi: JSON names, which fields are required, and which kinds are resources.
//!
//! The JSON names are the match arms of the generated `Deserialize`: `"podIP" => Field::Key_pod_ip`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use syn::visit::{self, Visit};
use syn::{Arm, Expr, Fields, GenericArgument, ImplItem, Item, ItemImpl, Lit, Pat, PathArguments, Type};

use super::{Kind, Many, normal, protos};

/// Stands for all list kinds; has no protobuf message of its own.
const GENERIC_LIST: &str = "io.k8s.List";

/// One definition of the `OpenAPI` document.
#[derive(Debug, Default)]
pub(crate) struct Definition {
    pub(crate) fields: Vec<Field>,
    /// Its JSON is not an object with these fields: a quantity, a time, any JSON.
    pub(crate) opaque: bool,
    pub(crate) resource: Option<Resource>,
}

/// One property.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) json: String,
    rust: String,
    pub(crate) kind: Kind,
    pub(crate) many: Many,
    pub(crate) required: bool,
}

/// Where a root kind is served.
#[derive(Debug, Default)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) plural: String,
    pub(crate) scope: &'static str,
}

impl Definition {
    /// By a name in any spelling.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let name = normal(name);
        let by_rust = self.fields.iter().find(|field| normal(&field.rust) == name);
        by_rust.or_else(|| self.fields.iter().find(|field| normal(&field.json) == name))
    }
}

/// All definitions by full name.
#[derive(Debug, Default)]
pub(crate) struct Definitions {
    by_name: BTreeMap<String, Definition>,
    spelling: BTreeMap<String, String>,
}

impl Definitions {
    pub(crate) fn get(&self, name: &str) -> Option<&Definition> {
        self.by_name.get(name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// The name as Kubernetes spells it, for a name in any case.
    pub(crate) fn spelling<'a>(&'a self, name: &'a str) -> &'a str {
        self.spelling.get(&name.to_ascii_lowercase()).map_or(name, String::as_str)
    }
}

/// Reads all files below the folder of one Kubernetes version.
pub(crate) fn read(src: &Path) -> Result<Definitions> {
    let mut definitions = Definitions::default();
    directory(src, &mut definitions)?;
    if definitions.by_name.is_empty() {
        bail!("no definitions below {}", src.display());
    }
    Ok(definitions)
}

fn directory(path: &Path, definitions: &mut Definitions) -> Result<()> {
    for entry in std::fs::read_dir(path).with_context(|| format!("list {}", path.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            directory(&entry.path(), definitions)?;
            continue;
        }
        let text = std::fs::read_to_string(entry.path())?;
        let Some(name) =
            text.lines().next().and_then(|line| line.strip_prefix("// Generated from definition "))
        else {
            continue;
        };
        if name == GENERIC_LIST {
            continue;
        }
        let file = syn::parse_file(&text).with_context(|| format!("parse {}", entry.path().display()))?;
        let definition = definition(name, &file).with_context(|| name.to_owned())?;
        definitions.spelling.insert(name.to_ascii_lowercase(), name.to_owned());
        definitions.by_name.insert(name.to_owned(), definition);
    }
    Ok(())
}

fn definition(full: &str, file: &syn::File) -> Result<Definition> {
    let name = full.rsplit('.').next().unwrap_or(full);
    let mut definition = Definition::default();
    let mut keys = Keys::default();
    keys.visit_file(file);
    for item in &file.items {
        match item {
            Item::Struct(item) if item.ident == name => match &item.fields {
                Fields::Named(fields) => {
                    for field in &fields.named {
                        let rust = field.ident.as_ref().context("a named field")?.to_string();
                        let json = keys.0.get(&rust).with_context(|| format!("no key for {rust}"))?.clone();
                        let (kind, many, required) = kind(&field.ty, true).with_context(|| rust.clone())?;
                        definition.fields.push(Field { json, rust, kind, many, required });
                    }
                }
                _ => definition.opaque = true,
            },
            Item::Enum(item) if item.ident == name => definition.opaque = true,
            Item::Impl(item) if implements(item, "Resource") => definition.resource = Some(resource(item)),
            _ => {}
        }
    }
    if definition.resource.is_some() && !definition.opaque {
        for rust in ["api_version", "kind"] {
            if let (Some(json), false) =
                (keys.0.get(rust), definition.fields.iter().any(|field| field.rust == rust))
            {
                let (kind, many) = (Kind::Scalar("string"), Many::One);
                definition.fields.push(Field {
                    json: json.clone(),
                    rust: rust.to_owned(),
                    kind,
                    many,
                    required: false,
                });
            }
        }
    }
    Ok(definition)
}

/// Rust name to JSON name.
#[derive(Default)]
struct Keys(BTreeMap<String, String>);

impl<'ast> Visit<'ast> for Keys {
    fn visit_arm(&mut self, arm: &'ast Arm) {
        if let (Pat::Lit(pattern), Expr::Path(body)) = (&arm.pat, arm.body.as_ref())
            && let (Lit::Str(json), Some(last)) = (&pattern.lit, body.path.segments.last())
            && let Some(rust) = last.ident.to_string().strip_prefix("Key_")
        {
            self.0.insert(rust.to_owned(), json.value());
        }
        visit::visit_arm(self, arm);
    }
}

/// Kind, cardinality and whether the field is required (not an `Option`).
fn kind(ty: &Type, required: bool) -> Result<(Kind, Many, bool)> {
    let Type::Path(path) = ty else { bail!("not a path type") };
    let last = path.path.segments.last().context("an empty path")?;
    let name = last.ident.to_string();
    let inner = || -> Result<&Type> {
        let PathArguments::AngleBracketed(arguments) = &last.arguments else { bail!("no generic argument") };
        let types = arguments.args.iter().rev().find_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        });
        types.context("no generic argument")
    };
    Ok(match name.as_str() {
        "Option" => {
            let (kind, many, _) = kind(inner()?, false)?;
            (kind, many, false)
        }
        "Box" => kind(inner()?, required)?,
        "Vec" => (kind(inner()?, false)?.0, Many::List, required),
        "BTreeMap" => (kind(inner()?, false)?.0, Many::Map, required),
        "String" => (Kind::Scalar("string"), Many::One, required),
        "i32" => (Kind::Scalar("int32"), Many::One, required),
        "i64" => (Kind::Scalar("int64"), Many::One, required),
        "bool" => (Kind::Scalar("bool"), Many::One, required),
        "f64" => (Kind::Scalar("double"), Many::One, required),
        "ByteString" => (Kind::Scalar("bytes"), Many::One, required),
        _ => {
            let module: Vec<String> = path.path.segments.iter().map(|part| part.ident.to_string()).collect();
            let [first, module @ .., _] = module.as_slice() else { bail!("{name}: not a full path") };
            if first != "crate" {
                bail!("{name}: not a path of the crate");
            }
            (Kind::Message(protos::full_name(module, &name)), Many::One, required)
        }
    })
}

fn implements(item: &ItemImpl, name: &str) -> bool {
    let path = item.trait_.as_ref().map(|(_, path, _)| path);
    path.and_then(|path| path.segments.last()).is_some_and(|last| last.ident == name)
}

fn resource(item: &ItemImpl) -> Resource {
    let mut resource = Resource::default();
    for item in &item.items {
        match item {
            ImplItem::Const(constant) => {
                let Expr::Lit(literal) = &constant.expr else { continue };
                let Lit::Str(text) = &literal.lit else { continue };
                match constant.ident.to_string().as_str() {
                    "GROUP" => resource.group = text.value(),
                    "VERSION" => resource.version = text.value(),
                    "KIND" => resource.kind = text.value(),
                    "URL_PATH_SEGMENT" => resource.plural = text.value(),
                    _ => {}
                }
            }
            ImplItem::Type(scope) => {
                let Type::Path(path) = &scope.ty else { continue };
                let name = path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
                resource.scope = match name.as_str() {
                    "NamespaceResourceScope" => "N",
                    "ClusterResourceScope" => "C",
                    _ => "S",
                };
            }
            _ => {}
        }
    }
    resource
}
