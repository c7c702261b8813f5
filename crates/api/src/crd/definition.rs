//! `CustomResourceDefinition` objects: defaults, validation, and the rows they give.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::printer::{JsonPath, Printer};
use super::{CustomKind, ScalePaths, Structural};
use crate::catalogue::{Gvk, Scope};
use crate::meta;
use crate::status::FieldError;
use crate::table::{AGE, Column, NAME};
use crate::validation::names;

const COLUMN_TYPES: [&str; 5] = ["integer", "number", "string", "boolean", "date"];
const VERSIONS_MAX: usize = 64;
const COLUMNS_MAX: usize = 64;

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn strings(value: &Value, pointer: &str) -> Vec<String> {
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
    let mut errors = check_names(&crd);
    errors.extend(check_versions(&crd));
    let mut kinds = Vec::new();
    for (index, version) in list(&crd, "/spec/versions").iter().enumerate().take(VERSIONS_MAX) {
        match custom_kind(&crd, version, &format!("spec.versions[{index}]")) {
            Ok(kind) if flag(version, "served") => kinds.push(kind),
            Ok(_) => {}
            Err(wrong) => errors.extend(wrong),
        }
    }
    if errors.is_empty() { Ok(kinds) } else { Err(errors) }
}

/// What is wrong with a definition.
pub(crate) fn validate_definition(crd: &Value) -> Vec<FieldError> {
    custom_kinds(crd).err().unwrap_or_default()
}

/// What may not change once a definition is established.
pub(crate) fn validate_definition_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut fixed = vec!["/spec/group"];
    if is_established(old) {
        fixed.extend(["/spec/scope", "/spec/names/kind", "/spec/names/plural"]);
    }
    for pointer in fixed {
        if old.pointer(pointer) != new.pointer(pointer) {
            let path = pointer.trim_start_matches('/').replace('/', ".");
            errors.push(FieldError::immutable(path, &new.pointer(pointer).cloned().unwrap_or_default()));
        }
    }
    let versions: Vec<&str> = list(new, "/spec/versions").iter().map(|v| text(v, "/name")).collect();
    for (index, stored) in strings(old, "/status/storedVersions").iter().enumerate() {
        if !versions.contains(&stored.as_str()) {
            let detail = format!(
                "missing from spec.versions; {stored} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {stored} and removes {stored} from status.storedVersions"
            );
            errors.push(FieldError::invalid(
                format!("status.storedVersions[{index}]"),
                stored.as_str(),
                detail,
            ));
        }
    }
    errors
}

fn each(path: &str, value: &str, wrong: Vec<String>) -> impl Iterator<Item = FieldError> {
    wrong.into_iter().map(move |w| FieldError::invalid(path, value, w))
}

fn check_names(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (group, plural) = (text(crd, "/spec/group"), text(crd, "/spec/names/plural"));
    let (kind, singular) = (text(crd, "/spec/names/kind"), text(crd, "/spec/names/singular"));
    let list_kind = text(crd, "/spec/names/listKind");
    if group.is_empty() {
        errors.push(FieldError::required("spec.group", ""));
    } else {
        errors.extend(each("spec.group", group, names::dns1123_subdomain(group)));
        if !group.contains('.') {
            errors.push(FieldError::invalid("spec.group", group, "should be a domain with at least one dot"));
        }
    }
    let name = meta::name(crd);
    if name != format!("{plural}.{group}") {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid("metadata.name", name, detail));
    }
    for (path, value) in [("spec.names.plural", plural), ("spec.names.singular", singular)] {
        errors.extend(each(path, value, names::dns1035_label(value)));
    }
    for (path, value) in [("spec.names.kind", kind), ("spec.names.listKind", list_kind)] {
        if value.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else {
            errors.extend(each(path, value, names::dns1035_label(&value.to_lowercase())));
        }
    }
    if kind == list_kind && !kind.is_empty() {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid("spec.names.listKind", list_kind, detail));
    }
    for (pointer, path) in [("shortNames", "spec.names.shortNames"), ("categories", "spec.names.categories")]
    {
        for (index, value) in strings(crd, &format!("/spec/names/{pointer}")).iter().enumerate() {
            errors.extend(each(&format!("{path}[{index}]"), value, names::dns1035_label(value)));
        }
    }
    match text(crd, "/spec/scope") {
        "Namespaced" | "Cluster" => {}
        "" => errors.push(FieldError::required("spec.scope", "")),
        other => errors.push(FieldError::not_supported("spec.scope", other, &["Cluster", "Namespaced"])),
    }
    errors
}

