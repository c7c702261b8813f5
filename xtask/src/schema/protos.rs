//! Reads the prost structs of k8s-pb: tags, wire kinds, and the markers in their doc comments.
//!
//! Understands what prost-build writes and nothing more; anything else is an error that names the field.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use syn::{Attribute, Expr, GenericArgument, Item, ItemStruct, Lit, Meta, PathArguments, Type};

use super::{Kind, Many, Markers};

/// One prost struct.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) fields: Vec<Field>,
    pub(crate) markers: Markers,
}

/// One prost field.
#[derive(Debug)]
pub(crate) struct Field {
    /// Rust name without `r#`.
    pub(crate) name: String,
    pub(crate) tag: u32,
    pub(crate) kind: Kind,
    pub(crate) many: Many,
    pub(crate) markers: Markers,
}

/// All messages; names are looked up without regard to case, because prost spells `Json` what Go spells `JSON`.
#[derive(Debug, Default)]
pub(crate) struct Messages(BTreeMap<String, Message>);

impl Messages {
    pub(crate) fn get(&self, name: &str) -> Option<&Message> {
        self.0.get(&name.to_ascii_lowercase())
    }
}

/// Reads every `mod.rs` below `src`.
pub(crate) fn read(src: &Path) -> Result<Messages> {
    let mut messages = Messages::default();
    directory(src, &mut Vec::new(), &mut messages)?;
    Ok(messages)
}

fn directory(path: &Path, module: &mut Vec<String>, messages: &mut Messages) -> Result<()> {
    for entry in std::fs::read_dir(path).with_context(|| format!("list {}", path.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            module.push(name);
            directory(&entry.path(), module, messages)?;
            module.pop();
        } else if name == "mod.rs" {
            let text = std::fs::read_to_string(entry.path())?;
            let file = syn::parse_file(&text).with_context(|| format!("parse {}", entry.path().display()))?;
            for item in &file.items {
                if let Item::Struct(item) = item {
                    let name = full_name(module, &item.ident.to_string());
                    let message = message(item, module).with_context(|| name.clone())?;
                    messages.0.insert(name.to_ascii_lowercase(), message);
                }
            }
        }
    }
    Ok(())
}

/// `["api", "core", "v1"]` and `Pod` to `io.k8s.api.core.v1.Pod`.
pub(crate) fn full_name(module: &[String], name: &str) -> String {
    let module: Vec<&str> = module
        .iter()
        .map(|part| match part.as_str() {
            "apiextensions_apiserver" => "apiextensions-apiserver",
            "kube_aggregator" => "kube-aggregator",
            other => other,
        })
        .collect();
    format!("io.k8s.{}.{name}", module.join("."))
}

fn message(item: &ItemStruct, module: &[String]) -> Result<Message> {
    let mut fields = Vec::new();
    for field in &item.fields {
        let Some(ident) = &field.ident else { bail!("a tuple struct") };
        let name = ident.to_string().trim_start_matches("r#").to_owned();
        let (scalar, many, tag) = prost(&field.attrs).with_context(|| name.clone())?;
        let kind = match scalar {
            Some(scalar) => Kind::Scalar(scalar),
            None => Kind::Message(target(&field.ty, module).with_context(|| name.clone())?),
        };
        fields.push(Field { name, tag, kind, many, markers: markers(&field.attrs) });
    }
    Ok(Message { fields, markers: markers(&item.attrs) })
}

/// Reads `#[prost(string, repeated, tag = "3")]`; `None` for a message.
fn prost(attributes: &[Attribute]) -> Result<(Option<&'static str>, Many, u32)> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("prost"));
    let Meta::List(list) = &attribute.context("no prost attribute")?.meta else {
        bail!("odd prost attribute")
    };
    let text = list.tokens.to_string();
    let tag = text.split("tag = \"").nth(1).and_then(|rest| rest.split('"').next());
    let tag = tag.context("no tag")?.parse().context("tag")?;
    let (many, wire) = match text.split_once("btree_map = \"string, ") {
        Some((_, rest)) => (Many::Map, rest.split('"').next().unwrap_or_default()),
        None if text.contains("repeated") => (Many::List, text.split(',').next().unwrap_or_default()),
        None => (Many::One, text.split(',').next().unwrap_or_default()),
    };
    let scalar = match wire.split_whitespace().next().unwrap_or_default() {
        "string" => Some("string"),
        "int32" => Some("int32"),
        "int64" => Some("int64"),
        "bool" => Some("bool"),
        "double" => Some("double"),
        "bytes" => Some("bytes"),
        "message" => None,
        other => bail!("wire kind {other:?} is not handled"),
    };
    Ok((scalar, many, tag))
}

/// The message type inside `Option`, `Box`, `Vec` or a map.
fn target(ty: &Type, module: &[String]) -> Result<String> {
    let Type::Path(path) = ty else { bail!("not a path type") };
    let segments: Vec<&syn::PathSegment> = path.path.segments.iter().collect();
    let last = segments.last().context("an empty path")?;
    if let PathArguments::AngleBracketed(arguments) = &last.arguments {
        let inner = arguments.args.iter().rev().find_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        });
        return target(inner.context("no generic argument")?, module);
    }
    let mut absolute = module.to_vec();
    for segment in &segments[..segments.len() - 1] {
        let name = segment.ident.to_string();
        if name == "super" {
            absolute.pop();
        } else {
            absolute.push(name);
        }
    }
    Ok(full_name(&absolute, &last.ident.to_string()))
}

/// The marker comments `+name=value` that the table keeps.
fn markers(attributes: &[Attribute]) -> Markers {
    const KEPT: [&str; 6] =
        ["listType", "listMapKey", "patchMergeKey", "patchStrategy", "mapType", "structType"];
    let mut markers = Markers::new();
    for attribute in attributes {
        let Meta::NameValue(pair) = &attribute.meta else { continue };
        let Expr::Lit(literal) = &pair.value else { continue };
        let (true, Lit::Str(text)) = (pair.path.is_ident("doc"), &literal.lit) else { continue };
        let text = text.value();
        let Some((name, value)) = text.trim().strip_prefix('+').and_then(|marker| marker.split_once('='))
        else {
            continue;
        };
        if KEPT.contains(&name) {
            markers.entry(name.to_owned()).or_default().push(value.trim().to_owned());
        }
    }
    markers
}
