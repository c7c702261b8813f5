//! Defaults of `StatefulSets`, their pods and their claims.

use serde_json::{Value, json};

use super::{object, object_or_new, objects, persistentvolumeclaim, podspec, set, spec_mut, text};

pub(crate) fn apply(stateful_set: &mut Value) {
    let Some(spec) = spec_mut(stateful_set) else { return };
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "podManagementPolicy", "OrderedReady");
    if let Some(strategy) = object_or_new(spec, "updateStrategy") {
        if text(strategy, "type").is_empty() {
            strategy.insert("type".to_owned(), json!("RollingUpdate"));
        }
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = object_or_new(strategy, "rollingUpdate")
        {
            set(rolling, "partition", 0);
            set(rolling, "maxUnavailable", 1);
        }
    }
    if let Some(retention) = object_or_new(spec, "persistentVolumeClaimRetentionPolicy") {
        set(retention, "whenDeleted", "Retain");
        set(retention, "whenScaled", "Retain");
    }
    for claim in objects(spec, "volumeClaimTemplates") {
        set(claim, "apiVersion", "v1");
        set(claim, "kind", "PersistentVolumeClaim");
        if let Some(spec) = object(claim, "spec") {
            persistentvolumeclaim::apply_spec(spec);
        }
        if let Some(status) = object_or_new(claim, "status") {
            set(status, "phase", "Pending");
        }
    }
    podspec::apply_template(spec);
}
