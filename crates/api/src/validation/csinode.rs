//! Validation of `CSINodes`.

use serde_json::Value;

use super::csidriver::driver_name;
use super::{Path, list, names, non_negative, text};
use crate::status::FieldError;

const NODE_ID_BYTES_MAX: usize = 256;

fn drivers_path() -> Path {
    Path::new("spec").child("drivers")
}

pub(crate) fn validate(node: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = Vec::new();
    for (index, driver) in list(&node["spec"], "drivers").iter().enumerate() {
        let (path, name) = (drivers_path().index(index), text(driver, "name"));
        driver_name(name, &path.child("name"), &mut errors);
        let (id, at) = (text(driver, "nodeID"), path.child("nodeID"));
        if id.is_empty() {
            errors.push(at.required(""));
        }
        if id.len() > NODE_ID_BYTES_MAX {
            errors.push(at.invalid(id, format!("must be {NODE_ID_BYTES_MAX} characters or less")));
        }
        non_negative(&driver["allocatable"], &["count"], &path.child("allocatable"), &mut errors);
        if seen.contains(&name) {
            errors.push(path.child("name").duplicate(name));
        }
        seen.push(name);
        topology_keys(driver, &path, &mut errors);
    }
    errors
}

fn topology_keys(driver: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut seen = Vec::new();
    for key in list(driver, "topologyKeys") {
        let key = key.as_str().unwrap_or_default();
        if key.is_empty() {
            errors.push(path.required(""));
        }
        if seen.contains(&key) {
            errors.push(path.duplicate(key));
        }
        seen.push(key);
        path.each(key, names::qualified_name(key), errors);
    }
}

/// A driver that stays may change nothing but how much can be allocated.
pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let fixed = |driver: &Value| {
        let mut driver = driver.clone();
        if let Some(map) = driver.as_object_mut() {
            map.remove("allocatable");
        }
        driver
    };
    for before in list(&old["spec"], "drivers") {
        let name = text(before, "name");
        for after in list(&new["spec"], "drivers").iter().filter(|d| text(d, "name") == name) {
            drivers_path().unchanged(&fixed(before), &fixed(after), &mut errors);
        }
    }
    errors
}
