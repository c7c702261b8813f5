//! Validation of one container.

use std::collections::BTreeSet;

use serde_json::Value;

use super::podspec::{Role, Surroundings};
use super::{
    Path, integer, list, names, non_negative, one_of, port_number, probe, protocol, quantities, text,
};
use crate::quantity::Quantity;
use crate::status::FieldError;

const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: &[&str] = &["FallbackToLogsOnError", "File"];

pub(super) fn validate(
    container: &Value,
    role: Role,
    path: &Path,
    surroundings: &Surroundings<'_>,
    errors: &mut Vec<FieldError>,
) {
    let (name, image) = (text(container, "name"), text(container, "image"));
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name").to_string(), ""));
    } else {
        for wrong in names::dns1123_label(name) {
            errors.push(FieldError::invalid(path.child("name").to_string(), name, wrong));
        }
    }
    if image.is_empty() {
        errors.push(FieldError::required(path.child("image").to_string(), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        errors.push(FieldError::invalid(path.child("image").to_string(), image, detail));
    }
    one_of(container, "imagePullPolicy", PULL_POLICIES, path, errors);
    one_of(container, "terminationMessagePolicy", MESSAGE_POLICIES, path, errors);
    ports(container, &path.child("ports"), surroundings.host_network, errors);
    env(container, path, errors);
    mounts(container, &path.child("volumeMounts"), surroundings, errors);
    resources(&container["resources"], &path.child("resources"), errors);
    security(&container["securityContext"], &path.child("securityContext"), errors);
    probes(container, role, path, surroundings.grace_seconds, errors);
}

fn probes(container: &Value, role: Role, path: &Path, grace_seconds: i64, errors: &mut Vec<FieldError>) {
    let policy = text(container, "restartPolicy");
    let sidecar = role == Role::Init && policy == "Always";
    if role == Role::Main && !policy.is_empty() {
        let detail = "may not be set for non-init containers";
        errors.push(FieldError::forbidden(path.child("restartPolicy").to_string(), detail));
    }
    if role == Role::Init {
        one_of(container, "restartPolicy", &["Always"], path, errors);
    }
    let keys = ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"];
    if role == Role::Init && !sidecar {
        for key in keys.iter().filter(|key| container.get(**key).is_some()) {
            let detail = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(path.child(key).to_string(), detail));
        }
        return;
    }
    for key in &keys[..3] {
        if let Some(found) = container.get(*key) {
            probe::validate(found, key, &path.child(key), errors);
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(found) = container["lifecycle"].get(hook) {
            probe::hook(found, &path.child("lifecycle").child(hook), grace_seconds, errors);
        }
    }
}

fn ports(container: &Value, path: &Path, host_network: bool, errors: &mut Vec<FieldError>) {
    let mut taken = BTreeSet::new();
    for (index, port) in list(container, "ports").iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            for wrong in names::port_name(name) {
                errors.push(FieldError::invalid(path.child("name").to_string(), name, wrong));
            }
            if !taken.insert(name) {
                errors.push(FieldError::duplicate(path.child("name").to_string(), name));
            }
        }
        let number = integer(port, "containerPort").unwrap_or(0);
        if number == 0 {
            errors.push(FieldError::required(path.child("containerPort").to_string(), ""));
        } else {
            port_number(Some(number), &path.child("containerPort"), errors);
        }
        if let Some(host) = integer(port, "hostPort").filter(|n| *n != 0) {
            port_number(Some(host), &path.child("hostPort"), errors);
            if host_network && host != number {
                let detail = "must match `hostPort` when `hostNetwork` is true";
                errors.push(FieldError::invalid(path.child("containerPort").to_string(), number, detail));
            }
        }
        protocol(port, &path, errors);
    }
}

fn env(container: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (index, env) in list(container, "env").iter().enumerate() {
        let path = path.child("env").index(index);
        let name = text(env, "name");
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name").to_string(), ""));
        } else {
            for wrong in names::env_name(name) {
                errors.push(FieldError::invalid(path.child("name").to_string(), name, wrong));
            }
        }
        if let Some(from) = env.get("valueFrom") {
            env_source(env, from, &path.child("valueFrom"), errors);
        }
    }
    for (index, from) in list(container, "envFrom").iter().enumerate() {
        let path = path.child("envFrom").index(index);
        let sources: Vec<&str> =
            ["configMapRef", "secretRef"].into_iter().filter(|k| from.get(*k).is_some()).collect();
        match sources.as_slice() {
            [one] if text(&from[*one], "name").is_empty() => {
                errors.push(FieldError::required(path.child(one).child("name").to_string(), ""));
            }
            [_] => {}
            [] => {
                let detail = "must specify one of: `configMapRef` or `secretRef`";
                errors.push(FieldError::invalid(path.to_string(), "", detail));
            }
            _ => {
                let detail = "may not have more than one field specified at a time";
                errors.push(FieldError::invalid(path.to_string(), "", detail));
            }
        }
    }
}

