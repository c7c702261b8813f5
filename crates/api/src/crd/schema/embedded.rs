//! Resources within a custom object: they have an API version, a kind and proper metadata.

use serde_json::{Map, Value};

use super::{Additional, Node, join};
use crate::status::FieldError;
use crate::validation::names;
use crate::validation::{NameRule, object_meta};

/// More findings than this are not collected.
const ERRORS_MAX: usize = 50;

/// `resource`: the value itself is one.
pub(super) fn check(node: &Node, value: &Value, path: &str, resource: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(node, value, path, resource, &mut errors);
    errors
}

fn walk(node: &Node, value: &Value, path: &str, resource: bool, errors: &mut Vec<FieldError>) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    match value {
        Value::Object(map) => {
            if resource {
                one(map, path, errors);
            }
            for (name, value) in map {
                match (node.properties.get(name), &node.additional) {
                    (Some(child), _) => walk(child, value, &join(path, name), child.embedded, errors),
                    (None, Additional::Values(child)) => {
                        walk(child, value, &format!("{path}[{name}]"), child.embedded, errors);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            for (index, item) in list.iter().enumerate() {
                walk(items, item, &format!("{path}[{index}]"), items.embedded, errors);
            }
        }
        _ => {}
    }
}

fn one(map: &Map<String, Value>, path: &str, errors: &mut Vec<FieldError>) {
    for name in ["apiVersion", "kind"] {
        let at = join(path, name);
        match map.get(name) {
            None => errors.push(FieldError::required(at, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(at, "", "must not be empty"));
            }
            Some(Value::String(text)) => {
                if let Some(why) = wrong(name, text) {
                    errors.push(FieldError::invalid(at, text.as_str(), why));
                }
            }
            Some(other) => errors.push(FieldError::invalid(at, other.clone(), "must be a string")),
        }
    }
    let Some(metadata) = map.get("metadata") else { return };
    let at = join(path, "metadata");
    let Some(members) = metadata.as_object() else {
        errors.push(FieldError::invalid(at, metadata.clone(), "must be an object"));
        return;
    };
    let mut object = serde_json::json!({ "metadata": metadata });
    let unnamed = members.get("name").and_then(Value::as_str).is_none_or(str::is_empty);
    if unnamed {
        object["metadata"]["name"] = "fakename".into();
    }
    let namespaced = members.get("namespace").and_then(Value::as_str).is_some_and(|n| !n.is_empty());
    let scope = if namespaced { crate::Scope::Namespaced } else { crate::Scope::Cluster };
    for mut error in object_meta(&object, scope, NameRule::PathSegment) {
        error.path = join(path, &error.path);
        errors.push(error);
    }
}

fn wrong(name: &str, text: &str) -> Option<String> {
    if name == "apiVersion" {
        let slashes = text.matches('/').count();
        return (slashes > 1).then(|| format!("unexpected GroupVersion string: {text}"));
    }
    let wrong = names::dns1035_label(&text.to_lowercase());
    (!wrong.is_empty())
        .then(|| format!("may have mixed case, but should otherwise match: {}", wrong.join(",")))
}
