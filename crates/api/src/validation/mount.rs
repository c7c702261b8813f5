//! Validation of what a container mounts: volumes as directories and as block devices.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::check::{Errors, flag, forbidden, invalid, not_found, required, unsupported};
use super::{Path, list, text};

const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];

/// `volumeMounts` and `volumeDevices` of a container.
pub(super) fn validate(
    container: &Value,
    volumes: &BTreeMap<&str, &Value>,
    path: &Path,
    errors: &mut Errors,
) {
    mounts(container, volumes, &path.child("volumeMounts"), errors);
    devices(container, volumes, &path.child("volumeDevices"), errors);
}

fn mounts(container: &Value, volumes: &BTreeMap<&str, &Value>, path: &Path, errors: &mut Errors) {
    let devices = list(container, "volumeDevices");
    let mut taken = BTreeSet::new();
    for (index, mount) in list(container, "volumeMounts").iter().enumerate() {
        let item = path.index(index);
        let (name, at) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            required(&item.child("name"), "", errors);
        }
        if !volumes.contains_key(name) {
            not_found(&item.child("name"), name, errors);
        }
        if at.is_empty() {
            required(&item.child("mountPath"), "", errors);
        }
        if !taken.insert(at) {
            invalid(&item.child("mountPath"), at, "must be unique", errors);
        }
        if devices.iter().any(|device| text(device, "name") == name) {
            invalid(&item.child("name"), name, "must not already exist in volumeDevices", errors);
        }
        if devices.iter().any(|device| text(device, "devicePath") == at) {
            let detail = "must not already exist as a path in volumeDevices";
            invalid(&item.child("mountPath"), at, detail, errors);
        }
        sub_paths(mount, volumes, path, index, errors);
        propagation(container, mount, path, errors);
    }
}

fn sub_paths(
    mount: &Value,
    volumes: &BTreeMap<&str, &Value>,
    path: &Path,
    index: usize,
    errors: &mut Errors,
) {
    let item = path.index(index);
    let (plain, expression) = (text(mount, "subPath"), text(mount, "subPathExpr"));
    let of_image = volumes.get(text(mount, "name")).is_some_and(|volume| volume.get("image").is_some());
    for (key, found) in [("subPath", plain), ("subPathExpr", expression)] {
        if of_image && !found.is_empty() {
            invalid(&item.child(key), found, "not allowed in image volume sources", errors);
        }
    }
    // Without the index, as the original has it.
    relative_path(plain, &path.child("subPath"), errors);
    if !expression.is_empty() && !plain.is_empty() {
        let detail = "subPathExpr and subPath are mutually exclusive";
        invalid(&item.child("subPathExpr"), expression, detail, errors);
    }
    relative_path(expression, &path.child("subPathExpr"), errors);
}

fn propagation(container: &Value, mount: &Value, path: &Path, errors: &mut Errors) {
    if let Some(mode) = mount.get("mountPropagation").and_then(Value::as_str) {
        let path = path.child("mountPropagation");
        if !PROPAGATIONS.contains(&mode) {
            unsupported(&path, mode, PROPAGATIONS, errors);
        }
        if mode == "Bidirectional" && !flag(&container["securityContext"], "privileged") {
            forbidden(
                &path,
                "Bidirectional mount propagation is available only to privileged containers",
                errors,
            );
        }
    }
    let path = path.child("recursiveReadOnly");
    match text(mount, "recursiveReadOnly") {
        "" | "Disabled" => {}
        mode @ ("IfPossible" | "Enabled") => {
            if !flag(mount, "readOnly") {
                forbidden(&path, "may only be specified when readOnly is true", errors);
            }
            if !matches!(text(mount, "mountPropagation"), "" | "None") {
                let detail =
                    format!("may only be specified when mountPropagation is None or not specified ({mode})");
                forbidden(&path, detail, errors);
            }
        }
        other => unsupported(&path, other, &["Disabled", "IfPossible", "Enabled"], errors),
    }
}

fn devices(container: &Value, volumes: &BTreeMap<&str, &Value>, path: &Path, errors: &mut Errors) {
    let mounts = list(container, "volumeMounts");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for (index, device) in list(container, "volumeDevices").iter().enumerate() {
        let item = path.index(index);
        let (name, at) = (text(device, "name"), text(device, "devicePath"));
        let volume = volumes.get(name);
        if name.is_empty() {
            required(&item.child("name"), "", errors);
        } else if !names.insert(name) {
            invalid(&item.child("name"), name, "must be unique", errors);
        }
        let is_claim = |v: &&Value| v.get("persistentVolumeClaim").is_some() || v.get("ephemeral").is_some();
        match volume {
            None => not_found(&item.child("name"), name, errors),
            Some(volume) if !is_claim(volume) => {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                invalid(&item.child("name"), name, detail, errors);
            }
            Some(_) => {}
        }
        if at.is_empty() {
            required(&item.child("devicePath"), "", errors);
        }
        if at.split('/').any(|part| part == "..") {
            invalid(&item.child("devicePath"), at, "can not contain backsteps ('..')", errors);
        } else if !paths.insert(at) {
            invalid(&item.child("devicePath"), at, "must be unique", errors);
        }
        if mounts.iter().any(|mount| text(mount, "name") == name) {
            invalid(&item.child("name"), name, "must not already exist in volumeMounts", errors);
        }
        if mounts.iter().any(|mount| text(mount, "mountPath") == at) {
            let detail = "must not already exist as a path in volumeMounts";
            invalid(&item.child("devicePath"), at, detail, errors);
        }
    }
}

/// A path that stays below its root; empty is fine.
pub(super) fn relative_path(found: &str, path: &Path, errors: &mut Errors) {
    if found.starts_with('/') {
        invalid(path, found, "must be a relative path", errors);
    }
    if found.split('/').any(|part| part == "..") {
        invalid(path, found, "must not contain '..'", errors);
    }
}
