//! Defaults of `PersistentVolumes`.

use serde_json::{Value, json};

use super::{object, podspec, set, spec_mut};
use crate::catalogue::CreateFacts;

pub(crate) fn apply(volume: &mut Value) {
    let Some(spec) = spec_mut(volume) else { return };
    set(spec, "persistentVolumeReclaimPolicy", "Retain");
    set(spec, "volumeMode", "Filesystem");
    if let Some(capacity) = object(spec, "capacity") {
        podspec::canonical(capacity);
    }
    if let Some(host_path) = object(spec, "hostPath") {
        set(host_path, "type", "");
    }
    for source in ["iscsi", "rbd", "scaleIO", "azureDisk"] {
        if let Some(source_map) = object(spec, source) {
            defaults_of(source, source_map);
        }
    }
}

fn defaults_of(source: &str, map: &mut serde_json::Map<String, Value>) {
    match source {
        "iscsi" => set(map, "iscsiInterface", "default"),
        "rbd" => {
            set(map, "pool", "rbd");
            set(map, "user", "admin");
            set(map, "keyring", "/etc/ceph/keyring");
        }
        "scaleIO" => {
            set(map, "storageMode", "ThinProvisioned");
            set(map, "fsType", "xfs");
        }
        _ => {
            set(map, "cachingMode", "ReadWrite");
            set(map, "fsType", "ext4");
            set(map, "readOnly", false);
            set(map, "kind", "Shared");
        }
    }
}

pub(crate) fn prepare_create(volume: &mut Value, facts: &CreateFacts) {
    if let Some(map) = volume.as_object_mut() {
        let status =
            json!({ "phase": "Pending", "lastPhaseTransitionTime": crate::meta::format_time(facts.now) });
        map.insert("status".to_owned(), status);
    }
}
