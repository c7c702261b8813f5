//! What workloads share: the selector, the pod template, and fields that may not change.

use serde_json::Value;

use super::check::{Errors, forbidden, invalid, is_empty_selector, label_selector, required, unsupported};
use super::podspec::Owner;
use super::{Path, list, meta, pod, podspec, text};
use crate::selector::LabelSelector;
use crate::status::FieldError;

/// A workload whose pods run for ever.
pub(super) struct Workload {
    /// In the sentence about an empty selector.
    pub(super) empty_selector: &'static str,
    /// The sentence about a selector that cannot be used.
    pub(super) unusable_selector: &'static str,
    /// In the sentence about a deadline.
    pub(super) name: &'static str,
}

/// `spec.selector` and `spec.template` of a workload whose pods run for ever.
pub(super) fn workload(
    spec: &Value,
    workload: &Workload,
    claims: &[Value],
    path: &Path,
    errors: &mut Errors,
) {
    selector(spec, path, errors);
    let at = path.child("selector");
    if spec.get("selector").is_some_and(is_empty_selector) {
        invalid(&at, spec["selector"].clone(), workload.empty_selector, errors);
    }
    if spec.get("selector").is_some_and(|selector| LabelSelector::from_json(selector).is_err()) {
        return invalid(&at, spec["selector"].clone(), workload.unusable_selector, errors);
    }
    let template = path.child("template");
    matches_selector(spec, path, errors);
    validate(&spec["template"], claims, &template, errors);
    always(&spec["template"], workload.name, &template, errors);
}

/// `spec.selector` by itself.
pub(super) fn selector(spec: &Value, path: &Path, errors: &mut Errors) {
    match spec.get("selector") {
        None => required(&path.child("selector"), "", errors),
        Some(value) => label_selector(value, &path.child("selector"), errors),
    }
}

/// `spec.selector` against the labels of the template; one that is missing selects nothing.
pub(super) fn matches_selector(spec: &Value, path: &Path, errors: &mut Errors) {
    let labels = spec.pointer("/template/metadata/labels").and_then(Value::as_object);
    let matches = match spec.get("selector").map(LabelSelector::from_json) {
        Some(Ok(parsed)) => parsed.is_everything() || parsed.matches(&labels),
        Some(Err(_unusable)) => true,
        None => false,
    };
    if !matches {
        let path = path.child("template").child("metadata").child("labels");
        let error = |shown| {
            FieldError::invalid(path.to_string(), shown, "`selector` does not match template `labels`")
        };
        errors.push(match labels {
            Some(labels) => error(Value::Object(labels.clone())),
            None => error(Value::Null).of_nil(),
        });
    }
}

/// A pod template at `path`; `claims` are the templates of claims that its containers may mount.
pub(super) fn validate(template: &Value, claims: &[Value], path: &Path, errors: &mut Errors) {
    meta::labels(template.pointer("/metadata/labels"), &path.child("labels").to_string(), errors);
    let annotations = path.child("annotations");
    meta::annotations(template.pointer("/metadata/annotations"), &annotations.to_string(), errors);
    pod::annotations(template, &annotations, errors);
    let path = path.child("spec");
    let Some(spec) = template.get("spec") else {
        return required(&path.child("containers"), "", errors);
    };
    podspec::validate(spec, Owner::Template(claims), &path, errors);
    if !list(spec, "ephemeralContainers").is_empty() {
        let detail = "ephemeral containers not allowed in pod template";
        forbidden(&path.child("ephemeralContainers"), detail, errors);
    }
}

/// The pods of the template run for ever.
pub(super) fn always(template: &Value, workload: &str, path: &Path, errors: &mut Errors) {
    let (spec, path) = (&template["spec"], path.child("spec"));
    let policy = text(spec, "restartPolicy");
    if policy != "Always" {
        unsupported(&path.child("restartPolicy"), policy, &["Always"], errors);
    }
    if spec.get("activeDeadlineSeconds").is_some() {
        let detail = format!("activeDeadlineSeconds in {workload} is not Supported");
        forbidden(&path.child("activeDeadlineSeconds"), detail, errors);
    }
}

/// Members of `spec` that may not change.
pub(super) fn fixed(old: &Value, new: &Value, keys: &[&str]) -> Vec<FieldError> {
    keys.iter()
        .filter(|key| old["spec"].get(**key) != new["spec"].get(**key))
        .map(|key| FieldError::immutable(format!("spec.{key}"), &new["spec"][*key]))
        .collect()
}

/// Counts in a status: none below zero, and none above the number of pods.
pub(super) fn status_counts(object: &Value, counts: &[&str], of_replicas: &[&str]) -> Vec<FieldError> {
    let (mut errors, status, path) = (Vec::new(), &object["status"], Path::new("status"));
    super::non_negative(status, counts, &path, &mut errors);
    let number = |key: &str| super::integer(status, key).unwrap_or(0);
    for key in of_replicas.iter().filter(|key| number(key) > number("replicas")) {
        invalid(&path.child(key), number(key), "cannot be greater than status.replicas", &mut errors);
    }
    if of_replicas.contains(&"availableReplicas") && number("availableReplicas") > number("readyReplicas") {
        let detail = "cannot be greater than readyReplicas";
        invalid(&path.child("availableReplicas"), number("availableReplicas"), detail, &mut errors);
    }
    errors
}
