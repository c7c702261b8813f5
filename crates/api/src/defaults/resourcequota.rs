//! Defaults of `ResourceQuotas`: amounts in their canonical form.

use serde_json::Value;

use super::{object, podspec};

pub(crate) fn apply(quota: &mut Value) {
    let Some(map) = quota.as_object_mut() else { return };
    for (part, key) in [("spec", "hard"), ("status", "hard"), ("status", "used")] {
        if let Some(amounts) = object(map, part).and_then(|part| object(part, key)) {
            podspec::canonical(amounts);
        }
    }
}
