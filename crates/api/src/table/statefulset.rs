//! `StatefulSets` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, containers, name, number};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Ready", "string", "Ready pods, of all that are wished."),
    AGE,
    Column::wide("Containers", "string", "Names of the containers in the template."),
    Column::wide("Images", "string", "Images of the containers in the template."),
];

pub(crate) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas"));
    let [names, images] = containers(object);
    vec![name(object), json!(ready), age(object, now), names, images]
}
