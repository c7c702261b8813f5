//! `CustomResourceDefinitions` in tables. Custom objects are printed by [`crate::crd`].

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, NAME, name, text};

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Created At", "date", "When the object was created.")];

pub(crate) fn cells(object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(text(object, "/metadata/creationTimestamp"))]
}
