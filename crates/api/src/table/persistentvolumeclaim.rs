//! `PersistentVolumeClaims` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::persistentvolume::{access_modes, attributes_class, class, mode, phase};
use super::{AGE, Column, NAME, age, name, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Status", "string", "Whether the claim has a volume."),
    Column::new("Volume", "string", "The volume that the claim has."),
    Column::new("Capacity", "string", "Size of that volume."),
    Column::new("Access Modes", "string", "How that volume can be mounted."),
    Column::new("StorageClass", "string", "Class that is asked for."),
    Column::new("VolumeAttributesClass", "string", "Class of the attributes that is asked for."),
    AGE,
    Column::wide("VolumeMode", "string", "Whether the volume is a file system or a block device."),
];

pub(crate) fn cells(claim: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(claim, "/spec/volumeName");
    let (modes, capacity) = if volume.is_empty() {
        (String::new(), "")
    } else {
        (access_modes(claim, "/status/accessModes"), text(claim, "/status/capacity/storage"))
    };
    vec![
        name(claim),
        json!(phase(claim)),
        json!(volume),
        json!(capacity),
        json!(modes),
        json!(class(claim)),
        json!(attributes_class(claim)),
        age(claim, now),
        json!(mode(claim)),
    ]
}
