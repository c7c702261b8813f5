//! Validation of `PersistentVolumeClaims`, and of the claim specs in templates.

use serde_json::Value;

use super::check::{
    Errors, forbidden, invalid, label_selector, required, shaped, shaped_if_set, unsupported,
};
use super::{Path, list, names, resources, text};
use crate::quantity::Quantity;
use crate::status::FieldError;

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
pub(super) const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(crate) fn validate(claim: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate_spec(&claim["spec"], &Path::new("spec"), &mut errors);
    errors
}

/// Modes of a volume or a claim; `missing` is said when there is none.
pub(super) fn access_modes(spec: &Value, path: &Path, missing: &str, errors: &mut Errors) {
    let modes = list(spec, "accessModes");
    if modes.is_empty() {
        required(path, missing, errors);
    }
    let known = |mode: &&Value| mode.as_str().is_some_and(|m| ACCESS_MODES.contains(&m));
    for mode in modes.iter().filter(|mode| !known(mode)) {
        unsupported(path, mode.clone(), ACCESS_MODES, errors);
    }
    let exclusive = modes.iter().any(|mode| mode == "ReadWriteOncePod");
    if exclusive && modes.iter().filter(known).any(|mode| mode != "ReadWriteOncePod") {
        forbidden(path, "may not use ReadWriteOncePod with other access modes", errors);
    }
}

pub(super) fn validate_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    let missing = "at least 1 access mode is required";
    let modes = path.child("accessModes");
    if list(spec, "accessModes").is_empty() {
        required(&modes, missing, errors);
    }
    if let Some(selector) = spec.get("selector") {
        label_selector(selector, &path.child("selector"), errors);
    }
    if !list(spec, "accessModes").is_empty() {
        access_modes(spec, &modes, missing, errors);
    }
    let storage = path.child("resources").key("storage");
    match spec.pointer("/resources/requests/storage") {
        None => required(&storage, "", errors),
        Some(amount) => match Quantity::from_json(amount) {
            Ok(quantity) if quantity.is_zero() || quantity.is_negative() => {
                invalid(&storage, quantity.to_string(), "must be greater than zero", errors);
            }
            _ => drop(resources::quantity("storage", amount, &storage, errors)),
        },
    }
    shaped_if_set(spec, "storageClassName", names::dns1123_subdomain, path, errors);
    if let Some(mode) = spec.get("volumeMode").and_then(Value::as_str).filter(|m| !VOLUME_MODES.contains(m)) {
        unsupported(&path.child("volumeMode"), mode, VOLUME_MODES, errors);
    }
    data_sources(spec, path, errors);
    shaped_if_set(spec, "volumeAttributesClassName", names::dns1123_subdomain, path, errors);
}

fn data_sources(spec: &Value, path: &Path, errors: &mut Errors) {
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    for (key, found) in [("dataSource", source), ("dataSourceRef", reference)] {
        if let Some(found) = found {
            data_source(found, &path.child(key), errors);
        }
    }
    let (Some(source), Some(reference)) = (source, reference) else { return };
    let shown = path.child("dataSource").to_string();
    if !text(reference, "namespace").is_empty() {
        invalid(path, shown, "may not be specified when dataSourceRef.namespace is specified", errors);
    } else if ["apiGroup", "kind", "name"].iter().any(|key| source.get(*key) != reference.get(*key)) {
        invalid(path, shown, "must match dataSourceRef", errors);
    }
}

fn data_source(source: &Value, path: &Path, errors: &mut Errors) {
    for key in ["name", "kind"] {
        if text(source, key).is_empty() {
            required(&path.child(key), "", errors);
        }
    }
    let (group, kind) = (text(source, "apiGroup"), text(source, "kind"));
    if group.is_empty() {
        if kind != "PersistentVolumeClaim" {
            let detail = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
            invalid(path, kind, detail, errors);
        }
    } else {
        shaped(group, names::dns1123_subdomain, &path.child("apiGroup"), errors);
    }
    shaped_if_set(source, "namespace", names::dns1123_label, path, errors);
}

/// A claim is fixed; a bound one may ask for more, and the volume is written in once.
pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (before, after) = (&old["spec"], &new["spec"]);
    let mut allowed = before.clone();
    let bound = new.pointer("/status/phase").and_then(Value::as_str) == Some("Bound");
    if let Some(map) = allowed.as_object_mut() {
        let mut take = |key: &str| match after.get(key) {
            Some(value) => drop(map.insert(key.to_owned(), value.clone())),
            None => drop(map.remove(key)),
        };
        if text(before, "volumeName").is_empty() {
            take("volumeName");
        }
        let annotated = crate::meta::annotation(old, OLD_CLASS);
        let class = after.get("storageClassName").and_then(Value::as_str);
        let fits = annotated.is_none_or(|annotated| Some(annotated) == class);
        if before.get("storageClassName").is_none() && class.is_some() && fits {
            take("storageClassName");
        }
        if bound {
            take("volumeAttributesClassName");
        }
    }
    let storage = |spec: &Value| spec.pointer("/resources/requests/storage").cloned();
    if bound
        && let (Some(amount), Some(requests)) = (storage(after), allowed.pointer_mut("/resources/requests"))
    {
        requests["storage"] = amount;
    }
    if allowed != *after {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n";
        errors.push(FieldError::forbidden("spec", detail));
    }
    let amount =
        |value: Option<&Value>| value.and_then(|v| Quantity::from_json(v).ok()).unwrap_or(Quantity::ZERO);
    let wanted = amount(storage(after).as_ref());
    if wanted < amount(storage(before).as_ref()) && wanted <= amount(old.pointer("/status/capacity/storage"))
    {
        let detail = "field can not be less than status.capacity";
        errors.push(FieldError::forbidden("spec.resources.requests.storage", detail));
    }
    if before.get("volumeMode") != after.get("volumeMode") {
        errors.push(FieldError::immutable("volumeMode", &after["volumeMode"]));
    }
    let key = "volumeAttributesClassName";
    if before.get(key).is_some() {
        let detail = match after.get(key).and_then(Value::as_str) {
            None => "update from non-nil value to nil is forbidden",
            Some("") => "update from non-nil value to an empty string is forbidden",
            Some(_) => return errors,
        };
        errors.push(FieldError::forbidden(format!("spec.{key}"), detail));
    }
    errors
}
