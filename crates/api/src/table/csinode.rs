//! `CSINodes` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name};

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Drivers", "integer", "Drivers that are registered on the node."), AGE];

pub(crate) fn cells(node: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(node), json!(items(node, "/spec/drivers").len()), age(node, now)]
}
