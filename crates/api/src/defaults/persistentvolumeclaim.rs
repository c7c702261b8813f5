//! Defaults of `PersistentVolumeClaims`, and of the claim specs in templates.

use serde_json::{Map, Value, json};

use super::{object, podspec, set, spec_mut};
use crate::catalogue::CreateFacts;

pub(crate) fn apply(claim: &mut Value) {
    if let Some(spec) = spec_mut(claim) {
        apply_spec(spec);
    }
}

/// Fills in the spec of a claim.
pub(crate) fn apply_spec(spec: &mut Map<String, Value>) {
    set(spec, "volumeMode", "Filesystem");
    if let Some(resources) = object(spec, "resources") {
        for list in ["limits", "requests"] {
            if let Some(amounts) = object(resources, list) {
                podspec::canonical(amounts);
            }
        }
    }
}

/// `dataSource` and `dataSourceRef` say the same.
fn same_source(spec: &mut Map<String, Value>) {
    let (source, reference) = (spec.get("dataSource").cloned(), spec.get("dataSourceRef").cloned());
    match (source, reference) {
        (Some(source), None) => drop(spec.insert("dataSourceRef".to_owned(), source)),
        (None, Some(reference)) => {
            let foreign = reference.get("namespace").and_then(Value::as_str).is_some_and(|n| !n.is_empty());
            let group = reference.get("apiGroup").and_then(Value::as_str).unwrap_or_default();
            let kind = reference.get("kind").and_then(Value::as_str).unwrap_or_default();
            // The old field knew these only.
            let known = matches!(
                (group, kind),
                ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
            );
            if !foreign && known {
                spec.insert("dataSource".to_owned(), reference);
            }
        }
        _ => {}
    }
}

pub(crate) fn prepare_create(claim: &mut Value, _facts: &CreateFacts) {
    if let Some(map) = claim.as_object_mut() {
        map.insert("status".to_owned(), json!({ "phase": "Pending" }));
    }
    if let Some(spec) = spec_mut(claim) {
        same_source(spec);
    }
}

/// A re-applied manifest does not repeat what was filled in at creation.
pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    let Some(before) = old.get("spec").and_then(Value::as_object) else { return };
    let Some(spec) = spec_mut(new) else { return };
    for key in ["dataSource", "dataSourceRef"] {
        if let Some(value) = before.get(key)
            && (spec.contains_key("dataSource") || spec.contains_key("dataSourceRef"))
        {
            set(spec, key, value.clone());
        }
    }
}
