//! What each keyword of a schema must be, besides being structural.

use serde_json::{Map, Value};

use super::super::cel::valid_path;
use super::parse;
use crate::status::FieldError;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
/// Keywords of `OpenAPI` that Kubernetes does not take.
const UNSUPPORTED: [&str; 6] =
    ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"];

type Raw = Map<String, Value>;

/// What surrounds a schema.
#[derive(Clone, Copy)]
struct Around<'p> {
    root: bool,
    /// Inside of `metadata`, `apiVersion` or `kind` of a resource.
    in_meta: bool,
    /// Why defaults are not allowed here.
    no_defaults: Option<&'p str>,
}

pub(super) fn check(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        errors.push(FieldError::forbidden(format!("{path}.nullable"), "nullable cannot be true at the root"));
    }
    walk(schema, path, Around { root: true, in_meta: false, no_defaults: None }, &mut errors);
    errors
}

fn text<'a>(map: &'a Raw, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn flag(map: &Raw, key: &str) -> bool {
    map.get(key) == Some(&Value::Bool(true))
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn walk(schema: &Value, path: &str, around: Around<'_>, errors: &mut Vec<FieldError>) {
    let Some(map) = schema.as_object() else { return };
    plain(map, path, around, errors);
    if let Some(additional) = map.get("additionalProperties").filter(|v| !v.is_null()) {
        let path = format!("{path}.additionalProperties");
        let has_properties = map.get("properties").and_then(Value::as_object).is_some_and(|p| !p.is_empty());
        if has_properties && *additional != Value::Bool(true) {
            let why = "additionalProperties and properties are mutual exclusive";
            errors.push(FieldError::forbidden(&path, why));
        }
        let no_defaults = if around.in_meta {
            Some("inside additionalProperties applying to object metadata")
        } else {
            around.no_defaults
        };
        walk(additional, &path, Around { root: false, no_defaults, ..around }, errors);
    }
    for (name, child) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let mut inner = Around { root: false, ..around };
        let meta = matches!(name.as_str(), "metadata" | "kind" | "apiVersion");
        let reason = format!("in top-level {name}");
        if meta && (around.root || flag(map, "x-kubernetes-embedded-resource")) {
            inner.in_meta = true;
            if around.root {
                inner.no_defaults = Some(&reason);
            }
        }
        walk(child, &format!("{path}.properties[{name}]"), inner, errors);
    }
    let inner = Around { root: false, ..around };
    if let Some(not) = map.get("not") {
        walk(not, &format!("{path}.not"), inner, errors);
    }
    for key in ["allOf", "oneOf", "anyOf"] {
        for (index, branch) in map.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
            walk(branch, &format!("{path}.{key}[{index}]"), inner, errors);
        }
    }
    if let Some(items) = map.get("items") {
        walk(items, &format!("{path}.items"), inner, errors);
    }
    merge_rules(map, path, errors);
    validations(schema, map, path, errors);
}

fn plain(map: &Raw, path: &str, around: Around<'_>, errors: &mut Vec<FieldError>) {
    let at = |key: &str| format!("{path}.{key}");
    let kind = text(map, "type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(at("type"), kind, &TYPES));
    }
    if kind == "null" {
        let why = "type cannot be set to null, use nullable as an alternative";
        errors.push(FieldError::forbidden(at("type"), why));
    }
    if let Some(why) = around.no_defaults.filter(|_| map.get("default").is_some_and(|v| !v.is_null())) {
        errors.push(FieldError::forbidden(at("default"), format!("must not be set {why}")));
    }
    for key in UNSUPPORTED {
        if map.get(key).is_some_and(is_set) {
            errors.push(FieldError::forbidden(at(key), format!("{key} is not supported")));
        }
    }
    if map.get("items").is_some_and(Value::is_array) {
        let why = "items must be a schema object and not an array";
        errors.push(FieldError::forbidden(at("items"), why));
    }
    if around.in_meta && flag(map, "x-kubernetes-embedded-resource") {
        let why = "must not be used inside of resource meta";
        errors.push(FieldError::forbidden(at("x-kubernetes-embedded-resource"), why));
    }
    if flag(map, "uniqueItems") {
        let why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.push(FieldError::forbidden(at("uniqueItems"), why));
    }
    let preserve = "x-kubernetes-preserve-unknown-fields";
    if map.get(preserve) == Some(&Value::Bool(false)) {
        errors.push(FieldError::invalid(at(preserve), false, "must be true or undefined"));
    }
    if let Some(step) = map.get("multipleOf").and_then(Value::as_f64).filter(|step| *step <= 0.0) {
        let why = "factor MultipleOf must be positive";
        errors.push(FieldError::invalid(at("multipleOf"), step, why));
    }
}

