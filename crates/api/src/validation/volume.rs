//! Validation of volumes.
//!
//! Sources that other systems provide (`nfs`, `csi`, `iscsi`, ...) are checked for the fields they cannot do without; what is
//! in them is theirs.

use std::collections::BTreeMap;

use serde_json::Value;

use super::check::{Errors, duplicate, forbidden, invalid, required, shaped, unsupported};
use super::env::{self, Place};
use super::mount::relative_path;
use super::podspec::Owner;
use super::{Path, integer, list, names, persistentvolumeclaim, text};
use crate::quantity::Quantity;

const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const MODE_MAX: i64 = 0o777;
const TOKEN_SECONDS_MIN: i64 = 600;

/// In the order in which Kubernetes looks at them: of several, the first is the one that counts.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];

/// Fields that sources of other systems cannot do without, and what is said when they are missing.
pub(super) const NEEDED: &[(&str, &[&str])] = &[
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &["monitors"]),
    ("cinder", &["volumeID"]),
    ("csi", &["driver"]),
    ("flexVolume", &["driver"]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("nfs", &["server", "path"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["monitors", "image"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("vsphereVolume", &["volumePath"]),
];

/// Checks all volumes and returns by name those that nothing is wrong with.
pub(super) fn validate_all<'a>(
    spec: &'a Value,
    owner: Owner<'a>,
    path: &Path,
    errors: &mut Errors,
) -> BTreeMap<&'a str, &'a Value> {
    let mut by_name = BTreeMap::new();
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let path = path.index(index);
        let before = errors.len();
        sources(volume, &path, errors);
        let name = text(volume, "name");
        if name.is_empty() {
            required(&path.child("name"), "", errors);
        } else {
            shaped(name, names::dns1123_label, &path.child("name"), errors);
        }
        if by_name.contains_key(name) {
            duplicate(&path.child("name"), name, errors);
        }
        if errors.len() == before {
            by_name.insert(name, volume);
        }
    }
    if let Owner::Template(claims) = owner {
        for claim in claims {
            let name = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
            by_name.insert(name, &CLAIM);
        }
    }
    by_name
}

/// Stands for a volume that a claim template will give.
static CLAIM: std::sync::LazyLock<Value> =
    std::sync::LazyLock::new(|| serde_json::json!({ "persistentVolumeClaim": {} }));

fn sources(volume: &Value, path: &Path, errors: &mut Errors) {
    let mut given: Vec<&String> =
        volume.as_object().into_iter().flat_map(|map| map.keys()).filter(|key| *key != "name").collect();
    given.sort_by_key(|key| SOURCES.iter().position(|source| source == key));
    if given.is_empty() {
        required(path, "must specify a volume type", errors);
    }
    for (index, key) in given.into_iter().enumerate() {
        let (source, path) = (&volume[key], path.child(key));
        if index > 0 {
            forbidden(&path, "may not specify more than 1 volume type", errors);
            continue;
        }
        match key.as_str() {
            "hostPath" => host_path(source, &path, errors),
            "emptyDir" => empty_dir(source, &path, errors),
            "configMap" => {
                if text(source, "name").is_empty() {
                    required(&path.child("name"), "", errors);
                }
                files(source, &path, errors);
            }
            "secret" => {
                if text(source, "secretName").is_empty() {
                    required(&path.child("secretName"), "", errors);
                }
                files(source, &path, errors);
            }
            "downwardAPI" => {
                mode(source, "defaultMode", &path, errors);
                downward(source, &path, errors);
            }
            "projected" => projected(source, &path, errors),
            "persistentVolumeClaim" if text(source, "claimName").is_empty() => {
                required(&path.child("claimName"), "", errors);
            }
            "ephemeral" => ephemeral(source, &path, errors),
            "image" => image(source, &path, errors),
            other => needed(source, other, &path, errors),
        }
    }
}

/// Fields without which a source of another system means nothing.
pub(super) fn needed(source: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let keys = NEEDED.iter().find(|(name, _)| *name == kind).map_or(&[][..], |(_, keys)| keys);
    for key in keys {
        let missing = match source.get(*key) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(Value::Array(items)) => items.is_empty(),
            Some(_) => false,
        };
        if missing {
            required(&path.child(key), "", errors);
        }
    }
    if kind == "nfs" {
        let found = text(source, "path");
        if !found.is_empty() && !found.starts_with('/') {
            invalid(&path.child("path"), found, "must be an absolute path", errors);
        }
    }
}

pub(super) fn host_path(source: &Value, path: &Path, errors: &mut Errors) {
    let found = text(source, "path");
    if found.is_empty() {
        return required(&path.child("path"), "", errors);
    }
    if found.split('/').any(|part| part == "..") {
        invalid(&path.child("path"), found, "must not contain '..'", errors);
    }
    let kind = text(source, "type");
    if !HOST_PATH_TYPES.contains(&kind) {
        unsupported(&path.child("type"), kind, HOST_PATH_TYPES, errors);
    }
}

