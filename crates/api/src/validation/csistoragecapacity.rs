//! Validation of `CSIStorageCapacities`.

use serde_json::Value;

use super::{Path, label_selector, names, text};
use crate::quantity::Quantity;
use crate::status::FieldError;

pub(crate) fn validate(capacity: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    label_selector::validate(&capacity["nodeTopology"], &Path::new("nodeTopology"), &mut errors);
    let class = text(capacity, "storageClassName");
    Path::new("storageClassName").each(class, names::dns1123_subdomain(class), &mut errors);
    if let Some(found) = capacity.get("capacity") {
        let path = Path::new("capacity");
        match Quantity::from_json(found) {
            Err(error) => errors.push(path.invalid(found.clone(), error.to_string())),
            Ok(quantity) if quantity.is_negative() => {
                errors.push(path.invalid(quantity.to_string(), "must be greater than or equal to 0"));
            }
            Ok(_) => {}
        }
    }
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for key in ["nodeTopology", "storageClassName"] {
        Path::new(key).unchanged(&old[key], &new[key], &mut errors);
    }
    errors
}