fn env_source(env: &Value, from: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    const SOURCES: [&str; 5] =
        ["configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"];
    let given: Vec<&str> = SOURCES.into_iter().filter(|key| from.get(*key).is_some()).collect();
    if !text(env, "value").is_empty() {
        let detail = "may not be specified when `value` is not empty";
        errors.push(FieldError::invalid(path.to_string(), "", detail));
    }
    if given.is_empty() {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.push(FieldError::invalid(path.to_string(), "", detail));
    } else if given.len() > 1 {
        let detail = "may not have more than one field specified at a time";
        errors.push(FieldError::invalid(path.to_string(), "", detail));
    }
    for key in given {
        let (reference, path) = (&from[key], path.child(key));
        let required: &[&str] = match key {
            "configMapKeyRef" | "secretKeyRef" => &["name", "key"],
            "fieldRef" => &["fieldPath"],
            "resourceFieldRef" => &["resource"],
            _ => &[],
        };
        for part in required.iter().filter(|part| text(reference, part).is_empty()) {
            errors.push(FieldError::required(path.child(part).to_string(), ""));
        }
        if matches!(key, "configMapKeyRef" | "secretKeyRef") && !text(reference, "key").is_empty() {
            let found = text(reference, "key");
            for wrong in names::config_key(found) {
                errors.push(FieldError::invalid(path.child("key").to_string(), found, wrong));
            }
        }
        let field = text(reference, "fieldPath");
        if key == "fieldRef" && !field.is_empty() && !is_downward_field(field) {
            let detail = "error converting fieldPath: field label not supported: ".to_owned() + field;
            errors.push(FieldError::invalid(path.child("fieldPath").to_string(), field, detail));
        }
    }
}

/// Fields of its pod that a container may see in its environment.
fn is_downward_field(field: &str) -> bool {
    const FIELDS: &[&str] = &[
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
    let keyed = |prefix: &str| field.strip_prefix(prefix).is_some_and(|rest| rest.ends_with("']"));
    FIELDS.contains(&field) || keyed("metadata.labels['") || keyed("metadata.annotations['")
}

fn mounts(container: &Value, path: &Path, surroundings: &Surroundings<'_>, errors: &mut Vec<FieldError>) {
    let mut taken = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let path = path.index(index);
        let (name, at) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name").to_string(), ""));
        } else if !surroundings.volumes.contains_key(name) {
            errors.push(FieldError::not_found(path.child("name").to_string(), name));
        }
        if at.is_empty() {
            errors.push(FieldError::required(path.child("mountPath").to_string(), ""));
        } else if !taken.insert(at) {
            let detail = "must be unique";
            errors.push(FieldError::invalid(path.child("mountPath").to_string(), at, detail));
        }
        for key in ["subPath", "subPathExpr"] {
            let found = text(mount, key);
            relative_path(found, &path.child(key), errors);
        }
        if !text(mount, "subPath").is_empty() && !text(mount, "subPathExpr").is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            let found = text(mount, "subPathExpr");
            errors.push(FieldError::invalid(path.child("subPathExpr").to_string(), found, detail));
        }
    }
}

/// A path that stays below its root.
pub(super) fn relative_path(found: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if found.starts_with('/') {
        errors.push(FieldError::invalid(path.to_string(), found, "must be a relative path"));
    }
    if found.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path.to_string(), found, "must not contain '..'"));
    }
}

fn resources(resources: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for list in ["limits", "requests"] {
        quantities(&resources[list], &path.child(list), errors);
    }
    for (name, request) in resources["requests"].as_object().into_iter().flatten() {
        let limit = resources["limits"].get(name).map(Quantity::from_json);
        let (Ok(request), Some(Ok(limit))) = (Quantity::from_json(request), limit) else { continue };
        if request > limit {
            let path = path.child("requests").to_string();
            let detail = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(FieldError::invalid(path, request.to_string(), detail));
        }
    }
}

fn security(context: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    non_negative(context, &["runAsUser", "runAsGroup"], path, errors);
    let flag = |key: &str| context.get(key).and_then(Value::as_bool);
    if flag("allowPrivilegeEscalation") == Some(false) && flag("privileged") == Some(true) {
        let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
        errors.push(FieldError::invalid(path.to_string(), context.clone(), detail));
    }
}
