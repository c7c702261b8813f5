//! Defaults of `EndpointSlices`.

use serde_json::Value;

use super::{objects, set};

pub(crate) fn apply(slice: &mut Value) {
    let Some(map) = slice.as_object_mut() else { return };
    for port in objects(map, "ports") {
        set(port, "name", "");
        set(port, "protocol", "TCP");
    }
}
