//! Validation of `CustomResourceDefinitions`; the rules are in [`crate::crd`].

use serde_json::Value;

use crate::crd;
use crate::status::FieldError;

pub(crate) fn validate(definition: &Value) -> Vec<FieldError> {
    crd::validate_definition(definition)
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    crd::validate_definition_update(old, new)
}
