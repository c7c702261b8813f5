//! Validation of `PersistentVolumes`.

use serde_json::{Map, Value};

use super::check::{Errors, forbidden, invalid, required, shaped, shaped_if_set, unsupported};
use super::persistentvolumeclaim::{VOLUME_MODES, access_modes};
use super::volume::{NEEDED, host_path, needed};
use super::{Path, affinity, names, resources, text};
use crate::quantity::Quantity;
use crate::status::FieldError;

const RECLAIM: &[&str] = &["Delete", "Recycle", "Retain"];

fn sources(spec: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let is_source = |key: &str| {
        matches!(key, "hostPath" | "local" | "fc" | "storageos" | "csi")
            || NEEDED.iter().any(|(name, _)| *name == key)
    };
    spec.as_object().into_iter().flat_map(Map::iter).filter(move |(key, _)| is_source(key))
}

pub(crate) fn validate(volume: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&volume["spec"], Path::new("spec"));
    access_modes(spec, &path.child("accessModes"), "", &mut errors);
    capacity(spec, &path.child("capacity"), &mut errors);
    let policy = text(spec, "persistentVolumeReclaimPolicy");
    if !policy.is_empty() && !RECLAIM.contains(&policy) {
        unsupported(&path.child("persistentVolumeReclaimPolicy"), policy, RECLAIM, &mut errors);
    }
    if let Some(affinity) = spec.get("nodeAffinity") {
        let path = path.child("nodeAffinity").child("required");
        match affinity.get("required") {
            Some(selector) => affinity::node_selector(selector, &path, &mut errors),
            None => required(&path, "must specify required node constraints", &mut errors),
        }
    }
    source(spec, &path, &mut errors);
    if text(&spec["hostPath"], "path") == "/" && policy == "Recycle" {
        let detail = "may not be 'recycle' for a hostPath mount of '/'";
        forbidden(&path.child("persistentVolumeReclaimPolicy"), detail, &mut errors);
    }
    shaped_if_set(spec, "storageClassName", names::dns1123_subdomain, &path, &mut errors);
    if let Some(mode) = spec.get("volumeMode").and_then(Value::as_str).filter(|m| !VOLUME_MODES.contains(m)) {
        unsupported(&path.child("volumeMode"), mode, VOLUME_MODES, &mut errors);
    }
    attributes_class(spec, &path, &mut errors);
    errors
}

fn capacity(spec: &Value, path: &Path, errors: &mut Errors) {
    let capacity = spec.get("capacity").and_then(Value::as_object);
    if capacity.is_none_or(Map::is_empty) {
        required(path, "", errors);
    }
    let only_storage = capacity.is_some_and(|map| map.len() == 1 && map.contains_key("storage"));
    if !only_storage {
        let error = |shown| FieldError::not_supported(path.to_string(), shown, &["storage"]);
        errors.push(match spec.get("capacity") {
            Some(shown) => error(shown.clone()),
            None => error(Value::Null).of_nil(),
        });
    }
    for (name, amount) in capacity.into_iter().flatten() {
        let path = path.key(name);
        let found = resources::quantity(name, amount, &path, errors);
        if let Some(quantity) = found.filter(Quantity::is_zero) {
            invalid(&path, quantity.to_string(), "must be greater than zero", errors);
        }
    }
}

fn source(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut count = 0;
    for (key, source) in sources(spec) {
        let at = path.child(key);
        count += 1;
        if count > 1 {
            forbidden(&at, "may not specify more than 1 volume type", errors);
            continue;
        }
        match key.as_str() {
            "hostPath" => host_path(source, &at, errors),
            "local" => {
                if text(source, "path").is_empty() {
                    required(&at.child("path"), "", errors);
                }
                if spec.get("nodeAffinity").is_none() {
                    required(&path.child("nodeAffinity"), "Local volume requires node affinity", errors);
                }
            }
            "csi" => {
                needed(source, key, &at, errors);
                if text(source, "volumeHandle").is_empty() {
                    required(&at.child("volumeHandle"), "", errors);
                }
            }
            other => needed(source, other, &at, errors),
        }
    }
    if count == 0 {
        required(path, "must specify a volume type", errors);
    }
}

fn attributes_class(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(class) = spec.get("volumeAttributesClassName").and_then(Value::as_str) else { return };
    let at = path.child("volumeAttributesClassName");
    if class.is_empty() {
        required(&at, "an empty string is disallowed", errors);
    } else {
        shaped(class, names::dns1123_subdomain, &at, errors);
    }
    if spec.get("csi").is_none() {
        required(&path.child("csi"), "has to be specified when using volumeAttributesClassName", errors);
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (mut errors, before, after) = (Vec::new(), &old["spec"], &new["spec"]);
    let fixed = |spec: &Value, drop_expansion: bool| {
        let mut all: Map<String, Value> = sources(spec).map(|(k, v)| (k.clone(), v.clone())).collect();
        if drop_expansion && let Some(csi) = all.get_mut("csi").and_then(Value::as_object_mut) {
            csi.remove("controllerExpandSecretRef");
        }
        all
    };
    // The secret for expansion may be added later.
    let adds = before["csi"].get("controllerExpandSecretRef").is_none();
    if fixed(before, adds) != fixed(after, adds) {
        let detail = "spec.persistentvolumesource is immutable after creation\n";
        errors.push(FieldError::forbidden("spec.persistentvolumesource", detail));
    }
    if before.get("volumeMode") != after.get("volumeMode") {
        errors.push(FieldError::immutable("volumeMode", &after["volumeMode"]));
    }
    if before.get("nodeAffinity").is_some() && before.get("nodeAffinity") != after.get("nodeAffinity") {
        errors.push(FieldError::immutable("nodeAffinity", &after["nodeAffinity"]));
    }
    let class = "volumeAttributesClassName";
    if before.get(class).is_some() && after.get(class).is_none() {
        let detail = "update from non-nil value to nil is forbidden";
        errors.push(FieldError::forbidden(format!("spec.{class}"), detail));
    }
    errors
}
