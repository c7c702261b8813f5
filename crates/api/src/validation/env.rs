//! Validation of the environment of a container, and of references to fields of its pod.

use serde_json::Value;

use super::check::{Errors, invalid, required, shaped, unsupported};
use super::{Path, list, names, text};
use crate::quantity::Quantity;

/// Fields of its pod that a container may see in its environment.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of its pod that a container may see as a file.
const FILE_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
/// All that a reference may name; which of them fit is decided by where the reference stands.
const KNOWN_FIELDS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const CPU_UNITS: &[&str] = &["1m", "1"];
const BYTE_UNITS: &[&str] =
    &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Where a reference to a field of the pod stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In an environment variable.
    Env,
    /// In a file of a volume.
    File,
}

/// `env` and `envFrom` of a container.
pub(super) fn validate(container: &Value, path: &Path, errors: &mut Errors) {
    for (index, variable) in list(container, "env").iter().enumerate() {
        let path = path.child("env").index(index);
        match text(variable, "name") {
            "" => required(&path.child("name"), "", errors),
            name => shaped(name, names::env_name, &path.child("name"), errors),
        }
        if let Some(from) = variable.get("valueFrom") {
            source(variable, from, &path.child("valueFrom"), errors);
        }
    }
    for (index, from) in list(container, "envFrom").iter().enumerate() {
        whole_source(from, &path.child("envFrom"), index, errors);
    }
}

fn whole_source(from: &Value, list_path: &Path, index: usize, errors: &mut Errors) {
    let path = list_path.index(index);
    let prefix = text(from, "prefix");
    if !prefix.is_empty() {
        shaped(prefix, names::env_name, &path.child("prefix"), errors);
    }
    let given: Vec<&str> =
        ["configMapRef", "secretRef"].into_iter().filter(|key| from.get(*key).is_some()).collect();
    for key in &given {
        let path = path.child(key).child("name");
        match text(&from[*key], "name") {
            "" => required(&path, "", errors),
            name => shaped(name, names::dns1123_subdomain, &path, errors),
        }
    }
    // The path of these two is that of the whole list.
    match given.len() {
        0 => invalid(list_path, "", "must specify one of: `configMapRef` or `secretRef`", errors),
        1 => {}
        _ => invalid(list_path, "", "may not have more than one field specified at a time", errors),
    }
}

fn source(variable: &Value, from: &Value, path: &Path, errors: &mut Errors) {
    const SOURCES: [&str; 5] =
        ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    let given: Vec<&str> = SOURCES.into_iter().filter(|key| from.get(*key).is_some()).collect();
    for key in &given {
        let (reference, path) = (&from[*key], path.child(key));
        match *key {
            "fieldRef" => field(reference, Place::Env, &path, errors),
            "resourceFieldRef" => resource(reference, Place::Env, &path, errors),
            "fileKeyRef" => {
                for part in ["path", "volumeName", "key"] {
                    if text(reference, part).is_empty() {
                        required(&path.child(part), "", errors);
                    }
                }
            }
            _ => entry(reference, &path, errors),
        }
    }
    let has_value = !text(variable, "value").is_empty();
    if given.is_empty() {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        invalid(path, "", detail, errors);
    } else if has_value {
        invalid(path, "", "may not be specified when `value` is not empty", errors);
    } else if given.len() > 1 {
        invalid(path, "", "may not have more than one field specified at a time", errors);
    }
}

/// One entry of a `ConfigMap` or Secret.
fn entry(reference: &Value, path: &Path, errors: &mut Errors) {
    shaped(text(reference, "name"), names::dns1123_subdomain, &path.child("name"), errors);
    match text(reference, "key") {
        "" => required(&path.child("key"), "", errors),
        key => shaped(key, names::config_key, &path.child("key"), errors),
    }
}

/// `metadata.labels['x']` as its path and what is in the brackets.
fn subscript(field: &str) -> Option<(&str, &str)> {
    let (path, rest) = field.split_once("['")?;
    Some((path, rest.strip_suffix("']")?))
}

/// A reference to a field of the pod.
pub(super) fn field(reference: &Value, place: Place, path: &Path, errors: &mut Errors) {
    match text(reference, "apiVersion") {
        "" => return required(&path.child("apiVersion"), "", errors),
        "v1" => {}
        other => {
            let detail = format!("error converting fieldPath: unsupported pod version: {other}");
            return invalid(&path.child("fieldPath"), text(reference, "fieldPath"), detail, errors);
        }
    }
    let found = text(reference, "fieldPath");
    if found.is_empty() {
        return required(&path.child("fieldPath"), "", errors);
    }
    if let Some((field, key)) = subscript(found) {
        match field {
            "metadata.annotations" => shaped(&key.to_lowercase(), names::qualified_name, path, errors),
            "metadata.labels" => shaped(key, names::qualified_name, path, errors),
            _ if KNOWN_FIELDS.contains(&field) => invalid(path, field, "does not support subscript", errors),
            _ => unknown_field(found, path, errors),
        }
        return;
    }
    let fitting = if place == Place::Env { ENV_FIELDS } else { FILE_FIELDS };
    if !KNOWN_FIELDS.contains(&found) {
        unknown_field(found, path, errors);
    } else if !fitting.contains(&found) {
        unsupported(&path.child("fieldPath"), found, fitting, errors);
    }
}

fn unknown_field(found: &str, path: &Path, errors: &mut Errors) {
    let detail = format!("error converting fieldPath: field label not supported: {found}");
    invalid(&path.child("fieldPath"), found, detail, errors);
}

/// A reference to what a container of the pod may use.
pub(super) fn resource(reference: &Value, place: Place, path: &Path, errors: &mut Errors) {
    let name = text(reference, "resource");
    let huge = ["requests.hugepages-", "limits.hugepages-"].iter().any(|prefix| name.starts_with(prefix));
    if place == Place::File && text(reference, "containerName").is_empty() {
        required(&path.child("containerName"), "", errors);
    } else if name.is_empty() {
        required(&path.child("resource"), "", errors);
    } else if !RESOURCES.contains(&name) && !huge {
        unsupported(&path.child("resource"), name, RESOURCES, errors);
    }
    let divisor =
        reference.get("divisor").and_then(|d| Quantity::from_json(d).ok()).unwrap_or(Quantity::ZERO);
    if divisor.is_zero() {
        return;
    }
    let kind = name.split_once('.').map_or(name, |(_, kind)| kind);
    let (units, word) = match kind {
        "cpu" => (CPU_UNITS, "cpu"),
        "memory" => (BYTE_UNITS, "memory"),
        "ephemeral-storage" => (BYTE_UNITS, "local ephemeral storage"),
        _ if huge => (BYTE_UNITS, "hugepages"),
        _ => return,
    };
    if !units.contains(&divisor.to_string().as_str()) {
        let list = if word == "cpu" { "1m and 1".to_owned() } else { units.join(", ") };
        let detail = format!("only divisor's values {list} are supported with the {word} resource");
        invalid(&path.child("divisor"), name, detail, errors);
    }
}
