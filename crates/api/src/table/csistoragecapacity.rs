//! `CSIStorageCapacities` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, NAME, name, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("StorageClassName", "string", "Class that the capacity is for."),
    Column::new("Capacity", "string", "How much is left."),
];

pub(crate) fn cells(capacity: &Value, _now: Timestamp) -> Vec<Value> {
    let amount = match text(capacity, "/capacity") {
        "" => "<unset>",
        amount => amount,
    };
    vec![name(capacity), json!(text(capacity, "/storageClassName")), json!(amount)]
}
