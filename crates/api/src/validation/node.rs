//! Validation of Nodes.

use serde_json::Value;

use super::{Path, list, names, quantities, text};
use crate::status::FieldError;

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(crate) fn validate(node: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("spec").child("taints");
    for (index, taint) in list(&node["spec"], "taints").iter().enumerate() {
        let path = path.index(index);
        let (key, effect) = (text(taint, "key"), text(taint, "effect"));
        for wrong in names::qualified_name(key) {
            errors.push(FieldError::invalid(path.child("key").to_string(), key, wrong));
        }
        if effect.is_empty() {
            errors.push(FieldError::required(path.child("effect").to_string(), ""));
        } else if !EFFECTS.contains(&effect) {
            errors.push(FieldError::not_supported(path.child("effect").to_string(), effect, EFFECTS));
        }
    }
    for key in ["capacity", "allocatable"] {
        quantities(&node["status"][key], &Path::new("status").child(key), &mut errors);
    }
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (before, after) = (text(&old["spec"], "podCIDR"), text(&new["spec"], "podCIDR"));
    if !before.is_empty() && before != after {
        return vec![FieldError::forbidden(
            "spec.podCIDR",
            "node updates may not change podCIDR except from \"\" to valid",
        )];
    }
    Vec::new()
}
