//! `CustomResourceDefinition` objects: defaults, validation, and the rows they give.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::{CustomKind, Structural, approval, columns};
use crate::catalogue::{Gvk, Scope};
use crate::meta;
use crate::status::FieldError;
use crate::validation::names;

const VERSIONS_MAX: usize = 64;
const DEPRECATION_BYTES_MAX: usize = 256;
/// Keywords that a root schema may have when the status is a subresource, which is judged on its own.
const ROOT_KEYWORDS: &[&str] = &[
    "description",
    "type",
    "format",
    "title",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "multipleOf",
    "required",
    "items",
    "properties",
    "externalDocs",
    "example",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
];
/// The same as error messages print them.
const ROOT_FIELDS: &str = "[Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength \
                           MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties \
                           ExternalDocs Example XPreserveUnknownFields XValidations]";

pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn strings(value: &Value, pointer: &str) -> Vec<String> {
    list(value, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key) == Some(&Value::Bool(true))
}

/// Fills in the names that follow from the kind, and the conversion.
pub(crate) fn default_definition(crd: &mut Value) {
    let kind = text(crd, "/spec/names/kind").to_owned();
    let Some(spec) = crd.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.retain(|key, value| key != "preserveUnknownFields" || *value != Value::Bool(false));
    spec.entry("conversion").or_insert_with(|| json!({ "strategy": "None" }));
    if let Some(names) = spec.get_mut("names").and_then(Value::as_object_mut)
        && !kind.is_empty()
    {
        names.entry("singular").or_insert_with(|| json!(kind.to_lowercase()));
        names.entry("listKind").or_insert_with(|| json!(format!("{kind}List")));
    }
}

/// The version in which objects are stored; empty when the definition names none.
pub fn storage_version(crd: &Value) -> &str {
    let stored = list(crd, "/spec/versions").iter().find(|v| flag(v, "storage"));
    stored.map_or("", |v| text(v, "/name"))
}

/// Whether the kinds of the definition may be served.
pub fn is_established(crd: &Value) -> bool {
    list(crd, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == "Established" && text(c, "/status") == "True")
}

/// Which parts of its versions a definition says once, because they are the same in all of them: schema, subresources,
/// columns, selectable fields. What is wrong with such a part is told once, and of the whole definition.
struct Common([bool; 4]);

/// Where the parts of a version stand in messages.
struct Paths {
    version: String,
    schema: String,
    subresources: String,
    columns: String,
    selectable: String,
}

/// What is wrong with one version: with itself, and with its parts.
#[derive(Default)]
struct Findings {
    version: Vec<FieldError>,
    parts: [Vec<FieldError>; 4],
}

impl Common {
    fn of(crd: &Value) -> Self {
        let versions = list(crd, "/spec/versions");
        let part = |version: &Value, key: &str| {
            let empty = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
            version.get(key).filter(|value| !empty(value)).cloned().unwrap_or_default()
        };
        let same = |key: &str| versions.windows(2).all(|two| part(&two[0], key) == part(&two[1], key));
        Self(["schema", "subresources", "additionalPrinterColumns", "selectableFields"].map(same))
    }

    fn paths(&self, index: usize) -> Paths {
        let version = format!("spec.versions[{index}]");
        let [schema, subresources, columns, selectable] = self.0;
        let at = |is_common: bool| if is_common { "spec" } else { version.as_str() };
        Paths {
            schema: format!(
                "{}.openAPIV3Schema",
                if schema { "spec.validation".to_owned() } else { format!("{version}.schema") }
            ),
            subresources: format!("{}.subresources", at(subresources)),
            columns: format!("{}.additionalPrinterColumns", at(columns)),
            selectable: format!("{}.selectableFields", at(selectable)),
            version,
        }
    }
}

fn schema_of(version: &Value) -> Option<&Value> {
    version.pointer("/schema/openAPIV3Schema").filter(|raw| !raw.is_null())
}

fn missing_schemas(crd: &Value) -> Vec<FieldError> {
    let versions = list(crd, "/spec/versions").iter().enumerate().take(VERSIONS_MAX);
    let missing = versions.filter(|(_, version)| schema_of(version).is_none());
    let path = |index: usize| format!("spec.versions[{index}].schema.openAPIV3Schema");
    missing.map(|(index, _)| FieldError::required(path(index), "")).collect()
}

