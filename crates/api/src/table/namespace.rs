//! Namespaces in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, text};

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Status", "string", "Active, or Terminating while its objects are deleted."), AGE];

pub(crate) fn cells(namespace: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(namespace), json!(text(namespace, "/status/phase")), age(namespace, now)]
}
