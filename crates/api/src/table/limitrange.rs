//! `LimitRanges` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, NAME, name};
use crate::meta;

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Created At", "date", "When the object was created.")];

pub(crate) fn cells(range: &Value, _now: Timestamp) -> Vec<Value> {
    let created = meta::creation_timestamp(range).map(meta::format_time);
    vec![name(range), json!(created.unwrap_or_else(|| "<unknown>".to_owned()))]
}