fn check_versions(crd: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let versions = list(crd, "/spec/versions");
    if versions.is_empty() {
        errors.push(FieldError::required(
            "spec.versions",
            "must have exactly one version marked as storage version",
        ));
        return errors;
    }
    if versions.len() > VERSIONS_MAX {
        errors.push(FieldError::too_many("spec.versions", versions.len(), VERSIONS_MAX));
    }
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().enumerate() {
        let (path, name) = (format!("spec.versions[{index}].name"), text(version, "/name"));
        errors.extend(each(&path, name, names::dns1035_label(name)));
        if !seen.insert(name) {
            errors.push(FieldError::invalid(path, name, "must be unique"));
        }
    }
    if versions.iter().filter(|v| flag(v, "storage")).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid("spec.versions", crd["spec"]["versions"].clone(), detail));
    }
    match text(crd, "/spec/conversion/strategy") {
        "None" | "" => {}
        other => errors.push(FieldError::not_supported("spec.conversion.strategy", other, &["None"])),
    }
    if crd.pointer("/spec/preserveUnknownFields") == Some(&Value::Bool(true)) {
        let detail = "must be false in order to use defaults in the schema";
        errors.push(FieldError::invalid("spec.preserveUnknownFields", true, detail));
    }
    errors
}

fn custom_kind(crd: &Value, version: &Value, path: &str) -> Result<CustomKind, Vec<FieldError>> {
    let mut errors = Vec::new();
    let schema_path = format!("{path}.schema.openAPIV3Schema");
    let raw_schema = version.pointer("/schema/openAPIV3Schema");
    let schema = match raw_schema {
        None => Err(vec![FieldError::required(&schema_path, "schemas are required")]),
        Some(raw) => Structural::parse(raw, &schema_path),
    };
    let schema = schema.map_err(|wrong| errors.extend(wrong)).ok();
    let (columns, printers) = columns(version, path, &mut errors);
    let scale = scale(version, path, &mut errors);
    let selectable_fields = selectable(version, path, &mut errors);
    let Some(schema) = schema.filter(|_| errors.is_empty()) else { return Err(errors) };
    let names = |key: &str| text(crd, &format!("/spec/names/{key}")).to_owned();
    let gvk = Gvk::new(text(crd, "/spec/group").to_owned(), text(version, "/name").to_owned(), names("kind"));
    Ok(CustomKind {
        deprecation: deprecation(version, &gvk),
        gvk,
        list_kind: names("listKind"),
        plural: names("plural"),
        singular: names("singular"),
        short_names: strings(crd, "/spec/names/shortNames"),
        categories: strings(crd, "/spec/names/categories"),
        scope: if text(crd, "/spec/scope") == "Cluster" { Scope::Cluster } else { Scope::Namespaced },
        storage_version: flag(version, "storage"),
        stored_as: storage_version(crd).to_owned(),
        status: version.pointer("/subresources/status").is_some(),
        scale,
        columns,
        selectable_fields,
        raw_schema: Arc::new(raw_schema.cloned().unwrap_or_default()),
        schema: Arc::new(schema),
        printers,
    })
}

fn deprecation(version: &Value, gvk: &Gvk) -> Option<String> {
    flag(version, "deprecated").then(|| match text(version, "/deprecationWarning") {
        "" => format!("{} {} is deprecated", gvk.api_version(), gvk.kind),
        warning => warning.to_owned(),
    })
}

