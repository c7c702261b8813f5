//! `VolumeAttachments` in tables.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column {
        name: Cow::Borrowed("Attacher"),
        kind: Cow::Borrowed("string"),
        format: Cow::Borrowed("name"),
        description: Cow::Borrowed("Driver that attaches the volume."),
        priority: 0,
    },
    Column::new("PV", "string", "Volume that is attached."),
    Column::new("Node", "string", "Node that it is attached to."),
    Column::new("Attached", "boolean", "Whether it is attached."),
    AGE,
];

pub(crate) fn cells(attachment: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(attachment),
        json!(text(attachment, "/spec/attacher")),
        json!(text(attachment, "/spec/source/persistentVolumeName")),
        json!(text(attachment, "/spec/nodeName")),
        json!(attachment.pointer("/status/attached") == Some(&Value::Bool(true))),
        age(attachment, now),
    ]
}
