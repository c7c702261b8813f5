//! Defaults of Nodes.

use serde_json::Value;

use super::{object, podspec, set};

pub(crate) fn apply(node: &mut Value) {
    let Some(status) = node.get_mut("status").and_then(Value::as_object_mut) else { return };
    if let Some(capacity) = status.get("capacity").cloned() {
        set(status, "allocatable", capacity);
    }
    for list in ["capacity", "allocatable"] {
        if let Some(amounts) = object(status, list) {
            podspec::canonical(amounts);
        }
    }
}