/// The rows of a definition, one per served version.
///
/// # Errors
/// Everything that is wrong with the definition.
pub fn custom_kinds(crd: &Value) -> Result<Vec<CustomKind>, Vec<FieldError>> {
    let mut crd = crd.clone();
    default_definition(&mut crd);
    let common = Common::of(&crd);
    let mut errors = check_group(&crd);
    errors.extend(missing_schemas(&crd));
    let mut kinds = Vec::new();
    let mut shared = Vec::new();
    for (index, version) in list(&crd, "/spec/versions").iter().enumerate().take(VERSIONS_MAX) {
        let mut found = Findings::default();
        let kind = custom_kind(&crd, version, &common.paths(index), &mut found);
        kinds.extend(kind.filter(|_| flag(version, "served")));
        errors.append(&mut found.version);
        for (part, is_common) in found.parts.into_iter().zip(common.0) {
            match (is_common, index) {
                (false, _) => errors.extend(part),
                (true, 0) => shared.extend(part),
                (true, _) => {}
            }
        }
    }
    errors.extend(check_versions(&crd, &common));
    errors.extend(check_names(&crd, "spec.names"));
    errors.append(&mut shared);
    errors.extend(check_conversion(&crd));
    if crd.get("status").is_some() {
        errors.extend(check_names(&crd, "status.acceptedNames"));
        errors.extend(check_stored_versions(&crd));
    }
    if crd.pointer("/spec/preserveUnknownFields") == Some(&Value::Bool(true)) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema \
                      instead";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", true, detail));
    }
    if errors.is_empty() { Ok(kinds) } else { Err(errors) }
}

/// What is wrong with a definition.
pub(crate) fn validate_definition(crd: &Value) -> Vec<FieldError> {
    let mut errors = custom_kinds(crd).err().unwrap_or_default();
    if !is_established(crd) {
        errors.extend(approval::check(crd, None));
    }
    errors
}

/// What may not change once a definition is there.
pub(crate) fn validate_definition_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut fixed = Vec::new();
    if is_established(old) {
        fixed.extend(["/spec/scope", "/spec/names/kind"]);
        errors.extend(approval::check(new, Some(old)));
    }
    fixed.extend(["/spec/group", "/spec/names/plural"]);
    for pointer in fixed {
        if old.pointer(pointer) != new.pointer(pointer) {
            let path = pointer.trim_start_matches('/').replace('/', ".");
            errors.push(FieldError::immutable(path, &new.pointer(pointer).cloned().unwrap_or_default()));
        }
    }
    errors
}

/// One finding that says everything that is wrong with a name.
fn named(path: impl Into<String>, value: &str, wrong: &[String]) -> Option<FieldError> {
    (!wrong.is_empty()).then(|| FieldError::invalid(path, value, wrong.join(",")))
}

fn check_group(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (group, plural) = (text(crd, "/spec/group"), text(crd, "/spec/names/plural"));
    let name = meta::name(crd);
    // Later, group and plural are immutable.
    if !is_established(crd) && name != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", name, detail));
    }
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else if let Some(error) = named("spec.group", group, &names::dns1123_subdomain(group)) {
        errors.push(error);
    } else if !group.contains('.') {
        errors.push(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
    }
    match text(crd, "/spec/scope") {
        "Namespaced" | "Cluster" => {}
        "" => errors.push(FieldError::required("spec.scope", "")),
        other => errors.push(FieldError::not_supported("spec.scope", other, &["Cluster", "Namespaced"])),
    }
    errors
}

/// Names as asked for (all must be there) or as accepted.
fn check_names(crd: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = |key: &str| format!("{path}.{key}");
    let root = format!("/{}", path.replace('.', "/"));
    let name = |key: &str| text(crd, &format!("{root}/{key}"));
    if path.starts_with("spec") {
        for key in ["plural", "singular", "kind", "listKind"] {
            if name(key).is_empty() {
                errors.push(FieldError::required(at(key), ""));
            }
        }
    }
    for key in ["plural", "singular"] {
        let found = name(key);
        if !found.is_empty() {
            errors.extend(named(at(key), found, &names::dns1035_label(found)));
        }
    }
    for key in ["kind", "listKind"] {
        let found = name(key);
        let wrong = names::dns1035_label(&found.to_lowercase());
        if !found.is_empty() && !wrong.is_empty() {
            let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
            errors.push(FieldError::invalid(at(key), found, why));
        }
    }
    let each = |key: &str| {
        let all = strings(crd, &format!("{root}/{key}"));
        let wrong = all.iter().enumerate().filter_map(|(index, value)| {
            named(format!("{path}.{key}[{index}]"), value, &names::dns1035_label(value))
        });
        wrong.collect::<Vec<_>>()
    };
    errors.extend(each("shortNames"));
    let (kind, list_kind) = (name("kind"), name("listKind"));
    if kind == list_kind && !kind.is_empty() {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(at("listKind"), list_kind, detail));
    }
    errors.extend(each("categories"));
    errors
}

