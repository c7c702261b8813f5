//! Defaults of `CSIDrivers`, and their generation, which begins to count with the first change.

use serde_json::{Value, json};

use super::{set, spec_mut};
use crate::meta;

pub(crate) fn apply(driver: &mut Value) {
    let Some(spec) = spec_mut(driver) else { return };
    let flags = [
        ("attachRequired", true),
        ("podInfoOnMount", false),
        ("storageCapacity", false),
        ("requiresRepublish", false),
        ("seLinuxMount", false),
        ("preventPodSchedulingIfMissing", false),
    ];
    for (key, value) in flags {
        set(spec, key, value);
    }
    set(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if spec.get("volumeLifecycleModes").and_then(Value::as_array).is_some_and(Vec::is_empty) {
        spec.remove("volumeLifecycleModes");
    }
    set(spec, "volumeLifecycleModes", json!(["Persistent"]));
}

/// A new driver has no generation; every change of its specification counts one.
pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    if old["spec"] != new["spec"] {
        meta::set_generation(new, meta::generation(old) + 1);
    }
}
