//! Validation of `PodTemplates`.

use serde_json::Value;

use super::{Path, template};
use crate::status::FieldError;

pub(crate) fn validate(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    template::validate(&object["template"], &[], &Path::new("template"), &mut errors);
    errors
}
