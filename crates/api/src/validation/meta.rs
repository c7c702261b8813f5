//! Metadata of every kind: names, labels, annotations, owner references, finalizers, and what an update may not change.

use serde_json::{Map, Value};

use super::names;
use crate::catalogue::Scope;
use crate::status::FieldError;

/// All annotations of an object together, keys and values.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
/// Name of a field manager.
const MANAGER_BYTES_MAX: usize = 128;
/// Name of a subresource in an entry of field ownership.
const SUBRESOURCE_BYTES_MAX: usize = 256;

/// How the names of a kind are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameRule {
    /// RFC 1123 subdomain: most kinds.
    Subdomain,
    /// RFC 1123 label: namespaces.
    Label,
    /// RFC 1035 label: names that must not start with a digit.
    Dns1035,
    /// Anything that is one segment of a path.
    PathSegment,
    /// Not looked at here, not even whether there is one: the kind does that itself, or nobody does.
    Unchecked,
}

impl NameRule {
    /// As [`Self::check`], for the start of a name: one trailing dash is fine, because something follows it.
    fn check_prefix(self, base: &str) -> Vec<String> {
        match self {
            Self::PathSegment => return names::path_segment_prefix(base),
            Self::Unchecked => return Vec::new(),
            Self::Subdomain | Self::Label | Self::Dns1035 => {}
        }
        let masked = base.strip_suffix('-').filter(|rest| !rest.is_empty());
        let masked = masked.map(|rest| {
            let mut rest = rest.to_owned();
            // The last two are replaced, as Kubernetes does it; what is not ASCII stays and is refused.
            if rest.is_ascii() {
                rest.pop();
            }
            rest + "a"
        });
        self.check(masked.as_deref().unwrap_or(base))
    }

    fn check(self, name: &str) -> Vec<String> {
        match self {
            Self::Subdomain => names::dns1123_subdomain(name),
            Self::Label => names::dns1123_label(name),
            Self::Dns1035 => names::dns1035_label(name),
            Self::PathSegment => names::path_segment(name),
            Self::Unchecked => Vec::new(),
        }
    }
}

/// Checks `metadata.name`.
pub(super) fn object_name(name: &str, rule: NameRule, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        errors.extend(rule.check(name).into_iter().map(|w| FieldError::invalid("metadata.name", name, w)));
    }
}

/// Checks `metadata`.
pub fn object_meta(object: &Value, scope: Scope, rule: NameRule) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let empty = Map::new();
    let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    let text = |key: &str| metadata.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, namespace, base) = (text("name"), text("namespace"), text("generateName"));
    if !base.is_empty() {
        let wrong = rule.check_prefix(base);
        errors.extend(wrong.into_iter().map(|w| FieldError::invalid("metadata.generateName", base, w)));
    }
    if rule != NameRule::Unchecked {
        object_name(name, rule, &mut errors);
    }
    match scope {
        Scope::Namespaced if namespace.is_empty() => {
            errors.push(FieldError::required("metadata.namespace", ""));
        }
        Scope::Namespaced => {
            let wrong = names::dns1123_label(namespace);
            errors.extend(wrong.into_iter().map(|w| FieldError::invalid("metadata.namespace", namespace, w)));
        }
        Scope::Cluster if !namespace.is_empty() => {
            errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type"));
        }
        Scope::Cluster => {}
    }
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64).filter(|g| *g < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid("metadata.generation", generation, detail));
    }
    labels(metadata.get("labels"), "metadata.labels", &mut errors);
    annotations(metadata.get("annotations"), "metadata.annotations", &mut errors);
    owner_references(metadata.get("ownerReferences"), &mut errors);
    finalizers(metadata.get("finalizers"), &mut errors);
    managed_fields(metadata.get("managedFields"), &mut errors);
    errors
}

/// Checks a map of labels.
pub(crate) fn labels(value: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    let Some(value) = value else { return };
    let Some(map) = value.as_object() else {
        errors.push(FieldError::type_invalid(path, value.clone(), "must be a map of strings"));
        return;
    };
    for (key, value) in map {
        for wrong in names::qualified_name(key) {
            errors.push(FieldError::invalid(path, key.as_str(), wrong));
        }
        match value.as_str() {
            Some(text) => {
                for wrong in names::label_value(text) {
                    errors.push(FieldError::invalid(path, text, wrong));
                }
            }
            None => errors.push(FieldError::type_invalid(path, value.clone(), "must be a string")),
        }
    }
}

/// Checks a map of annotations.
pub(crate) fn annotations(value: Option<&Value>, path: &str, errors: &mut Vec<FieldError>) {
    let Some(value) = value else { return };
    let Some(map) = value.as_object() else {
        errors.push(FieldError::type_invalid(path, value.clone(), "must be a map of strings"));
        return;
    };
    let mut total = 0;
    for (key, value) in map {
        for wrong in names::qualified_name(&key.to_lowercase()) {
            errors.push(FieldError::invalid(path, key.as_str(), wrong));
        }
        match value.as_str() {
            Some(text) => total += key.len() + text.len(),
            None => errors.push(FieldError::type_invalid(path, value.clone(), "must be a string")),
        }
    }
    if total > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}

