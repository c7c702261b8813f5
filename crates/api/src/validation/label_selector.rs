//! Validation of a `metav1.LabelSelector`, requirement by requirement.

use serde_json::Value;

use super::{Path, list, meta, names, text};
use crate::status::FieldError;

/// Checks a selector; one that is missing is fine.
pub(super) fn validate(selector: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    meta::labels(selector.get("matchLabels"), &path.child("matchLabels").to_string(), errors);
    let expressions = path.child("matchExpressions");
    for (index, requirement) in list(selector, "matchExpressions").iter().enumerate() {
        validate_requirement(requirement, &expressions.index(index), errors);
    }
}

fn validate_requirement(requirement: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (operator, values) = (text(requirement, "operator"), list(requirement, "values"));
    let at = path.child("values");
    match operator {
        "In" | "NotIn" if values.is_empty() => {
            errors.push(at.required("must be specified when `operator` is 'In' or 'NotIn'"));
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            errors.push(at.forbidden("may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.push(path.child("operator").invalid(other, "not a valid selector operator")),
    }
    let key = text(requirement, "key");
    path.child("key").each(key, names::qualified_name(key), errors);
    for (index, value) in values.iter().enumerate() {
        let value = value.as_str().unwrap_or_default();
        at.index(index).each(value, names::label_value(value), errors);
    }
}
