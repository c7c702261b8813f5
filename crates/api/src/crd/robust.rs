//! Entry points for fuzzing: whatever comes in, these return, within bounds of time and memory.

use serde_json::Value;

use super::{Changed, Structural};

/// Parses bytes as a schema and, when it is accepted, puts an object through everything that is done with it. Returns
/// whether the schema was accepted.
pub fn try_schema(schema: &[u8], object: &Value) -> bool {
    let Ok(schema) = serde_json::from_slice::<Value>(schema) else { return false };
    try_object(&schema, object)
}

/// As [`try_schema`], for a schema that is JSON already.
pub fn try_object(schema: &Value, object: &Value) -> bool {
    let Ok(schema) = Structural::parse(schema, "schema") else { return false };
    let mut shaped = object.clone();
    schema.prune(&mut shaped);
    schema.default(&mut shaped);
    // Findings are of no interest here, only that there is an end.
    drop(schema.validate(&shaped));
    drop(schema.validate_update(object, &shaped, Changed::Whole));
    drop(schema.validate_update(&shaped, object, Changed::Status));
    true
}

/// Compiles a rule for an object with a few fields of each type, and runs it. Returns whether it compiled.
pub fn try_rule(rule: &str, spec: &Value) -> bool {
    let schema = serde_json::json!({
        "type": "object",
        "properties": { "spec": {
            "type": "object",
            "x-kubernetes-validations": [{ "rule": rule, "message": "m" }],
            "properties": {
                "n": { "type": "integer" },
                "text": { "type": "string", "maxLength": 100 },
                "list": { "type": "array", "maxItems": 20, "items": { "type": "string", "maxLength": 20 } },
                "map": { "type": "object", "maxProperties": 20, "additionalProperties": { "type": "integer" } },
                "either": { "x-kubernetes-int-or-string": true, "maxLength": 20 }
            }
        } }
    });
    try_object(&schema, &serde_json::json!({ "spec": spec }))
}
