//! Defaults of `StorageClasses`.

use serde_json::Value;

use super::set;

pub(crate) fn apply(class: &mut Value) {
    let Some(map) = class.as_object_mut() else { return };
    set(map, "reclaimPolicy", "Delete");
    set(map, "volumeBindingMode", "Immediate");
}
