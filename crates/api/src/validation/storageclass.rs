//! Validation of `StorageClasses`, and what they share with `VolumeAttributesClasses`: driver names and parameters.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Path, list, names, text};
use crate::status::FieldError;

const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;
const RECLAIM_POLICIES: &[&str] = &["Delete", "Retain"];
const BINDING_MODES: &[&str] = &["Immediate", "WaitForFirstConsumer"];

pub(crate) fn validate(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    provisioner(class, "provisioner", &mut errors);
    parameters(class, &mut errors);
    super::one_of(class, "reclaimPolicy", RECLAIM_POLICIES, &Path::new(""), &mut errors);
    let (mode, path) = (text(class, "volumeBindingMode"), Path::new("volumeBindingMode"));
    if class.get("volumeBindingMode").is_none() {
        errors.push(path.required(""));
    } else if !BINDING_MODES.contains(&mode) {
        errors.push(path.not_supported(mode, BINDING_MODES));
    }
    topologies(class, &mut errors);
    errors
}

/// A driver's name; upper case has always been taken.
pub(super) fn provisioner(class: &Value, key: &str, errors: &mut Vec<FieldError>) {
    let (name, path) = (text(class, key), Path::new(key));
    if name.is_empty() {
        errors.push(path.required(""));
        return;
    }
    let lower = name.to_lowercase();
    path.each(&lower, names::qualified_name(&lower), errors);
}

/// Parameters that a driver understands: only their number and size are known here. Returns how many there are.
pub(super) fn parameters(class: &Value, errors: &mut Vec<FieldError>) -> usize {
    let path = Path::new("parameters");
    let Some(map) = class.get("parameters").and_then(Value::as_object) else { return 0 };
    if map.len() > PARAMETERS_MAX {
        errors.push(path.too_long(PARAMETERS_MAX));
        return map.len();
    }
    let mut bytes = 0;
    for (key, value) in map {
        if key.is_empty() {
            errors.push(path.invalid("", "field can not be empty."));
        }
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > PARAMETERS_BYTES_MAX {
        errors.push(path.too_long(PARAMETERS_BYTES_MAX));
    }
    map.len()
}

fn topologies(class: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("allowedTopologies");
    let mut seen: Vec<BTreeMap<&str, Vec<&str>>> = Vec::new();
    for (index, term) in list(class, "allowedTopologies").iter().enumerate() {
        let path = path.index(index).child("matchLabelExpressions");
        let mut terms = BTreeMap::new();
        for (index, requirement) in list(term, "matchLabelExpressions").iter().enumerate() {
            let path = path.index(index);
            let key = text(requirement, "key");
            let values = topology_values(requirement, &path, errors);
            path.child("key").each(key, names::qualified_name(key), errors);
            if terms.insert(key, values).is_some() {
                errors.push(path.child("key").duplicate(key));
            }
        }
        if seen.contains(&terms) {
            errors.push(path.duplicate(""));
        }
        seen.push(terms);
    }
}

fn topology_values<'a>(requirement: &'a Value, path: &Path, errors: &mut Vec<FieldError>) -> Vec<&'a str> {
    let (values, path) = (list(requirement, "values"), path.child("values"));
    if values.is_empty() {
        errors.push(path.required(""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let value = value.as_str().unwrap_or_default();
        if seen.contains(&value) {
            errors.push(path.index(index).duplicate(value));
        } else {
            seen.push(value);
        }
    }
    seen.sort_unstable();
    seen
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
        Path::new(key).unchanged(&old[key], &new[key], &mut errors);
    }
    errors
}
