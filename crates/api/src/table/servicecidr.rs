//! `ServiceCIDRs` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name};

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("CIDRs", "string", "Networks that addresses of services are from."), AGE];

pub(crate) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let all: Vec<&str> = items(object, "/spec/cidrs").filter_map(Value::as_str).collect();
    vec![name(object), json!(all.join(",")), age(object, now)]
}
