//! Defaults of `EndpointSlices`, and their generation, which counts changes of the labels, too.

use serde_json::Value;

use super::{objects, set};
use crate::catalogue::CreateFacts;
use crate::meta;

pub(crate) fn apply(slice: &mut Value) {
    let Some(map) = slice.as_object_mut() else { return };
    for port in objects(map, "ports") {
        set(port, "name", "");
        set(port, "protocol", "TCP");
    }
}

pub(crate) fn prepare_create(slice: &mut Value, _facts: &CreateFacts) {
    meta::set_generation(slice, 1);
    drop_topology(slice);
}

pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    if old.get("endpoints") != new.get("endpoints") {
        drop_topology(new);
    }
    let same = meta::equal_but(old, new, &["metadata"]) && meta::labels(old) == meta::labels(new);
    let before = meta::generation(old);
    meta::set_generation(new, if same { before } else { before + 1 });
}

/// The field of the beta version cannot be written any more.
fn drop_topology(slice: &mut Value) {
    let Some(map) = slice.as_object_mut() else { return };
    for endpoint in objects(map, "endpoints") {
        endpoint.remove("deprecatedTopology");
    }
}
