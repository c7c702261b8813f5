//! Defaults of `LimitRanges`: what a container gets follows from what it may have.

use serde_json::{Map, Value};

use super::{object, object_or_new, objects, podspec, set, spec_mut, text};

pub(crate) fn apply(range: &mut Value) {
    let Some(spec) = spec_mut(range) else { return };
    for item in objects(spec, "limits") {
        for key in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            if let Some(amounts) = object(item, key) {
                podspec::canonical(amounts);
            }
        }
        if text(item, "type") == "Container" {
            fill(item, "max", "default");
            fill(item, "default", "defaultRequest");
            fill(item, "min", "defaultRequest");
        }
    }
}

/// Amounts of `from` that `to` does not have.
fn fill(item: &mut Map<String, Value>, from: &str, to: &str) {
    let Some(amounts) = item.get(from).and_then(Value::as_object).cloned() else { return };
    if let Some(target) = object_or_new(item, to) {
        for (name, amount) in amounts {
            set(target, &name, amount);
        }
    }
}
