//! Validation of `ValidatingAdmissionPolicies` and their bindings.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Path, admission, list, names, text};
use crate::meta;
use crate::status::FieldError;

const REASONS: &[&str] = &["Forbidden", "Invalid", "RequestEntityTooLarge"];
const ACTIONS: &[&str] = &["Audit", "Deny", "Warn"];
const ANNOTATIONS_MAX: usize = 20;
const ANNOTATION_EXPRESSION_BYTES_MAX: usize = 5 * 1024;

pub(crate) fn validate(policy: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&policy["spec"], Path::new("spec"));
    admission::policy(spec, &path, &mut errors);
    admission::match_conditions(spec, &path, &mut errors);
    admission::variables(spec, &path, &mut errors);
    let (validations, annotations) = (list(spec, "validations"), list(spec, "auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let detail = "validations or auditAnnotations must contain at least one item";
        errors.push(path.child("validations").required(detail));
        errors.push(path.child("auditAnnotations").required(detail));
        return errors;
    }
    for (index, validation) in validations.iter().enumerate() {
        validate_validation(validation, &path.child("validations").index(index), &mut errors);
    }
    let path = path.child("auditAnnotations");
    if annotations.len() > ANNOTATIONS_MAX {
        let detail = format!("must not have more than {ANNOTATIONS_MAX} auditAnnotations");
        errors.push(path.invalid(spec["auditAnnotations"].clone(), detail));
        return errors;
    }
    let mut seen = BTreeSet::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let (path, key) = (path.index(index), text(annotation, "key"));
        validate_annotation(meta::name(policy), annotation, &path, &mut errors);
        if !seen.insert(key) {
            errors.push(path.child("key").duplicate(key));
        }
    }
    errors
}

fn validate_validation(validation: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    admission::expression(validation, "expression", "expression is not specified", path, errors);
    for key in ["messageExpression", "message"] {
        let found = text(validation, key);
        if !found.is_empty() && found.trim().is_empty() {
            errors.push(path.child(key).invalid(found, "must be non-empty if specified"));
        } else if key == "message" && found.trim().contains(['\n', '\r']) {
            errors.push(path.child(key).invalid(found, "must not contain line breaks"));
        }
    }
    admission::choice(validation, "reason", REASONS, path, errors);
}

fn validate_annotation(policy: &str, annotation: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (key, at) = (text(annotation, "key"), path.child("key"));
    if policy.is_empty() {
        errors.push(at.invalid(key, "requires metadata.name be non-empty"));
    } else {
        let full = format!("{policy}/{key}");
        at.each(&full, names::qualified_name(&full), errors);
    }
    let at = path.child("valueExpression");
    match text(annotation, "valueExpression").trim().len() {
        0 => errors.push(at.required("valueExpression is not specified")),
        n if n > ANNOTATION_EXPRESSION_BYTES_MAX => {
            let detail = format!("must not exceed {ANNOTATION_EXPRESSION_BYTES_MAX} bytes in length");
            errors.push(at.required(&detail));
        }
        _ => {}
    }
}

pub(crate) fn validate_binding(binding: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&binding["spec"], Path::new("spec"));
    admission::policy_reference(spec, &path, &mut errors);
    admission::match_resources(&spec["matchResources"], &path.child("matchResources"), &mut errors);
    let (actions, path) = (list(spec, "validationActions"), path.child("validationActions"));
    let mut seen = BTreeSet::new();
    for (index, action) in actions.iter().enumerate() {
        let (action, path) = (action.as_str().unwrap_or_default(), path.index(index));
        if !ACTIONS.contains(&action) {
            errors.push(path.not_supported(action, ACTIONS));
        }
        if !seen.insert(action) {
            errors.push(path.duplicate(action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let detail = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        errors.push(path.invalid(spec["validationActions"].clone(), detail));
    }
    if seen.is_empty() {
        errors.push(path.required(""));
    }
    errors
}