fn check_versions(crd: &Value, common: &Common) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let versions = list(crd, "/spec/versions");
    if versions.len() > VERSIONS_MAX {
        errors.push(FieldError::too_many("spec.versions", versions.len(), VERSIONS_MAX));
    }
    let invalid = |detail: &str| {
        let detail = match shown_versions(crd, common) {
            Some(shown) => format!("{shown}: {detail}"),
            None => detail.to_owned(),
        };
        FieldError { bad_value: None, ..FieldError::invalid("spec.versions", "", detail) }
    };
    let distinct: BTreeSet<&str> = versions.iter().map(|v| text(v, "/name")).collect();
    if distinct.len() != versions.len() {
        errors.push(invalid("must contain unique version names"));
    }
    if versions.iter().filter(|v| flag(v, "storage")).count() != 1 {
        errors.push(invalid("must have exactly one version marked as storage version"));
    }
    let first = versions.first().map_or("", |v| text(v, "/name"));
    if !first.is_empty() {
        errors.extend(named("spec.version", first, &names::dns1035_label(first)));
    }
    errors
}

/// The versions as messages print them. Parts that are not said for all of them at once would fill pages: then `None`.
fn shown_versions(crd: &Value, common: &Common) -> Option<String> {
    let Some(versions) = crd.pointer("/spec/versions").and_then(Value::as_array) else {
        return Some("null".to_owned());
    };
    if common.0.contains(&false) || versions.len() > VERSIONS_MAX {
        return None;
    }
    let one = |version: &Value| {
        format!(
            "{{\"Name\":{},\"Served\":{},\"Storage\":{},\"Deprecated\":{},\"DeprecationWarning\":{},\"Schema\":null,\
             \"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}}",
            json!(text(version, "/name")),
            flag(version, "served"),
            flag(version, "storage"),
            flag(version, "deprecated"),
            version.get("deprecationWarning").unwrap_or(&Value::Null),
        )
    };
    Some(format!("[{}]", versions.iter().map(one).collect::<Vec<_>>().join(",")))
}

fn check_conversion(crd: &Value) -> Vec<FieldError> {
    let path = "spec.conversion.strategy";
    match text(crd, "/spec/conversion/strategy") {
        "None" => {}
        "" => return vec![FieldError::required(path, "")],
        "Webhook" => {
            let why = "conversion by webhook is not supported by this server: use None";
            return vec![FieldError::invalid(path, "Webhook", why)];
        }
        other => return vec![FieldError::not_supported(path, other, &["None", "Webhook"])],
    }
    let webhook = crd.pointer("/spec/conversion/webhook").is_some_and(|v| !v.is_null());
    let why = "should not be set when strategy is not set to Webhook";
    webhook.then(|| FieldError::forbidden("spec.conversion.webhookClientConfig", why)).into_iter().collect()
}

fn check_stored_versions(crd: &Value) -> Vec<FieldError> {
    let path = "status.storedVersions";
    let stored = strings(crd, "/status/storedVersions");
    if stored.is_empty() {
        return vec![FieldError::invalid(path, Value::Null, "must have at least one stored version")];
    }
    let mut errors = Vec::new();
    let mut left: Vec<&str> = stored.iter().map(String::as_str).collect();
    for version in list(crd, "/spec/versions") {
        let name = text(version, "/name");
        let known = left.contains(&name);
        left.retain(|v| *v != name);
        if flag(version, "storage") && !known {
            let why = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(path, json!(stored), why));
        }
    }
    for (index, version) in stored.iter().enumerate().filter(|(_, v)| left.contains(&v.as_str())) {
        let detail = format!(
            "missing from spec.versions; {version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {version} and removes {version} from status.storedVersions"
        );
        errors.push(FieldError::invalid(format!("{path}[{index}]"), version.as_str(), detail));
    }
    errors
}

fn check_deprecation(version: &Value, path: &str) -> Vec<FieldError> {
    let Some(warning) = version.get("deprecationWarning").and_then(Value::as_str) else { return Vec::new() };
    let mut wrong = Vec::new();
    if !flag(version, "deprecated") {
        wrong.push("can only be set for deprecated versions".to_owned());
    } else if warning.len() > DEPRECATION_BYTES_MAX {
        wrong.push(format!("must be <= {DEPRECATION_BYTES_MAX} characters long"));
    } else if warning.is_empty() {
        wrong.push("must not be an empty string".to_owned());
    } else if let Some(at) = warning.find(char::is_control) {
        wrong.push(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        ));
    }
    let path = format!("{path}.deprecationWarning");
    wrong.into_iter().map(|why| FieldError::invalid(&path, warning, why)).collect()
}

