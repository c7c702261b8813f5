//! Deployments in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, containers, name, number, selector};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Ready", "string", "Ready pods, of all that are wished."),
    Column::new("Up-to-date", "string", "Pods made from the newest template."),
    Column::new("Available", "string", "Pods that were ready for the minimum time."),
    AGE,
    Column::wide("Containers", "string", "Names of the containers in the template."),
    Column::wide("Images", "string", "Images of the containers in the template."),
    Column::wide("Selector", "string", "Label selector of the pods."),
];

pub(crate) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let ready = format!("{}/{}", number(object, "/status/readyReplicas"), number(object, "/spec/replicas"));
    let [names, images] = containers(object);
    vec![
        name(object),
        json!(ready),
        json!(number(object, "/status/updatedReplicas")),
        json!(number(object, "/status/availableReplicas")),
        age(object, now),
        names,
        images,
        selector(object),
    ]
}
