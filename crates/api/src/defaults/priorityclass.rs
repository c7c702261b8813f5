//! Defaults of `PriorityClasses`.

use serde_json::Value;

use super::set;
use crate::catalogue::CreateFacts;
use crate::meta;

pub(crate) fn apply(class: &mut Value) {
    let Some(map) = class.as_object_mut() else { return };
    set(map, "preemptionPolicy", "PreemptLowerPriority");
    set(map, "value", 0);
}

/// The generation is 1 and stays so: what counts cannot change.
pub(crate) fn prepare_create(class: &mut Value, _facts: &CreateFacts) {
    meta::set_generation(class, 1);
}
