//! Metadata of every kind: names, labels, annotations, owner references, finalizers, and what an update may not change.

use serde_json::{Map, Value};

use super::names;
use crate::catalogue::Scope;
use crate::status::FieldError;

/// All annotations of an object together, keys and values.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;

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
}

impl NameRule {
    fn check(self, name: &str) -> Vec<String> {
        match self {
            Self::Subdomain => names::dns1123_subdomain(name),
            Self::Label => names::dns1123_label(name),
            Self::Dns1035 => names::dns1035_label(name),
            Self::PathSegment => names::path_segment(name),
        }
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
        // The base may end in a dash, because something follows it.
        let probe = format!("{}a", base.trim_end_matches('-'));
        let wrong = rule.check(&probe);
        errors.extend(wrong.into_iter().map(|w| FieldError::invalid("metadata.generateName", base, w)));
    }
    if name.is_empty() {
        errors.push(FieldError::required("metadata.name", "name or generateName is required"));
    } else {
        errors.extend(rule.check(name).into_iter().map(|w| FieldError::invalid("metadata.name", name, w)));
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
    labels(metadata.get("labels"), "metadata.labels", &mut errors);
    annotations(metadata.get("annotations"), "metadata.annotations", &mut errors);
    owner_references(metadata.get("ownerReferences"), &mut errors);
    finalizers(metadata.get("finalizers"), &mut errors);
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
    let mut controllers = 0;
    for (index, owner) in value.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = format!("metadata.ownerReferences[{index}]");
        for key in ["apiVersion", "kind", "name", "uid"] {
            if owner.get(key).and_then(Value::as_str).is_none_or(str::is_empty) {
                errors.push(FieldError::invalid(format!("{path}.{key}"), "", "must not be empty"));
            }
        }
        controllers += u32::from(owner.get("controller") == Some(&Value::Bool(true)));
    }
    if controllers > 1 {
        let path = "metadata.ownerReferences";
        let detail = "Only one reference can have Controller set to true";
        errors.push(FieldError::invalid(path, value.cloned().unwrap_or_default(), detail));
    }
}

fn finalizers(value: Option<&Value>, errors: &mut Vec<FieldError>) {
    for finalizer in value.and_then(Value::as_array).into_iter().flatten() {
        let Some(text) = finalizer.as_str() else {
            let detail = "must be a string";
            errors.push(FieldError::type_invalid("metadata.finalizers", finalizer.clone(), detail));
            continue;
        };
        for wrong in names::qualified_name(text) {
            errors.push(FieldError::invalid("metadata.finalizers", text, wrong));
        }
    }
}

/// Checks what an update may not change in `metadata`. The server-owned members were carried over before.
pub fn object_meta_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in ["name", "namespace", "uid", "creationTimestamp"] {
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
