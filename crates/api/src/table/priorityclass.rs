//! `PriorityClasses` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, number, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Value", "integer", "Priority of pods of the class."),
    Column::new("Global-Default", "boolean", "Whether pods without a class get this one."),
    AGE,
    Column::new("PreemptionPolicy", "string", "Whether pods of the class make others go."),
];

pub(crate) fn cells(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(class),
        json!(number(class, "/value")),
        json!(class.get("globalDefault") == Some(&Value::Bool(true))),
        age(class, now),
        json!(text(class, "/preemptionPolicy")),
    ]
}
