//! `DaemonSets` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, containers, label_map, name, number, selector};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Desired", "integer", "Nodes that should run a pod."),
    Column::new("Current", "integer", "Nodes that run a pod and should."),
    Column::new("Ready", "integer", "Pods that are ready."),
    Column::new("Up-to-date", "integer", "Pods made from the newest template."),
    Column::new("Available", "integer", "Pods that were ready for the minimum time."),
    Column::new("Node Selector", "string", "Labels of the nodes."),
    AGE,
    Column::wide("Containers", "string", "Names of the containers in the template."),
    Column::wide("Images", "string", "Images of the containers in the template."),
    Column::wide("Selector", "string", "Label selector of the pods."),
];

pub(crate) fn cells(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = |key: &str| json!(number(object, &format!("/status/{key}")));
    let nodes = object.pointer("/spec/template/spec/nodeSelector").and_then(Value::as_object);
    let [names, images] = containers(object);
    vec![
        name(object),
        count("desiredNumberScheduled"),
        count("currentNumberScheduled"),
        count("numberReady"),
        count("updatedNumberScheduled"),
        count("numberAvailable"),
        json!(label_map(nodes)),
        age(object, now),
        names,
        images,
        selector(object),
    ]
}
