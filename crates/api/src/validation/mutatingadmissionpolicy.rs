//! Validation of `MutatingAdmissionPolicies` and their bindings.

use serde_json::Value;

use super::{Path, admission, list, text};
use crate::status::FieldError;

const PATCH_TYPES: &[&str] = &["ApplyConfiguration", "JSONPatch"];

pub(crate) fn validate(policy: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&policy["spec"], Path::new("spec"));
    admission::policy(spec, &path, &mut errors);
    let at = path.child("matchConstraints");
    admission::mutable_operations(&spec["matchConstraints"], &at, &mut errors);
    admission::match_conditions(spec, &path, &mut errors);
    admission::variables(spec, &path, &mut errors);
    let (mutations, at) = (list(spec, "mutations"), path.child("mutations"));
    if mutations.is_empty() {
        errors.push(at.required("mutations must contain at least one item"));
    }
    for (index, mutation) in mutations.iter().enumerate() {
        validate_mutation(mutation, &at.index(index), &mut errors);
    }
    let policies = admission::REINVOCATION_POLICIES;
    admission::required_choice(spec, "reinvocationPolicy", policies, &path, &mut errors);
    errors
}

fn validate_mutation(mutation: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (wanted, other) = match text(mutation, "patchType") {
        "" => {
            errors.push(path.child("patchType").required(""));
            return;
        }
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        unknown => {
            errors.push(path.child("patchType").not_supported(unknown, PATCH_TYPES));
            return;
        }
    };
    let kind = text(mutation, "patchType");
    if let Some(patch) = mutation.get(wanted) {
        admission::expression(patch, "expression", "", &path.child(wanted), errors);
    } else {
        let detail = format!("must be specified when patchType is {kind}");
        errors.push(path.child(wanted).required(&detail));
    }
    if mutation.get(other).is_some() {
        let detail = format!("must not be specified when patchType is {kind}");
        errors.push(path.child(other).invalid(format!("{{{other}}}"), detail));
    }
}

pub(crate) fn validate_binding(binding: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&binding["spec"], Path::new("spec"));
    admission::policy_reference(spec, &path, &mut errors);
    let at = path.child("matchResources");
    admission::match_resources(&spec["matchResources"], &at, &mut errors);
    admission::mutable_operations(&spec["matchResources"], &at, &mut errors);
    errors
}
