//! Leases in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, text};

pub(crate) const COLUMNS: &[Column] = &[NAME, Column::new("Holder", "string", "Who holds the lease."), AGE];

pub(crate) fn cells(lease: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(lease), json!(text(lease, "/spec/holderIdentity")), age(lease, now)]
}
