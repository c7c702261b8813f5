//! Validation of `ResourceQuotas`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Errors, invalid, required, texts};
use super::{Path, list, resources, text};
use crate::status::FieldError;

/// Scopes that select pods by what they are.
const POD_SCOPES: &[&str] =
    &["Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity"];
const OTHER_SCOPES: &[&str] = &["PriorityClass", "VolumeAttributesClass"];
const CONFLICTS: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
/// What may be counted when a scope looks at amounts.
const COMPUTE: &[&str] = &[
    "cpu",
    "memory",
    "limits.cpu",
    "limits.memory",
    "requests.cpu",
    "requests.memory",
    "ephemeral-storage",
    "requests.ephemeral-storage",
    "limits.ephemeral-storage",
];

pub(crate) fn validate(quota: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&quota["spec"], Path::new("spec"));
    resources::quota_amounts(&spec["hard"], &path.child("hard"), &mut errors);
    scopes(spec, &path.child("scopes"), &mut errors);
    selector(spec, &path.child("scopeSelector").child("matchExpressions"), &mut errors);
    errors.extend(amounts_of_status(quota));
    errors
}

fn amounts_of_status(quota: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in ["hard", "used"] {
        let path = Path::new("status").child(key);
        resources::quota_amounts(&quota["status"][key], &path, &mut errors);
    }
    errors
}

fn known(scope: &str) -> bool {
    POD_SCOPES.contains(&scope) || OTHER_SCOPES.contains(&scope)
}

/// Whether a resource can be counted for what the scope selects.
fn fits(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => resource == "pods" || COMPUTE.contains(&resource),
        _ => true,
    }
}

fn misfits(spec: &Value, scope: &str) -> usize {
    let hard = spec.get("hard").and_then(Value::as_object);
    let standard = |name: &&String| !name.contains('/') && !name.starts_with("count/");
    hard.into_iter().flat_map(|map| map.keys()).filter(standard).filter(|name| !fits(scope, name)).count()
}

fn conflicting(all: &BTreeSet<&str>) -> usize {
    CONFLICTS.iter().filter(|pair| pair.iter().all(|scope| all.contains(scope))).count()
}

fn scopes(spec: &Value, path: &Path, errors: &mut Errors) {
    let shown = Value::from(list(spec, "scopes").to_vec());
    let all: BTreeSet<&str> = texts(spec, "scopes").collect();
    for scope in texts(spec, "scopes") {
        if !known(scope) {
            invalid(path, shown.clone(), "unsupported scope", errors);
        }
        for _ in 0..misfits(spec, scope) {
            invalid(path, shown.clone(), "unsupported scope applied to resource", errors);
        }
    }
    for _ in 0..conflicting(&all) {
        invalid(path, shown.clone(), "conflicting scopes", errors);
    }
}

fn selector(spec: &Value, path: &Path, errors: &mut Errors) {
    let expressions = list(&spec["scopeSelector"], "matchExpressions");
    let mut all = BTreeSet::new();
    for expression in expressions {
        let (scope, operator) = (text(expression, "scopeName"), text(expression, "operator"));
        let values = list(expression, "values");
        all.insert(scope);
        if !known(scope) {
            invalid(&path.child("scopeName"), scope, "unsupported scope", errors);
        }
        for _ in 0..misfits(spec, scope) {
            let shown = spec["scopeSelector"].clone();
            invalid(path, shown, "unsupported scope applied to resource", errors);
        }
        if POD_SCOPES.contains(&scope) && operator != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            invalid(&path.child("operator"), operator, detail, errors);
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail =
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                required(&path.child("values"), detail, errors);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail =
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                invalid(&path.child("values"), values.to_vec(), detail, errors);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => invalid(&path.child("operator"), other, "not a valid selector operator", errors),
        }
    }
    for _ in 0..conflicting(&all) {
        let shown = list(spec, "scopes").to_vec();
        invalid(path, shown, "conflicting scopes", errors);
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let set = |object: &Value| -> BTreeSet<String> {
        texts(&object["spec"], "scopes").map(str::to_owned).collect()
    };
    if set(old) == set(new) {
        return Vec::new();
    }
    vec![FieldError::immutable("spec.scopes", &new["spec"]["scopes"])]
}

pub(crate) fn validate_status(_old: &Value, new: &Value) -> Vec<FieldError> {
    amounts_of_status(new)
}
