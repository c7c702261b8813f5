//! `ServiceAccounts` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name};

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Secrets", "string", "Number of secrets that pods of the account may use."), AGE];

pub(crate) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(items(object, "/secrets").len()), age(object, now)]
}
