//! Validation of volumes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::container::relative_path;
use super::{Path, integer, list, names, text};
use crate::quantity::Quantity;
use crate::status::FieldError;

const HOST_PATH_TYPES: &[&str] =
    &["BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const MODE_MAX: i64 = 0o777;

/// Checks all volumes and returns them by name.
pub(super) fn validate_all<'a>(
    spec: &'a Value,
    path: &Path,
    errors: &mut Vec<FieldError>,
) -> BTreeMap<&'a str, &'a Value> {
    let mut by_name = BTreeMap::new();
    for (index, volume) in list(spec, "volumes").iter().enumerate() {
        let path = path.index(index);
        let name = text(volume, "name");
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name").to_string(), ""));
        } else {
            for wrong in names::dns1123_label(name) {
                errors.push(FieldError::invalid(path.child("name").to_string(), name, wrong));
            }
            if by_name.insert(name, volume).is_some() {
                errors.push(FieldError::duplicate(path.child("name").to_string(), name));
            }
        }
        sources(volume, &path, errors);
    }
    by_name
}

fn sources(volume: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let given: Vec<&String> =
        volume.as_object().into_iter().flat_map(|map| map.keys()).filter(|key| *key != "name").collect();
    if given.is_empty() {
        errors.push(FieldError::required(path.to_string(), "must specify a volume type"));
    }
    for (index, key) in given.into_iter().enumerate() {
        let (source, path) = (&volume[key], path.child(key));
        if index > 0 {
            let detail = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(path.to_string(), detail));
            continue;
        }
        match key.as_str() {
            "hostPath" => host_path(source, &path, errors),
            "emptyDir" => empty_dir(source, &path, errors),
            "configMap" => files(source, "name", &path, errors),
            "secret" => files(source, "secretName", &path, errors),
            "downwardAPI" => modes(source, &path, errors),
            "projected" => projected(source, &path, errors),
            "persistentVolumeClaim" if text(source, "claimName").is_empty() => {
                errors.push(FieldError::required(path.child("claimName").to_string(), ""));
            }
            _ => {}
        }
    }
}

fn host_path(source: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let found = text(source, "path");
    if found.is_empty() {
        errors.push(FieldError::required(path.child("path").to_string(), ""));
    }
    if found.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path.child("path").to_string(), found, "must not contain '..'"));
    }
    super::one_of(source, "type", HOST_PATH_TYPES, path, errors);
}

fn empty_dir(source: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(limit) = source.get("sizeLimit") else { return };
    let path = path.child("sizeLimit").to_string();
    match Quantity::from_json(limit) {
        Err(error) => errors.push(FieldError::invalid(path, limit.clone(), error.to_string())),
        Ok(quantity) if quantity.is_negative() => {
            errors.push(FieldError::forbidden(path, "SizeLimit field must be a valid resource quantity"));
        }
        Ok(_) => {}
    }
}

/// Files from the entries of a `ConfigMap` or Secret.
fn files(source: &Value, name_key: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if text(source, name_key).is_empty() {
        errors.push(FieldError::required(path.child(name_key).to_string(), ""));
    }
    modes(source, path, errors);
}

fn modes(source: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mode = |value: &Value, key: &str, path: &Path, errors: &mut Vec<FieldError>| {
        if let Some(number) = integer(value, key).filter(|n| !(0..=MODE_MAX).contains(n)) {
            let detail = "must be a number between 0 and 0777 (octal), both inclusive";
            errors.push(FieldError::invalid(path.child(key).to_string(), number, detail));
        }
    };
    mode(source, "defaultMode", path, errors);
    for (index, item) in list(source, "items").iter().enumerate() {
        let path = path.child("items").index(index);
        mode(item, "mode", &path, errors);
        let reference = item.get("fieldRef").is_some() || item.get("resourceFieldRef").is_some();
        if text(item, "key").is_empty() && !reference {
            errors.push(FieldError::required(path.child("key").to_string(), ""));
        }
        let found = text(item, "path");
        if found.is_empty() {
            errors.push(FieldError::required(path.child("path").to_string(), ""));
        }
        relative_path(found, &path.child("path"), errors);
    }
}

fn projected(source: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    modes(source, path, errors);
    for (index, part) in list(source, "sources").iter().enumerate() {
        let path = path.child("sources").index(index);
        for (key, value) in part.as_object().into_iter().flatten() {
            let path = path.child(key);
            match key.as_str() {
                "configMap" | "secret" => files(value, "name", &path, errors),
                "serviceAccountToken" if text(value, "path").is_empty() => {
                    errors.push(FieldError::required(path.child("path").to_string(), ""));
                }
                "serviceAccountToken" => relative_path(text(value, "path"), &path.child("path"), errors),
                _ => modes(value, &path, errors),
            }
        }
    }
}
