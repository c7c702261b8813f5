//! Defaults of `CSIStorageCapacities`: amounts in their canonical form.

use serde_json::Value;

use super::podspec::canonical_value;

pub(crate) fn apply(capacity: &mut Value) {
    let Some(map) = capacity.as_object_mut() else { return };
    for key in ["capacity", "maximumVolumeSize"] {
        if let Some(amount) = map.get_mut(key) {
            canonical_value(amount);
        }
    }
}
