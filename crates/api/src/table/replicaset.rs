//! `ReplicaSets` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, containers, name, number, selector};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Desired", "integer", "Pods that are wished."),
    Column::new("Current", "integer", "Pods that are there."),
    Column::new("Ready", "integer", "Pods that are ready."),
    AGE,
    Column::wide("Containers", "string", "Names of the containers in the template."),
    Column::wide("Images", "string", "Images of the containers in the template."),
    Column::wide("Selector", "string", "Label selector of the pods."),
];

pub(crate) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let [names, images] = containers(object);
    vec![
        name(object),
        json!(number(object, "/spec/replicas")),
        json!(number(object, "/status/replicas")),
        json!(number(object, "/status/readyReplicas")),
        age(object, now),
        names,
        images,
        selector(object),
    ]
}
