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

/// The rows of a definition, one per served version.
///
/// # Errors
/// Everything that is wrong with the definition.
pub fn custom_kinds(crd: &Value) -> Result<Vec<CustomKind>, Vec<FieldError>> {
    let mut crd = crd.clone();
    default_definition(&mut crd);
    let mut errors = check_group(&crd);
    let mut kinds = Vec::new();
    for (index, version) in list(&crd, "/spec/versions").iter().enumerate().take(VERSIONS_MAX) {
        match custom_kind(&crd, version, &format!("spec.versions[{index}]")) {
            Ok(kind) if flag(version, "served") => kinds.push(kind),
            Ok(_) => {}
            Err(wrong) => errors.extend(wrong),
        }
    }
    errors.extend(check_versions(&crd));
    errors.extend(check_names(&crd, "spec.names"));
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
    if name != format!("{plural}.{group}") {
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

fn check_versions(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let versions = list(crd, "/spec/versions");
    if versions.len() > VERSIONS_MAX {
        errors.push(FieldError::too_many("spec.versions", versions.len(), VERSIONS_MAX));
    }
    // What was found is a whole list of versions; nobody wants to read it again.
    let invalid =
        |detail: &str| FieldError { bad_value: None, ..FieldError::invalid("spec.versions", "", detail) };
    let distinct: BTreeSet<&str> = versions.iter().map(|v| text(v, "/name")).collect();
    if distinct.len() != versions.len() {
        errors.push(invalid("must contain unique version names"));
    }
    if versions.iter().filter(|v| flag(v, "storage")).count() != 1 {
        errors.push(invalid("must have exactly one version marked as storage version"));
    }
    errors
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
        return vec![FieldError::invalid(path, json!([]), "must have at least one stored version")];
    }
    let mut errors = Vec::new();
    let storage = storage_version(crd);
    if !storage.is_empty() && !stored.iter().any(|v| v == storage) {
        let why = format!("must have the storage version {storage}");
        errors.push(FieldError::invalid(path, json!(stored), why));
    }
    let versions: Vec<&str> = list(crd, "/spec/versions").iter().map(|v| text(v, "/name")).collect();
    for (index, version) in stored.iter().enumerate().filter(|(_, v)| !versions.contains(&v.as_str())) {
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
fn check_root(raw: &Value, version: &Value, path: &str) -> Option<FieldError> {
    version.pointer("/subresources/status").filter(|v| !v.is_null())?;
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

fn custom_kind(crd: &Value, version: &Value, path: &str) -> Result<CustomKind, Vec<FieldError>> {
    let version_name = text(version, "/name");
    let mut errors: Vec<FieldError> =
        named(format!("{path}.name"), version_name, &names::dns1035_label(version_name))
            .into_iter()
            .collect();
    errors.extend(check_deprecation(version, path));
    let schema_path = format!("{path}.schema.openAPIV3Schema");
    let raw_schema = version.pointer("/schema/openAPIV3Schema").filter(|raw| !raw.is_null());
    errors.extend(raw_schema.and_then(|raw| check_root(raw, version, &schema_path)));
    let schema = match raw_schema {
        None => Err(vec![FieldError::required(&schema_path, "")]),
        Some(raw) => Structural::parse(raw, &schema_path),
    };
    let schema = schema.map_err(|wrong| errors.extend(wrong)).ok();
    let scale = columns::scale(version, path, &mut errors);
    let (columns, printers) = columns::columns(version, path, &mut errors);
    let selectable_fields = schema
        .as_ref()
        .map(|schema| columns::selectable(version, schema, path, &mut errors))
        .unwrap_or_default();
    let Some(schema) = schema.filter(|_| errors.is_empty()) else { return Err(errors) };
    // What was accepted counts; a name that another kind has is not served.
    let accepted = !text(crd, "/status/acceptedNames/plural").is_empty();
    let root = if accepted { "/status/acceptedNames" } else { "/spec/names" };
    let names = |key: &str| text(crd, &format!("{root}/{key}")).to_owned();
    let gvk = Gvk::new(text(crd, "/spec/group").to_owned(), version_name.to_owned(), names("kind"));
    Ok(CustomKind {
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
        status: version.pointer("/subresources/status").is_some_and(|v| !v.is_null()),
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
