//! `PodDisruptionBudgets` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, number};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Min Available", "string", "Pods that must stay available."),
    Column::new("Max Unavailable", "string", "Pods that may be unavailable."),
    Column::new("Allowed Disruptions", "integer", "Pods that may be evicted right now."),
    AGE,
];

pub(crate) fn cells(budget: &Value, now: Timestamp) -> Vec<Value> {
    let bound = |key: &str| match budget.pointer(&format!("/spec/{key}")) {
        Some(Value::String(text)) => json!(text),
        Some(Value::Number(number)) => json!(number.to_string()),
        _ => json!("N/A"),
    };
    vec![
        name(budget),
        bound("minAvailable"),
        bound("maxUnavailable"),
        json!(number(budget, "/status/disruptionsAllowed")),
        age(budget, now),
    ]
}
