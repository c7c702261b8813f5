//! `EndpointSlices` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, first_three, items, name, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("AddressType", "string", "Kind of the addresses."),
    Column::new("Ports", "string", "Ports of every endpoint."),
    Column::new("Endpoints", "string", "Addresses of the endpoints."),
    AGE,
];

pub(crate) fn cells(slice: &Value, now: Timestamp) -> Vec<Value> {
    // A port without a number is every port, or the one of that name.
    let port = |p: &Value| match p.get("port").and_then(Value::as_i64) {
        Some(number) => number.to_string(),
        None => p.get("name").and_then(Value::as_str).unwrap_or("*").to_owned(),
    };
    let ports: Vec<String> = items(slice, "/ports").map(port).collect();
    let addresses: Vec<String> = items(slice, "/endpoints")
        .flat_map(|endpoint| items(endpoint, "/addresses"))
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    vec![
        name(slice),
        json!(text(slice, "/addressType")),
        json!(first_three(&ports)),
        json!(first_three(&addresses)),
        age(slice, now),
    ]
}
