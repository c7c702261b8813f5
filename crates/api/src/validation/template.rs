//! What workloads share: the selector, the pod template, and fields that may not change.

use serde_json::{Map, Value};

use super::{Path, meta, podspec, text};
use crate::selector::LabelSelector;
use crate::status::FieldError;

/// Checks `spec.selector` against the labels of the template.
pub(super) fn selector(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("selector");
    let Some(value) = spec.get("selector") else {
        errors.push(FieldError::required(at.to_string(), ""));
        return;
    };
    meta::labels(value.get("matchLabels"), &at.child("matchLabels").to_string(), errors);
    let parsed = match LabelSelector::from_json(value) {
        Ok(parsed) => parsed,
        Err(error) => {
            errors.push(FieldError::invalid(at.to_string(), value.clone(), error.message));
            return;
        }
    };
    if parsed.is_everything() {
        let detail = "empty selector is invalid: it would select every pod";
        errors.push(FieldError::invalid(at.to_string(), value.clone(), detail));
        return;
    }
    let labels = spec.pointer("/template/metadata/labels").and_then(Value::as_object);
    if !parsed.matches(&labels) {
        let path = path.child("template").child("metadata").child("labels").to_string();
        let shown = labels.cloned().map_or_else(|| Value::Object(Map::new()), Value::Object);
        errors.push(FieldError::invalid(path, shown, "`selector` does not match template `labels`"));
    }
}

/// Checks `spec.template`, whose restart policy must be one of `policies`.
pub(super) fn validate(spec: &Value, path: &Path, policies: &[&str], errors: &mut Vec<FieldError>) {
    let path = path.child("template");
    let Some(template) = spec.get("template") else {
        errors.push(FieldError::required(path.to_string(), ""));
        return;
    };
    let metadata = path.child("metadata");
    meta::labels(template.pointer("/metadata/labels"), &metadata.child("labels").to_string(), errors);
    meta::annotations(
        template.pointer("/metadata/annotations"),
        &metadata.child("annotations").to_string(),
        errors,
    );
    let path = path.child("spec");
    let Some(pod_spec) = template.get("spec") else {
        errors.push(FieldError::required(path.child("containers").to_string(), ""));
        return;
    };
    podspec::validate(pod_spec, &path, errors);
    let policy = text(pod_spec, "restartPolicy");
    if !policies.contains(&policy) {
        errors.push(FieldError::not_supported(path.child("restartPolicy").to_string(), policy, policies));
    }
    if pod_spec.get("activeDeadlineSeconds").is_some() && policies == ["Always"] {
        let detail = "activeDeadlineSeconds in a workload that restarts its pods is not supported";
        errors.push(FieldError::forbidden(path.child("activeDeadlineSeconds").to_string(), detail));
    }
}

/// Members of `spec` that may not change.
pub(super) fn fixed(old: &Value, new: &Value, keys: &[&str]) -> Vec<FieldError> {
    keys.iter()
        .filter(|key| old["spec"].get(**key) != new["spec"].get(**key))
        .map(|key| FieldError::immutable(format!("spec.{key}"), &new["spec"][*key]))
        .collect()
}
