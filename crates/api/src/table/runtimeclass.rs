//! `RuntimeClasses` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, text};

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Handler", "string", "Runtime that runs pods of the class."), AGE];

pub(crate) fn cells(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(class), json!(text(class, "/handler")), age(class, now)]
}
