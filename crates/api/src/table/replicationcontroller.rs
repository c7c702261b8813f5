//! `ReplicationControllers` in tables. Their selector is a plain map of labels.

use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) use super::replicaset::COLUMNS;
use super::{label_map, replicaset};

pub(crate) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = replicaset::cells(object, now);
    if let Some(selector) = cells.last_mut() {
        *selector = json!(label_map(object.pointer("/spec/selector").and_then(Value::as_object)));
    }
    cells
}
