//! Validation of pods, and of the few fields that may change while one runs.
//!
//! Binding a pod to a node is not an update: whoever serves `/binding` does not ask [`validate_update`].

use serde_json::Value;

use super::{Path, integer, list, podspec};
use crate::status::FieldError;

pub(crate) fn validate(pod: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    match pod.get("spec") {
        Some(spec) => podspec::validate(spec, &path, &mut errors),
        None => errors.push(FieldError::required("spec.containers", "")),
    }
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (before, after) = (&old["spec"], &new["spec"]);
    let mut errors = Vec::new();
    containers_keep_their_number(before, after, &mut errors);
    deadline(before, after, &mut errors);
    tolerations(before, after, &mut errors);
    if !errors.is_empty() {
        return errors;
    }
    if masked(before, after) != *after {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden("spec", detail));
    }
    errors
}

/// The old spec with everything that may change taken from the new one.
fn masked(before: &Value, after: &Value) -> Value {
    let mut masked = before.clone();
    let Some(map) = masked.as_object_mut() else { return masked };
    let mut free = vec!["activeDeadlineSeconds", "tolerations"];
    if integer(before, "terminationGracePeriodSeconds").is_some_and(|s| s < 0)
        && integer(after, "terminationGracePeriodSeconds") == Some(1)
    {
        free.push("terminationGracePeriodSeconds");
    }
    if list(after, "schedulingGates").iter().all(|gate| list(before, "schedulingGates").contains(gate)) {
        free.push("schedulingGates");
    }
    for key in free {
        match after.get(key) {
            Some(value) => map.insert(key.to_owned(), value.clone()),
            None => map.remove(key),
        };
    }
    for key in ["containers", "initContainers"] {
        let Some(containers) = map.get_mut(key).and_then(Value::as_array_mut) else { continue };
        for (container, new) in containers.iter_mut().zip(list(after, key)) {
            if let (Some(container), Some(image)) = (container.as_object_mut(), new.get("image")) {
                container.insert("image".to_owned(), image.clone());
            }
        }
    }
    masked
}

fn containers_keep_their_number(before: &Value, after: &Value, errors: &mut Vec<FieldError>) {
    for key in ["containers", "initContainers"] {
        if list(before, key).len() != list(after, key).len() {
            let detail = format!(
                "pod updates may not add or remove {}",
                if key == "containers" { "containers" } else { "init containers" }
            );
            errors.push(FieldError::forbidden(format!("spec.{key}"), detail));
        }
    }
}

/// A deadline may be set or brought forward.
fn deadline(before: &Value, after: &Value, errors: &mut Vec<FieldError>) {
    let (old, new) = (integer(before, "activeDeadlineSeconds"), integer(after, "activeDeadlineSeconds"));
    let path = "spec.activeDeadlineSeconds";
    match (old, new) {
        (Some(old), Some(new)) if new > old => {
            let detail = format!("must be less than or equal to previous value {old}");
            errors.push(FieldError::invalid(path, new, detail));
        }
        (Some(_), None) => {
            errors.push(FieldError::invalid(path, Value::Null, "must not be removed once set"));
        }
        _ => {}
    }
}

/// Tolerations may be added; of those that are there, only the seconds may change.
fn tolerations(before: &Value, after: &Value, errors: &mut Vec<FieldError>) {
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(map) = toleration.as_object_mut() {
            map.remove("tolerationSeconds");
        }
        toleration
    };
    let kept: Vec<Value> = list(after, "tolerations").iter().map(bare).collect();
    if list(before, "tolerations").iter().any(|old| !kept.contains(&bare(old))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden("spec.tolerations", detail));
    }
}
