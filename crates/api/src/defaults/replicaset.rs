//! Defaults of `ReplicaSets`.

use serde_json::Value;

use super::{podspec, set, spec_mut};

pub(crate) fn apply(replica_set: &mut Value) {
    let Some(spec) = spec_mut(replica_set) else { return };
    set(spec, "replicas", 1);
    podspec::apply_template(spec);
}