/// An extension that only fits one type.
fn of_type(map: &Raw, path: &str, extension: &str, wanted: &str, errors: &mut Vec<FieldError>) -> bool {
    let kind = text(map, "type");
    if map.get(extension).is_none_or(Value::is_null) || kind == wanted {
        return true;
    }
    let (path, why) = (format!("{path}.type"), format!("must be {wanted} if {extension} is specified"));
    errors.push(if kind.is_empty() {
        FieldError::required(path, why)
    } else {
        FieldError::invalid(path, kind, why)
    });
    false
}

fn merge_rules(map: &Raw, path: &str, errors: &mut Vec<FieldError>) {
    let at = |key: &str| format!("{path}.{key}");
    of_type(map, path, "x-kubernetes-map-type", "object", errors);
    let map_type = text(map, "x-kubernetes-map-type");
    if map.contains_key("x-kubernetes-map-type") && !["atomic", "granular"].contains(&map_type) {
        let found = FieldError::not_supported(at("x-kubernetes-map-type"), map_type, &["atomic", "granular"]);
        errors.push(found);
    }
    let is_array = of_type(map, path, "x-kubernetes-list-type", "array", errors);
    let list_type = map.get("x-kubernetes-list-type").and_then(Value::as_str);
    let items = map.get("items").and_then(Value::as_object);
    if let (true, Some("set"), Some(items)) = (is_array, list_type, items) {
        set_items(items, path, errors);
    }
    if let Some(found) = list_type.filter(|t| !["atomic", "set", "map"].contains(t)) {
        let allowed = ["atomic", "set", "map"];
        errors.push(FieldError::not_supported(at("x-kubernetes-list-type"), found, &allowed));
    }
    let keys: Vec<&str> = map
        .get("x-kubernetes-list-map-keys")
        .and_then(Value::as_array)
        .map(|keys| keys.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    if !keys.is_empty() && list_type != Some("map") {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        errors.push(match list_type {
            None => FieldError::required(at("x-kubernetes-list-type"), why),
            Some(found) => FieldError::invalid(at("x-kubernetes-list-type"), found, why),
        });
    }
    if list_type == Some("map") {
        map_keys(map, items, &keys, path, errors);
    }
    if let (Some(kind @ ("set" | "map")), Some(items)) = (list_type, items)
        && flag(items, "nullable")
    {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {kind}");
        errors.push(FieldError::forbidden(at("items.nullable"), why));
    }
}

fn set_items(items: &Raw, path: &str, errors: &mut Vec<FieldError>) {
    let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let (key, fine) = match text(items, "type") {
        "array" => {
            ("x-kubernetes-list-type", ["", "atomic"].contains(&text(items, "x-kubernetes-list-type")))
        }
        "object" => ("x-kubernetes-map-type", text(items, "x-kubernetes-map-type") == "atomic"),
        _ => return,
    };
    if !fine {
        let found = items.get("x-kubernetes-list-type").cloned().unwrap_or_default();
        errors.push(FieldError::invalid(format!("{path}.items.{key}"), found, why));
    }
}

fn map_keys(map: &Raw, items: Option<&Raw>, keys: &[&str], path: &str, errors: &mut Vec<FieldError>) {
    let keys_path = format!("{path}.x-kubernetes-list-map-keys");
    if keys.is_empty() {
        errors.push(FieldError::required(&keys_path, "must not be empty if x-kubernetes-list-type is map"));
    }
    let Some(items) = items else {
        if !map.contains_key("items") {
            let why = "must have a schema if x-kubernetes-list-type is map";
            errors.push(FieldError::required(format!("{path}.items"), why));
        }
        return;
    };
    let kind = text(items, "type");
    if kind != "object" {
        let why = "must be object if parent array's x-kubernetes-list-type is map";
        errors.push(FieldError::invalid(format!("{path}.items.type"), kind, why));
        return;
    }
    let required: Vec<&str> = items
        .get("required")
        .and_then(Value::as_array)
        .map(|list| list.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (index, key) in keys.iter().enumerate() {
        let shown = || serde_json::json!(keys);
        if keys[..index].contains(key) {
            errors.push(FieldError::invalid(&keys_path, shown(), "must not contain duplicate entries"));
        }
        let property = items.get("properties").and_then(|p| p.get(*key)).and_then(Value::as_object);
        let Some(property) = property else {
            errors.push(FieldError::invalid(
                &keys_path,
                shown(),
                "entries must all be names of item properties",
            ));
            continue;
        };
        let path = format!("{path}.items.properties[{key}]");
        if ["array", "object"].contains(&text(property, "type")) {
            let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(format!("{path}.type"), kind, why));
        }
        if !required.contains(key) && property.get("default").is_none_or(Value::is_null) {
            let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(format!("{path}.default"), why));
        }
        if flag(property, "nullable") {
            let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(format!("{path}.nullable"), why));
        }
    }
}

