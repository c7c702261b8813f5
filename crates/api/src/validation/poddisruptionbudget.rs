//! Validation of `PodDisruptionBudgets`.

use serde_json::Value;

use super::check::{at_most_all, count_or_percent, invalid, label_selector, unsupported};
use super::{Path, non_negative};
use crate::status::FieldError;

const POLICIES: &[&str] = &["AlwaysAllow", "IfHealthyBudget"];

pub(crate) fn validate(budget: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&budget["spec"], Path::new("spec"));
    let bounds = ["minAvailable", "maxUnavailable"];
    if bounds.iter().all(|key| spec.get(*key).is_some()) {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        invalid(&path, spec.clone(), detail, &mut errors);
    }
    for key in bounds {
        if let Some(value) = spec.get(key) {
            count_or_percent(value, &path.child(key), &mut errors);
            at_most_all(value, &path.child(key), &mut errors);
        }
    }
    label_selector(&spec["selector"], &path.child("selector"), &mut errors);
    let policy = spec.get("unhealthyPodEvictionPolicy").and_then(Value::as_str);
    if let Some(policy) = policy.filter(|p| !POLICIES.contains(p)) {
        unsupported(&path.child("unhealthyPodEvictionPolicy"), policy, POLICIES, &mut errors);
    }
    errors
}

pub(crate) fn validate_status(_old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let counts = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
    non_negative(&new["status"], &counts, &Path::new("status"), &mut errors);
    errors
}
