//! Roles and `ClusterRoles` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, NAME, name, text};

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Created At", "date", "When the object was created.")];

pub(crate) fn cells(role: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(role), json!(text(role, "/metadata/creationTimestamp"))]
}
