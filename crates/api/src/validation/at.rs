//! Field errors that know their path: `path.invalid(value, "must be ...")`.
//!
//! Holds no rules; the sentences come from the caller or from [`super::names`].

use serde_json::Value;

use super::Path;
use crate::status::FieldError;

impl Path {
    /// A missing value.
    pub(super) fn required(&self, detail: &str) -> FieldError {
        FieldError::required(self.to_string(), detail)
    }

    /// A value that is not allowed.
    pub(super) fn invalid(&self, value: impl Into<Value>, detail: impl Into<String>) -> FieldError {
        FieldError::invalid(self.to_string(), value, detail)
    }

    /// A value outside an enumeration.
    pub(super) fn not_supported(&self, value: impl Into<Value>, allowed: &[&str]) -> FieldError {
        FieldError::not_supported(self.to_string(), value, allowed)
    }

    /// A value that occurs twice.
    pub(super) fn duplicate(&self, value: impl Into<Value>) -> FieldError {
        FieldError::duplicate(self.to_string(), value)
    }

    /// A value that may not be set.
    pub(super) fn forbidden(&self, detail: &str) -> FieldError {
        FieldError::forbidden(self.to_string(), detail)
    }

    /// A text of more than `max` bytes.
    pub(super) fn too_long(&self, max: usize) -> FieldError {
        FieldError::too_long(self.to_string(), max)
    }

    /// A list of `actual` items where `max` are allowed.
    pub(super) fn too_many(&self, actual: usize, max: usize) -> FieldError {
        FieldError::too_many(self.to_string(), actual, max)
    }

    /// One error per sentence about a text.
    pub(super) fn each(&self, text: &str, wrong: Vec<String>, errors: &mut Vec<FieldError>) {
        errors.extend(wrong.into_iter().map(|sentence| self.invalid(text, sentence)));
    }

    /// An error when a member differs between two objects.
    pub(super) fn unchanged(&self, old: &Value, new: &Value, errors: &mut Vec<FieldError>) {
        if old != new {
            errors.push(FieldError::immutable(self.to_string(), new));
        }
    }
}
