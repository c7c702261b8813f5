//! Defaults of Endpoints.

use serde_json::Value;

use super::{objects, set};

pub(crate) fn apply(endpoints: &mut Value) {
    let Some(map) = endpoints.as_object_mut() else { return };
    for subset in objects(map, "subsets") {
        for port in objects(subset, "ports") {
            set(port, "protocol", "TCP");
        }
    }
}
