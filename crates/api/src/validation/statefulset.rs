//! Validation of `StatefulSets`.

use serde_json::Value;

use super::check::{
    Errors, amount, at_most_all, count_or_percent, invalid, required, shaped_if_set, unsupported,
};
use super::template::{self, Workload};
use super::{Path, integer, list, names, non_negative, persistentvolumeclaim, text};
use crate::status::FieldError;

const POLICIES: [&str; 2] = ["OrderedReady", "Parallel"];
const RETENTION: &[&str] = &["Retain", "Delete"];
const KIND: Workload = Workload {
    empty_selector: "empty selector is invalid for statefulset",
    unusable_selector: "",
    name: "StatefulSet",
};
pub(crate) fn validate(stateful_set: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&stateful_set["spec"], Path::new("spec"));
    shaped_if_set(spec, "serviceName", names::dns1123_label, &path, &mut errors);
    match text(spec, "podManagementPolicy") {
        "" => required(&path.child("podManagementPolicy"), "", &mut errors),
        policy if !POLICIES.contains(&policy) => {
            let detail = "must be 'OrderedReady' or 'Parallel'";
            invalid(&path.child("podManagementPolicy"), policy, detail, &mut errors);
        }
        _ => {}
    }
    strategy(&spec["updateStrategy"], &path.child("updateStrategy"), &mut errors);
    retention(spec, &path.child("persistentVolumeClaimRetentionPolicy"), &mut errors);
    non_negative(spec, &["replicas", "minReadySeconds"], &path, &mut errors);
    if let Some(start) = integer(&spec["ordinals"], "start").filter(|start| *start < 0) {
        let detail = "must be greater than or equal to 0";
        invalid(&path.child("ordinals.start"), start, detail, &mut errors);
    }
    non_negative(spec, &["revisionHistoryLimit"], &path, &mut errors);
    let claims = list(spec, "volumeClaimTemplates");
    template::workload(spec, &KIND, claims, &path, &mut errors);
    for (index, claim) in claims.iter().enumerate() {
        let path = path.child("volumeClaimTemplates").index(index);
        match claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default() {
            "" => required(&path.child("metadata").child("name"), "", &mut errors),
            name => {
                super::check::shaped(
                    name,
                    names::dns1123_subdomain,
                    &path.child("metadata").child("name"),
                    &mut errors,
                );
            }
        }
        persistentvolumeclaim::validate_spec(&claim["spec"], &path.child("spec"), &mut errors);
    }
    errors
}

fn strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("rollingUpdate");
    match (text(strategy, "type"), strategy.get("rollingUpdate")) {
        ("", _) => required(path, "", errors),
        ("OnDelete", Some(rolling)) => {
            invalid(&at, rolling.clone(), "only allowed for updateStrategy 'RollingUpdate'", errors);
        }
        ("RollingUpdate", Some(rolling)) => {
            non_negative(rolling, &["partition"], &at, errors);
            if let Some(unavailable) = rolling.get("maxUnavailable") {
                let path = at.child("maxUnavailable");
                count_or_percent(unavailable, &path, errors);
                if amount(unavailable) == 0 {
                    invalid(&path, unavailable.clone(), "cannot be 0", errors);
                }
                at_most_all(unavailable, &path, errors);
            }
        }
        ("OnDelete" | "RollingUpdate", None) => {}
        _ => invalid(path, strategy.clone(), "must be 'RollingUpdate' or 'OnDelete'", errors),
    }
}

fn retention(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(policy) = spec.get("persistentVolumeClaimRetentionPolicy") else { return };
    for key in ["whenDeleted", "whenScaled"] {
        let found = text(policy, key);
        if !RETENTION.contains(&found) {
            unsupported(&path.child(key), found, RETENTION, errors);
        }
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    template::fixed(old, new, &["selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy"])
}

pub(crate) fn validate_status(_old: &Value, new: &Value) -> Vec<FieldError> {
    const COUNTS: &[&str] = &[
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    const PARTS: &[&str] = &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    template::status_counts(new, COUNTS, PARTS)
}
