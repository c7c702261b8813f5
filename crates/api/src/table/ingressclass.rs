//! `IngressClasses` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, text};
use crate::meta;

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Controller", "string", "Controller that serves the class."),
    Column::new("Parameters", "string", "Object with more parameters."),
    AGE,
];

pub(crate) fn cells(class: &Value, now: Timestamp) -> Vec<Value> {
    let default = meta::annotation(class, "ingressclass.kubernetes.io/is-default-class") == Some("true");
    let mark = if default { " (default)" } else { "" };
    vec![
        json!(format!("{}{mark}", meta::name(class))),
        json!(text(class, "/spec/controller")),
        json!(parameters(class)),
        age(class, now),
    ]
}

fn parameters(class: &Value) -> String {
    let Some(parameters) = class.pointer("/spec/parameters") else { return "<none>".to_owned() };
    let (kind, name) = (text(parameters, "/kind"), text(parameters, "/name"));
    match parameters.get("apiGroup").and_then(Value::as_str) {
        Some(group) => format!("{kind}.{group}/{name}"),
        None => format!("{kind}/{name}"),
    }
}