/// With a status subresource, the root says nothing that would get lost for the status alone.
fn check_root(raw: &Value, path: &str) -> Option<FieldError> {
    let kind = text(raw, "/type");
    if !kind.is_empty() && kind != "object" {
        let why = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        return Some(FieldError::invalid(format!("{path}.type"), kind, why));
    }
    let is_zero = |value: &Value| {
        matches!(value, Value::Null | Value::Bool(false))
            || value.as_str() == Some("")
            || value.as_array().is_some_and(Vec::is_empty)
    };
    let odd =
        raw.as_object()?.iter().any(|(key, value)| !is_zero(value) && !ROOT_KEYWORDS.contains(&key.as_str()));
    let why = format!(
        "only {ROOT_FIELDS} fields are allowed at the root of the schema if the status subresource is enabled"
    );
    odd.then(|| FieldError { bad_value: None, ..FieldError::invalid(path, "", why) })
}

fn has_status(version: &Value) -> bool {
    version.pointer("/subresources/status").is_some_and(|v| !v.is_null())
}

/// One version; `None` when something is wrong with it.
fn custom_kind(crd: &Value, version: &Value, paths: &Paths, found: &mut Findings) -> Option<CustomKind> {
    let version_name = text(version, "/name");
    let at = format!("{}.name", paths.version);
    found.version.extend(named(at, version_name, &names::dns1035_label(version_name)));
    found.version.extend(check_deprecation(version, &paths.version));
    let [about_schema, about_scale, about_columns, about_selectable] = &mut found.parts;
    let raw_schema = schema_of(version);
    if has_status(version) {
        about_schema.extend(raw_schema.and_then(|raw| check_root(raw, &paths.schema)));
    }
    let schema = raw_schema.and_then(|raw| {
        Structural::parse(raw, &paths.schema).map_err(|wrong| about_schema.extend(wrong)).ok()
    });
    let scale = columns::scale(version, &paths.subresources, about_scale);
    let (columns, printers) = columns::columns(version, &paths.columns, about_columns);
    let selectable_fields = schema
        .as_ref()
        .map(|schema| columns::selectable(version, schema, &paths.selectable, about_selectable))
        .unwrap_or_default();
    let fine = found.version.is_empty() && found.parts.iter().all(Vec::is_empty);
    let schema = schema.filter(|_| fine)?;
    // What was accepted counts; a name that another kind has is not served.
    let accepted = !text(crd, "/status/acceptedNames/plural").is_empty();
    let root = if accepted { "/status/acceptedNames" } else { "/spec/names" };
    let names = |key: &str| text(crd, &format!("{root}/{key}")).to_owned();
    let gvk = Gvk::new(text(crd, "/spec/group").to_owned(), version_name.to_owned(), names("kind"));
    Some(CustomKind {
        deprecation: deprecation(version, &gvk),
        gvk,
        list_kind: names("listKind"),
        plural: names("plural"),
        singular: names("singular"),
        short_names: strings(crd, &format!("{root}/shortNames")),
        categories: strings(crd, &format!("{root}/categories")),
        scope: if text(crd, "/spec/scope") == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        storage_version: flag(version, "storage"),
        stored_as: storage_version(crd).to_owned(),
        status: has_status(version),
        scale,
        columns,
        raw_schema: Arc::new(published(raw_schema, &selectable_fields)),
        selectable_fields,
        schema: Arc::new(schema),
        printers,
    })
}

/// The schema as it is published: as written, with the fields that selectors may name.
fn published(raw: Option<&Value>, selectable: &[String]) -> Value {
    let mut schema = raw.cloned().unwrap_or_default();
    if !selectable.is_empty()
        && let Some(map) = schema.as_object_mut()
    {
        let fields: Vec<Value> = selectable.iter().map(|field| json!({ "fieldPath": field })).collect();
        map.insert("x-kubernetes-selectable-fields".to_owned(), Value::Array(fields));
    }
    schema
}

fn deprecation(version: &Value, gvk: &Gvk) -> Option<String> {
    flag(version, "deprecated").then(|| match text(version, "/deprecationWarning") {
        "" => format!("{} {} is deprecated", gvk.api_version(), gvk.kind),
        warning => warning.to_owned(),
    })
}
