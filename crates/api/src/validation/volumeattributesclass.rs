//! Validation of `VolumeAttributesClasses`.

use serde_json::Value;

use super::{Path, storageclass};
use crate::status::FieldError;

pub(crate) fn validate(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    storageclass::provisioner(class, "driverName", &mut errors);
    if storageclass::parameters(class, &mut errors) == 0 {
        errors.push(Path::new("parameters").required("must contain at least one key/value pair"));
    }
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let changed = ["driverName", "parameters"].into_iter().filter(|key| old[*key] != new[*key]);
    changed.map(|key| Path::new(key).forbidden(&format!("updates to {key} are forbidden."))).collect()
}
