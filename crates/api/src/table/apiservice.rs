//! `APIServices` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Service", "string", "Service that serves the API."),
    Column::new("Available", "string", "Whether the API can be used."),
    AGE,
];

pub(crate) fn cells(service: &Value, now: Timestamp) -> Vec<Value> {
    let target = match service.pointer("/spec/service") {
        None => "Local".to_owned(),
        Some(target) => format!("{}/{}", text(target, "/namespace"), text(target, "/name")),
    };
    vec![name(service), json!(target), json!(availability(service)), age(service, now)]
}

fn availability(service: &Value) -> String {
    let condition = items(service, "/status/conditions").find(|c| text(c, "/type") == "Available");
    let Some(condition) = condition else { return "Unknown".to_owned() };
    match (text(condition, "/status"), text(condition, "/reason")) {
        ("True", _) => "True".to_owned(),
        (status, "") => status.to_owned(),
        (status, reason) => format!("{status} ({reason})"),
    }
}