fn columns(version: &Value, path: &str, errors: &mut Vec<FieldError>) -> (Vec<Column>, Vec<Printer>) {
    let wished = list(version, "/additionalPrinterColumns");
    let (mut columns, mut printers) = (vec![NAME], Vec::new());
    if wished.len() > COLUMNS_MAX {
        let path = format!("{path}.additionalPrinterColumns");
        errors.push(FieldError::too_many(path, wished.len(), COLUMNS_MAX));
        return (columns, printers);
    }
    if wished.is_empty() {
        columns.push(Column { kind: "date".into(), ..AGE });
        match JsonPath::parse(".metadata.creationTimestamp") {
            Ok(age) => printers.push(Printer::new(age, "date")),
            Err(why) => errors.push(FieldError::invalid(path, "", why)),
        }
    }
    for (index, column) in wished.iter().enumerate() {
        let path = format!("{path}.additionalPrinterColumns[{index}]");
        let (kind, json_path) = (text(column, "/type"), text(column, "/jsonPath"));
        if text(column, "/name").is_empty() {
            errors.push(FieldError::required(format!("{path}.name"), ""));
        }
        if !COLUMN_TYPES.contains(&kind) {
            errors.push(FieldError::not_supported(format!("{path}.type"), kind, &COLUMN_TYPES));
        }
        if json_path.is_empty() {
            errors.push(FieldError::required(format!("{path}.jsonPath"), ""));
            continue;
        }
        match JsonPath::parse(json_path) {
            Ok(parsed) => printers.push(Printer::new(parsed, kind)),
            Err(why) => {
                errors.push(FieldError::invalid(
                    format!("{path}.jsonPath"),
                    json_path,
                    format!("is not supported: {why}"),
                ));
            }
        }
        let priority = column.get("priority").and_then(Value::as_i64).unwrap_or(0);
        let description = match text(column, "/description") {
            "" => format!("Value at {json_path} of the object."),
            given => given.to_owned(),
        };
        columns.push(Column {
            name: text(column, "/name").to_owned().into(),
            kind: kind.to_owned().into(),
            format: text(column, "/format").to_owned().into(),
            description: description.into(),
            priority: i32::try_from(priority).unwrap_or(i32::MAX),
        });
    }
    (columns, printers)
}

/// A plain dotted path as a JSON pointer.
fn pointer(path: &str) -> Option<String> {
    let rest = path.strip_prefix('.')?;
    let plain =
        |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    rest.split('.').all(plain).then(|| format!("/{}", rest.replace('.', "/")))
}

fn scale(version: &Value, path: &str, errors: &mut Vec<FieldError>) -> Option<ScalePaths> {
    let scale = version.pointer("/subresources/scale")?;
    let mut read = |key: &str, root: &str| {
        let (path, value) = (format!("{path}.subresources.scale.{key}"), text(scale, &format!("/{key}")));
        let found = pointer(value).filter(|p| p.starts_with(root));
        if value.is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if found.is_none() {
            let detail = format!("should be a json path under {}", root.replace('/', "."));
            errors.push(FieldError::invalid(path, value, detail));
        }
        found
    };
    let spec_replicas = read("specReplicasPath", "/spec/");
    let status_replicas = read("statusReplicasPath", "/status/");
    let label_selector =
        if text(scale, "/labelSelectorPath").is_empty() { None } else { read("labelSelectorPath", "/") };
    Some(ScalePaths { spec_replicas: spec_replicas?, status_replicas: status_replicas?, label_selector })
}

fn selectable(version: &Value, path: &str, errors: &mut Vec<FieldError>) -> Vec<String> {
    let mut fields = Vec::new();
    for (index, field) in list(version, "/selectableFields").iter().enumerate() {
        let json_path = text(field, "/jsonPath");
        if let Some(pointer) = pointer(json_path) {
            fields.push(pointer[1..].replace('/', "."));
        } else {
            let path = format!("{path}.selectableFields[{index}].jsonPath");
            errors.push(FieldError::invalid(path, json_path, "is an invalid path"));
        }
    }
    fields
}

/// Writes what says that the kinds are served: conditions, accepted names, stored versions. Changes nothing when all of
/// it is there already.
pub fn establish(crd: &mut Value, now: Timestamp) {
    let names = crd.pointer("/spec/names").cloned().unwrap_or_else(|| json!({}));
    let storage = storage_version(crd).to_owned();
    let Some(map) = crd.as_object_mut() else { return };
    let status = map.entry("status").or_insert_with(|| json!({}));
    let Some(status) = status.as_object_mut() else { return };
    status.insert("acceptedNames".to_owned(), names);
    let stored = status.entry("storedVersions").or_insert_with(|| json!([]));
    if let Some(stored) = stored.as_array_mut()
        && !stored.contains(&json!(storage))
    {
        stored.push(json!(storage));
    }
    set_condition(status, now, ["NamesAccepted", "NoConflicts", "no conflicts found"]);
    set_condition(
        status,
        now,
        ["Established", "InitialNamesAccepted", "the initial names have been accepted"],
    );
}

fn set_condition(status: &mut Map<String, Value>, now: Timestamp, [kind, reason, message]: [&str; 3]) {
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(conditions) = conditions.as_array_mut() else { return };
    if conditions.iter().any(|c| text(c, "/type") == kind && text(c, "/status") == "True") {
        return;
    }
    conditions.retain(|c| text(c, "/type") != kind);
    conditions.push(json!({
        "type": kind,
        "status": "True",
        "lastTransitionTime": meta::format_time(now),
        "reason": reason,
        "message": message,
    }));
}
