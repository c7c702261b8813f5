//! `StorageClasses` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, text};
use crate::meta;

const DEFAULT_MARKS: &[&str] =
    &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Provisioner", "string", "Driver that makes the volumes."),
    Column::new("ReclaimPolicy", "string", "What becomes of a volume when its claim goes."),
    Column::new("VolumeBindingMode", "string", "When volumes are made and bound."),
    Column::new("AllowVolumeExpansion", "string", "Whether volumes can grow."),
    AGE,
];

pub(crate) fn cells(class: &Value, now: Timestamp) -> Vec<Value> {
    let default = DEFAULT_MARKS.iter().any(|key| meta::annotation(class, key) == Some("true"));
    let mark = if default { " (default)" } else { "" };
    let or = |pointer: &str, missing: &'static str| match text(class, pointer) {
        "" => missing.to_owned(),
        found => found.to_owned(),
    };
    vec![
        json!(format!("{}{mark}", meta::name(class))),
        json!(text(class, "/provisioner")),
        json!(or("/reclaimPolicy", "Delete")),
        json!(or("/volumeBindingMode", "<unset>")),
        json!(class.get("allowVolumeExpansion") == Some(&Value::Bool(true))),
        age(class, now),
    ]
}
