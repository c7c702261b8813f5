//! `ResourceQuotas` in tables.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Request", "string", "What is used, of what may be requested."),
    Column::new("Limit", "string", "What is used, of what limits may add up to."),
    AGE,
];

pub(crate) fn cells(quota: &Value, now: Timestamp) -> Vec<Value> {
    let hard = quota.pointer("/status/hard").and_then(Value::as_object);
    let hard: BTreeMap<&String, &Value> = hard.into_iter().flatten().collect();
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, amount) in hard {
        let used = quota
            .pointer("/status/used")
            .map_or("", |used| used.get(resource).and_then(Value::as_str).unwrap_or_default());
        let used = if used.is_empty() { "0" } else { used };
        let part = format!("{resource}: {used}/{}", text(amount, ""));
        if resource.starts_with("limits.") { limits.push(part) } else { requests.push(part) }
    }
    vec![name(quota), json!(requests.join(", ")), json!(limits.join(", ")), age(quota, now)]
}
