//! Validation of `ReplicaSets`.

use serde_json::Value;

use super::template::{self, Workload};
use super::{Path, non_negative};
use crate::status::FieldError;

const KIND: Workload = Workload {
    empty_selector: "empty selector is invalid for deployment",
    unusable_selector: "invalid label selector",
    name: "ReplicaSet",
};

pub(crate) fn validate(replica_set: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&replica_set["spec"], Path::new("spec"));
    non_negative(spec, &["replicas", "minReadySeconds"], &path, &mut errors);
    template::workload(spec, &KIND, &[], &path, &mut errors);
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    template::fixed(old, new, &["selector"])
}

pub(crate) fn validate_status(_old: &Value, new: &Value) -> Vec<FieldError> {
    const COUNTS: &[&str] =
        &["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    template::status_counts(new, COUNTS, &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"])
}
