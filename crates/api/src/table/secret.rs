//! Secrets in tables. Shows how many entries there are, never what is in them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Type", "string", "What the secret is for."),
    Column::new("Data", "string", "Number of entries."),
    AGE,
];

pub(crate) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = object.get("data").and_then(Value::as_object).map_or(0, serde_json::Map::len);
    vec![name(object), json!(text(object, "/type")), json!(count), age(object, now)]
}
