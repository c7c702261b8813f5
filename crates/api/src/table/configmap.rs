//! `ConfigMaps` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name};

pub(crate) const COLUMNS: &[Column] = &[NAME, Column::new("Data", "string", "Number of entries."), AGE];

pub(crate) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = |key: &str| object.get(key).and_then(Value::as_object).map_or(0, serde_json::Map::len);
    vec![name(object), json!(count("data") + count("binaryData")), age(object, now)]
}
