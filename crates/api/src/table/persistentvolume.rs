//! `PersistentVolumes` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name, text};
use crate::meta;

const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Capacity", "string", "Size of the volume."),
    Column::new("Access Modes", "string", "How the volume can be mounted."),
    Column::new("Reclaim Policy", "string", "What happens to the volume when its claim is gone."),
    Column::new("Status", "string", "Whether the volume is free, claimed or left over."),
    Column::new("Claim", "string", "Claim that has the volume."),
    Column::new("StorageClass", "string", "Class of the volume."),
    Column::new("VolumeAttributesClass", "string", "Class of the volume's attributes."),
    Column::new("Reason", "string", "Why the volume is in this state."),
    AGE,
    Column::wide("VolumeMode", "string", "Whether the volume is a file system or a block device."),
];

/// `RWO,ROX,RWX,RWOP`, in this order and each once.
pub(super) fn access_modes(object: &Value, pointer: &str) -> String {
    const MODES: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let has = |mode: &str| items(object, pointer).any(|found| found == mode);
    let given: Vec<&str> = MODES.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short).collect();
    given.join(",")
}

/// The storage class, in the field or in the annotation that came before it.
pub(super) fn class(object: &Value) -> String {
    let annotated = meta::annotation(object, OLD_CLASS);
    annotated.unwrap_or_else(|| text(object, "/spec/storageClassName")).to_owned()
}

pub(super) fn attributes_class(object: &Value) -> String {
    let class = object.pointer("/spec/volumeAttributesClassName").and_then(Value::as_str);
    class.unwrap_or("<unset>").to_owned()
}

pub(super) fn mode(object: &Value) -> String {
    let mode = object.pointer("/spec/volumeMode").and_then(Value::as_str);
    mode.unwrap_or("<unset>").to_owned()
}

pub(super) fn phase(object: &Value) -> &str {
    if meta::is_being_deleted(object) { "Terminating" } else { text(object, "/status/phase") }
}

pub(crate) fn cells(volume: &Value, now: Timestamp) -> Vec<Value> {
    let claim = volume
        .pointer("/spec/claimRef")
        .map(|claim| format!("{}/{}", text(claim, "/namespace"), text(claim, "/name")));
    vec![
        name(volume),
        json!(text(volume, "/spec/capacity/storage")),
        json!(access_modes(volume, "/spec/accessModes")),
        json!(text(volume, "/spec/persistentVolumeReclaimPolicy")),
        json!(phase(volume)),
        json!(claim.unwrap_or_default()),
        json!(class(volume)),
        json!(attributes_class(volume)),
        json!(text(volume, "/status/reason")),
        age(volume, now),
        json!(mode(volume)),
    ]
}