/// The members of rules; what they say is looked at when they are compiled.
fn validations(schema: &Value, map: &Raw, path: &str, errors: &mut Vec<FieldError>) {
    let rules = map.get("x-kubernetes-validations").and_then(Value::as_array);
    let mut node = None;
    for (index, rule) in rules.into_iter().flatten().enumerate() {
        let path = format!("{path}.x-kubernetes-validations[{index}]");
        let get = |key: &str| rule.get(key).and_then(Value::as_str);
        let line_breaks = |text: &str| text.contains(['\n', '\r']);
        let source = get("rule").unwrap_or_default().trim();
        let message = get("message").unwrap_or_default();
        if source.is_empty() {
            errors.push(FieldError::required(format!("{path}.rule"), "rule is not specified"));
        } else if !message.is_empty() && message.trim().is_empty() {
            let why = "must be non-empty if specified";
            errors.push(FieldError::invalid(format!("{path}.message"), message, why));
        } else if line_breaks(message.trim()) {
            errors.push(FieldError::invalid(
                format!("{path}.message"),
                message,
                "must not contain line breaks",
            ));
        } else if line_breaks(source) && message.trim().is_empty() {
            let why = "message must be specified if rule contains line breaks";
            errors.push(FieldError::required(format!("{path}.message"), why));
        }
        if get("messageExpression").is_some_and(|text| !text.is_empty() && text.trim().is_empty()) {
            let why = "messageExpression must be non-empty if specified";
            errors.push(FieldError::required(format!("{path}.messageExpression"), why));
        }
        if let Some(reason) = get("reason").filter(|reason| !REASONS.contains(reason)) {
            errors.push(FieldError::not_supported(format!("{path}.reason"), reason, &REASONS));
        }
        let Some(field_path) = get("fieldPath").filter(|text| !text.is_empty()) else { continue };
        let at = format!("{path}.fieldPath");
        if field_path.trim().is_empty() {
            errors.push(FieldError::invalid(&at, field_path, "must be non-empty if specified"));
        }
        if line_breaks(field_path) {
            errors.push(FieldError::invalid(&at, field_path, "must not contain line breaks"));
        }
        let node = node.get_or_insert_with(|| parse::root(schema, "").unwrap_or_default());
        if valid_path(field_path, node, true).is_err() {
            errors.push(FieldError::invalid(at, field_path, "must be a valid path"));
        }
    }
}