fn empty_dir(source: &Value, path: &Path, errors: &mut Errors) {
    let Some(limit) = source.get("sizeLimit") else { return };
    let path = path.child("sizeLimit");
    match Quantity::from_json(limit) {
        Err(error) => invalid(&path, limit.clone(), error.to_string(), errors),
        Ok(quantity) if quantity.is_negative() => {
            forbidden(&path, "SizeLimit field must be a valid resource quantity", errors);
        }
        Ok(_) => {}
    }
}

fn mode(value: &Value, key: &str, path: &Path, errors: &mut Errors) {
    if let Some(number) = integer(value, key).filter(|n| !(0..=MODE_MAX).contains(n)) {
        let detail = "must be a number between 0 and 0777 (octal), both inclusive";
        invalid(&path.child(key), number, detail, errors);
    }
}

/// Files from the entries of a `ConfigMap` or Secret.
fn files(source: &Value, path: &Path, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    for (index, item) in list(source, "items").iter().enumerate() {
        let path = path.child("items").index(index);
        if text(item, "key").is_empty() {
            required(&path.child("key"), "", errors);
        }
        file_path(item, &path, errors);
        mode(item, "mode", &path, errors);
    }
}

fn file_path(item: &Value, path: &Path, errors: &mut Errors) {
    let (found, path) = (text(item, "path"), path.child("path"));
    if found.is_empty() {
        return required(&path, "", errors);
    }
    relative_path(found, &path, errors);
    if found.starts_with("..") && !found.starts_with("../") && found != ".." {
        invalid(&path, found, "must not start with '..'", errors);
    }
}

fn downward(source: &Value, path: &Path, errors: &mut Errors) {
    for (index, item) in list(source, "items").iter().enumerate() {
        let path = path.child("items").index(index);
        file_path(item, &path, errors);
        match (item.get("fieldRef"), item.get("resourceFieldRef")) {
            (Some(field), other) => {
                env::field(field, Place::File, &path.child("fieldRef"), errors);
                if other.is_some() {
                    let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                    invalid(&path, "resource", detail, errors);
                }
            }
            (None, Some(resource)) => {
                env::resource(resource, Place::File, &path.child("resourceFieldRef"), errors);
            }
            (None, None) => {
                required(&path.child("fieldRef"), "one of fieldRef and resourceFieldRef is required", errors);
            }
        }
        mode(item, "mode", &path, errors);
    }
}

fn projected(source: &Value, path: &Path, errors: &mut Errors) {
    mode(source, "defaultMode", path, errors);
    let mut paths = std::collections::BTreeSet::new();
    for (index, part) in list(source, "sources").iter().enumerate() {
        let path = path.child("sources").index(index);
        for (count, (key, value)) in part.as_object().into_iter().flatten().enumerate() {
            let path = path.child(key);
            if count > 0 {
                forbidden(&path, "may not specify more than 1 volume type per source", errors);
                continue;
            }
            match key.as_str() {
                "configMap" | "secret" => {
                    if text(value, "name").is_empty() {
                        required(&path.child("name"), "", errors);
                    }
                    files(value, &path, errors);
                }
                "downwardAPI" => downward(value, &path, errors),
                "serviceAccountToken" => token(value, &path, errors),
                _ => {}
            }
            let items = list(value, "items").iter().map(|item| text(item, "path"));
            for file in items.chain(Some(text(value, "path"))).filter(|file| !file.is_empty()) {
                if !paths.insert(file) {
                    let detail = "conflicting duplicate paths";
                    invalid(&path.child("path"), file, detail, errors);
                }
            }
        }
    }
}

fn token(token: &Value, path: &Path, errors: &mut Errors) {
    if let Some(seconds) = integer(token, "expirationSeconds") {
        let path = path.child("expirationSeconds");
        if seconds < TOKEN_SECONDS_MIN {
            invalid(&path, seconds, "may not specify a duration less than 10 minutes", errors);
        }
        if seconds > 1 << 32 {
            invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds", errors);
        }
    }
    match text(token, "path") {
        "" => required(&path.child("path"), "", errors),
        found => relative_path(found, &path.child("path"), errors),
    }
}

fn ephemeral(source: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("volumeClaimTemplate");
    match source.get("volumeClaimTemplate") {
        None => required(&path, "", errors),
        Some(template) => {
            let spec = template.get("spec").unwrap_or(&Value::Null);
            persistentvolumeclaim::validate_spec(spec, &path.child("spec"), errors);
        }
    }
}

fn image(source: &Value, path: &Path, errors: &mut Errors) {
    if text(source, "reference").is_empty() {
        required(&path.child("reference"), "", errors);
    }
    super::check::choice(source, "pullPolicy", &["Always", "IfNotPresent", "Never"], path, errors);
}
