//! The rules that make a schema structural: every place has a type, and logic only restricts.
//!
//! Works on the schema as written. Findings are sorted, so that the same schema always gives the same message.

use serde_json::{Map, Value, json};

use crate::status::FieldError;

const META_FIELDS: [&str; 2] = ["kind", "apiVersion"];

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

type Raw = Map<String, Value>;

pub(super) fn check(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    structure(schema, path, Level::Root, &mut errors);
    errors.sort_by_key(ToString::to_string);
    errors
}

fn flag(map: &Raw, key: &str) -> bool {
    map.get(key) == Some(&Value::Bool(true))
}

fn text<'a>(map: &'a Raw, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(map: &'a Raw, key: &str) -> &'a [Value] {
    map.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn properties(map: &Raw) -> impl Iterator<Item = (&String, &Value)> {
    map.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn property<'a>(map: &'a Raw, name: &str) -> Option<&'a Value> {
    map.get("properties")?.get(name)
}

fn structure(schema: &Value, path: &str, level: Level, errors: &mut Vec<FieldError>) {
    let Some(map) = schema.as_object() else {
        errors.push(FieldError::type_invalid(path, schema.clone(), "must be an object"));
        return;
    };
    if text(map, "type") == "array" && map.get("items").is_none_or(Value::is_null) {
        errors.push(FieldError::required(format!("{path}.items"), "must be specified"));
    }
    if let Some(items) = map.get("items").filter(|v| v.is_object()) {
        structure(items, &format!("{path}.items"), Level::Item, errors);
    }
    for (name, child) in properties(map) {
        structure(child, &format!("{path}.properties[{name}]"), Level::Field, errors);
    }
    let additional = map.get("additionalProperties").filter(|v| !v.is_null());
    if let Some(additional) = additional {
        let path = format!("{path}.additionalProperties");
        if level == Level::Root {
            errors.push(FieldError::forbidden(&path, "must not be used at the root"));
        }
        if additional.is_object() {
            structure(additional, &path, Level::Field, errors);
        }
        if flag(map, "x-kubernetes-embedded-resource") {
            let why = "must not be used if x-kubernetes-embedded-resource is set";
            errors.push(FieldError::forbidden(path, why));
        }
    }
    extensions(map, path, errors);
    let skip_any = is_int_or_string(list(map, "anyOf"));
    let first = list(map, "allOf").first().and_then(Value::as_object);
    let skip_first = first.is_some_and(|first| is_int_or_string(list(first, "anyOf")));
    logic(map, path, skip_any, skip_first, errors);
    types(map, path, level, errors);
    metadata(map, path, level, errors);
}

fn extensions(map: &Raw, path: &str, errors: &mut Vec<FieldError>) {
    if !flag(map, "x-kubernetes-int-or-string") {
        return;
    }
    for key in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if flag(map, key) {
            let why = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(format!("{path}.{key}"), true, why));
        }
    }
}

fn types(map: &Raw, path: &str, level: Level, errors: &mut Vec<FieldError>) {
    let (kind, type_path) = (text(map, "type"), format!("{path}.type"));
    let embedded = flag(map, "x-kubernetes-embedded-resource");
    let open = flag(map, "x-kubernetes-preserve-unknown-fields");
    if embedded && kind != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(if kind.is_empty() {
            FieldError::required(&type_path, why)
        } else {
            FieldError::invalid(&type_path, kind, why)
        });
    } else if kind.is_empty() && !open && !flag(map, "x-kubernetes-int-or-string") {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&type_path, why));
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(&type_path, kind, "must be object at the root"));
    }
    if embedded && !open && properties(map).next().is_none() {
        let why = "must not be empty if x-kubernetes-embedded-resource is true without \
                   x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(format!("{path}.properties"), why));
    }
}

/// A schema may say little about what every resource has.
fn metadata(map: &Raw, path: &str, level: Level, errors: &mut Vec<FieldError>) {
    let resource = level == Level::Root || flag(map, "x-kubernetes-embedded-resource");
    let kind_of = |value: &Value| value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
    for name in META_FIELDS {
        let found = property(map, name).map(kind_of);
        if let Some(kind) = found.filter(|kind| resource && kind != "string") {
            let path = format!("{path}.properties[{name}].type");
            errors.push(FieldError::invalid(path, kind, "must be string"));
        }
    }
    let Some(metadata) = property(map, "metadata") else { return };
    let path = format!("{path}.properties[metadata]");
    let kind = kind_of(metadata);
    if resource && kind != "object" {
        errors.push(FieldError::invalid(format!("{path}.type"), kind, "must be object"));
    }
    if level != Level::Root {
        return;
    }
    let plain = metadata.as_object().is_some_and(|map| {
        let names = properties(map).all(|(name, _)| name == "name" || name == "generateName");
        let empty = |value: &Value| {
            matches!(value, Value::Null | Value::Bool(false))
                || value.as_str() == Some("")
                || value.as_array().is_some_and(Vec::is_empty)
        };
        names
            && map
                .iter()
                .all(|(key, value)| matches!(key.as_str(), "type" | "default" | "properties") || empty(value))
    });
    if !plain {
        let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(path, why));
    }
}

/// The two branches by which a schema may say that it takes integers and strings.
fn is_int_or_string(branches: &[Value]) -> bool {
    matches!(branches, [a, b] if *a == json!({"type": "integer"}) && *b == json!({"type": "string"}))
}

fn logic(map: &Raw, path: &str, skip_any: bool, skip_first: bool, errors: &mut Vec<FieldError>) {
    if !skip_any {
        for (index, branch) in list(map, "anyOf").iter().enumerate() {
            nested(branch, &format!("{path}.anyOf[{index}]"), false, errors);
        }
    }
    for (index, branch) in list(map, "allOf").iter().enumerate() {
        nested(branch, &format!("{path}.allOf[{index}]"), skip_first && index == 0, errors);
    }
    for (index, branch) in list(map, "oneOf").iter().enumerate() {
        nested(branch, &format!("{path}.oneOf[{index}]"), false, errors);
    }
    if let Some(not) = map.get("not").filter(|v| !v.is_null()) {
        nested(not, &format!("{path}.not"), false, errors);
    }
}

/// Keywords that describe instead of restrict, by what they must be inside of logic.
const DESCRIBING: &[(&str, &str)] = &[
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

fn nested(schema: &Value, path: &str, skip_any: bool, errors: &mut Vec<FieldError>) {
    let Some(map) = schema.as_object() else {
        errors.push(FieldError::type_invalid(path, schema.clone(), "must be an object"));
        return;
    };
    logic(map, path, skip_any, false, errors);
    if let Some(items) = map.get("items").filter(|v| v.is_object()) {
        nested(items, &format!("{path}.items"), false, errors);
    }
    for (name, child) in properties(map) {
        let path = format!("{path}.properties[{name}]");
        nested(child, &path, false, errors);
        if name == "metadata" {
            errors.push(FieldError::forbidden(path, "must not be specified in a nested context"));
        }
    }
    for (key, why) in DESCRIBING {
        let set = match map.get(*key) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::String(text)) => *key == "default" || !text.is_empty(),
            Some(Value::Array(items)) => *key == "default" || !items.is_empty(),
            Some(_) => true,
        };
        if set {
            errors.push(FieldError::forbidden(format!("{path}.{key}"), *why));
        }
    }
}
