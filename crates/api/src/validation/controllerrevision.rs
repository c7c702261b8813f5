//! Validation of `ControllerRevisions`: what they keep never changes.

use serde_json::Value;

use super::{Path, non_negative};
use crate::status::FieldError;

pub(crate) fn validate(revision: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if revision.get("data").is_none_or(Value::is_null) {
        errors.push(FieldError::required("data", "data is mandatory"));
    }
    non_negative(revision, &["revision"], &Path::new(""), &mut errors);
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    if old.get("data") == new.get("data") {
        return Vec::new();
    }
    vec![FieldError::immutable("data", new.get("data").unwrap_or(&Value::Null))]
}
