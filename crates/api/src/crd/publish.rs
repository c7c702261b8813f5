//! The schema of a custom kind for readers of `OpenAPI` v2, which knows less than v3.
//!
//! For v3 the schema goes out as written ([`super::CustomKind::raw_schema`]), rules included.

use serde_json::{Map, Value};

/// Keywords that v2 does not have.
const DROPPED: [&str; 6] = ["allOf", "anyOf", "oneOf", "not", "nullable", "x-kubernetes-validations"];

fn flag(map: &Map<String, Value>, key: &str) -> bool {
    map.get(key) == Some(&Value::Bool(true))
}

/// Drops what v2 readers do not know or stumble over: logic, `null`, and the inside of what keeps unknown fields.
pub(super) fn for_v2(schema: &Value) -> Value {
    let Some(map) = schema.as_object() else { return schema.clone() };
    let mut out = map.clone();
    let nullable = flag(map, "nullable");
    let open = flag(map, "x-kubernetes-preserve-unknown-fields");
    for key in DROPPED {
        out.remove(key);
    }
    if nullable || open {
        out.remove("items");
        out.remove("properties");
    }
    let kind = map.get("type").and_then(Value::as_str).unwrap_or_default();
    let no_items = kind == "array" && !out.contains_key("items");
    if nullable || no_items || (open && kind == "object") {
        out.remove("type");
    }
    let optional: Vec<String> = out
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter(|(_, child)| child.as_object().is_some_and(|child| flag(child, "nullable")))
        .map(|(name, _)| name.clone())
        .collect();
    if let Some(Value::Array(required)) = out.get_mut("required") {
        required.retain(|name| !optional.iter().any(|optional| name.as_str() == Some(optional)));
        if required.is_empty() {
            out.remove("required");
        }
    }
    if let Some(Value::Object(properties)) = out.get_mut("properties") {
        for child in properties.values_mut() {
            *child = for_v2(child);
        }
    }
    for key in ["items", "additionalProperties"] {
        if let Some(child) = out.get_mut(key).filter(|child| child.is_object()) {
            *child = for_v2(child);
        }
    }
    Value::Object(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_v2_does_not_know_is_dropped() {
        let schema = json!({
            "type": "object", "required": ["a", "b"], "x-kubernetes-validations": [{"rule": "true"}],
            "properties": {
                "a": {"type": "array", "nullable": true, "items": {"type": "string"}},
                "b": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {"c": {"type": "string"}}},
                "d": {"type": "array", "items": {"type": "string", "anyOf": [{"minLength": 1}]}}
            }
        });
        assert_eq!(
            for_v2(&schema),
            json!({
                "type": "object", "required": ["b"],
                "properties": {
                    "a": {},
                    "b": {"x-kubernetes-preserve-unknown-fields": true},
                    "d": {"type": "array", "items": {"type": "string"}}
                }
            })
        );
    }
}
