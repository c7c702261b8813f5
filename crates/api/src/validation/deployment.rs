//! Validation of Deployments.

use serde_json::Value;

use super::{Path, integer, non_negative, template, text};
use crate::status::FieldError;

const STRATEGIES: &[&str] = &["Recreate", "RollingUpdate"];

pub(crate) fn validate(deployment: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&deployment["spec"], Path::new("spec"));
    let counts = ["replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"];
    non_negative(spec, &counts, &path, &mut errors);
    template::selector(spec, &path, &mut errors);
    template::validate(spec, &path, &["Always"], &mut errors);
    strategy(&spec["strategy"], &path.child("strategy"), &mut errors);
    let (deadline, ready) = (integer(spec, "progressDeadlineSeconds"), integer(spec, "minReadySeconds"));
    if let Some(deadline) = deadline
        && deadline <= ready.unwrap_or(0)
    {
        let detail = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid("spec.progressDeadlineSeconds", deadline, detail));
    }
    errors
}

fn strategy(strategy: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(strategy, "type");
    let rolling = &strategy["rollingUpdate"];
    if !STRATEGIES.contains(&kind) {
        errors.push(FieldError::not_supported(path.child("type").to_string(), kind, STRATEGIES));
        return;
    }
    let path = path.child("rollingUpdate");
    if kind == "Recreate" {
        if !rolling.is_null() {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(path.to_string(), detail));
        }
        return;
    }
    let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    let both = [("maxUnavailable", unavailable), ("maxSurge", surge)];
    for (key, value) in both {
        share(value, &path.child(key), errors);
    }
    if both.iter().all(|(_, value)| is_zero(value)) {
        let detail = "may not be 0 when `maxSurge` is 0";
        errors.push(FieldError::invalid(
            path.child("maxUnavailable").to_string(),
            unavailable.clone(),
            detail,
        ));
    }
    if percent(unavailable).is_some_and(|p| p > 100) {
        let detail = "must not be greater than 100%";
        errors.push(FieldError::invalid(
            path.child("maxUnavailable").to_string(),
            unavailable.clone(),
            detail,
        ));
    }
}

fn percent(value: &Value) -> Option<u32> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

fn is_zero(value: &Value) -> bool {
    value.as_i64() == Some(0) || percent(value) == Some(0)
}

/// A count or a percentage.
fn share(value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|n| n < 0) => {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(path.to_string(), value.clone(), detail));
        }
        Value::String(_) if percent(value).is_none() => {
            let detail = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%', '93%', regex used for validation is '[0-9]+%')";
            errors.push(FieldError::invalid(path.to_string(), value.clone(), detail));
        }
        _ => {}
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    template::fixed(old, new, &["selector"])
}
