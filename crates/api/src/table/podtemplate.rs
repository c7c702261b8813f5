//! `PodTemplates` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, NAME, containers_at, label_map, name};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Containers", "string", "Names of the containers in the template."),
    Column::new("Images", "string", "Images of the containers in the template."),
    Column::new("Pod Labels", "string", "Labels that pods of the template get."),
];

pub(crate) fn cells(object: &Value, _now: Timestamp) -> Vec<Value> {
    let [names, images] = containers_at(object, "/template/spec/containers");
    let labels = object.pointer("/template/metadata/labels").and_then(Value::as_object);
    vec![name(object), names, images, json!(label_map(labels))]
}