fn owner_references(value: Option<&Value>, errors: &mut Vec<FieldError>) {
    let mut controller: Option<String> = None;
    for (index, owner) in value.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = format!("metadata.ownerReferences[{index}]");
        let text = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
        let version = text("apiVersion");
        if version.is_empty() {
            errors.push(FieldError::required(format!("{path}.apiVersion"), "must not be empty"));
        } else if version.matches('/').count() > 1 || version.ends_with('/') {
            let detail = "must be <group>/<version> or <version>";
            errors.push(FieldError::invalid(format!("{path}.apiVersion"), version, detail));
        }
        for key in ["kind", "name", "uid"] {
            if text(key).is_empty() {
                errors.push(FieldError::required(format!("{path}.{key}"), "must not be empty"));
            }
        }
        if version == "v1" && text("kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner.clone(), detail));
        }
        if owner.get("controller") != Some(&Value::Bool(true)) {
            continue;
        }
        let name = format!("{}/{}", text("kind"), text("name"));
        match &controller {
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                let all = value.cloned().unwrap_or_default();
                errors.push(FieldError::invalid("metadata.ownerReferences", all, detail));
            }
            None => controller = Some(name),
        }
    }
}

fn finalizers(value: Option<&Value>, errors: &mut Vec<FieldError>) {
    let path = "metadata.finalizers";
    let list = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for finalizer in list {
        let Some(text) = finalizer.as_str() else {
            errors.push(FieldError::type_invalid(path, finalizer.clone(), "must be a string"));
            continue;
        };
        for wrong in names::qualified_name(text) {
            errors.push(FieldError::invalid(path, text, wrong));
        }
    }
    if ["orphan", "foregroundDeletion"].iter().all(|name| list.iter().any(|f| f == name)) {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path, Value::from(list), detail));
    }
}

/// Finalizers of built-in kinds: standard, or with a domain. Objects made under other rules are checked again by updates.
pub fn builtin_finalizers(object: &Value) -> Vec<FieldError> {
    let standard = ["kubernetes", "orphan", "foregroundDeletion"];
    let found = crate::meta::finalizers(object).into_iter().enumerate();
    let odd = found.filter(|(_, name)| !name.contains('/') && !standard.contains(name));
    odd.map(|(index, name)| {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        FieldError::invalid(format!("metadata.finalizers[{index}]"), name, detail)
    })
    .collect()
}

/// Entries of field ownership: who, by what operation, in which notation.
fn managed_fields(value: Option<&Value>, errors: &mut Vec<FieldError>) {
    for (index, entry) in value.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let at = |key: &str| format!("metadata.managedFields[{index}].{key}");
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("operation") {
            "" => errors.push(FieldError::required(at("operation"), "must not be empty")),
            "Apply" | "Update" => {}
            other => errors.push(FieldError::not_supported(at("operation"), other, &["Apply", "Update"])),
        }
        if !matches!(text("fieldsType"), "" | "FieldsV1") {
            let detail = "must be `FieldsV1`";
            errors.push(FieldError::invalid(at("fieldsType"), text("fieldsType"), detail));
        }
        let manager = text("manager");
        if manager.len() > MANAGER_BYTES_MAX {
            errors.push(FieldError::too_long(at("manager"), MANAGER_BYTES_MAX));
        }
        for (position, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
            let detail = format!("invalid character U+{:04X} (at position {position})", u32::from(c));
            errors.push(FieldError::invalid(at("manager"), manager, detail));
        }
        if text("subresource").len() > SUBRESOURCE_BYTES_MAX {
            errors.push(FieldError::too_long(at("subresource"), SUBRESOURCE_BYTES_MAX));
        }
    }
}

/// Checks what an update may not change in `metadata`. The server-owned members were carried over before.
pub fn object_meta_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let fixed =
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"];
    for key in fixed {
        let at =
            |object: &Value| object.get("metadata").and_then(|m| m.get(key)).cloned().unwrap_or_default();
        let (before, after) = (at(old), at(new));
        if before != after {
            errors.push(FieldError::immutable(format!("metadata.{key}"), &after));
        }
    }
    if crate::meta::is_being_deleted(old) {
        let before = crate::meta::finalizers(old);
        let added: Vec<&str> =
            crate::meta::finalizers(new).into_iter().filter(|f| !before.contains(f)).collect();
        if !added.is_empty() {
            let list = added.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ");
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"
            );
            errors.push(FieldError::forbidden("metadata.finalizers", detail));
        }
    }
    errors
}
