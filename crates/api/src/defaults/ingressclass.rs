//! Defaults of `IngressClasses`.

use serde_json::Value;

use super::{object, set, spec_mut};

pub(crate) fn apply(class: &mut Value) {
    if let Some(parameters) = spec_mut(class).and_then(|spec| object(spec, "parameters")) {
        set(parameters, "scope", "Cluster");
    }
}
