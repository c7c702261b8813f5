//! Validation of Namespaces: their finalizers, which hold everything that is in them.

use serde_json::Value;

use super::check::{Errors, invalid, shaped, texts};
use super::{Path, names};
use crate::status::FieldError;

/// Finalizers without a prefix that mean something.
const STANDARD: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

fn finalizer(name: &str, path: &Path, errors: &mut Errors) {
    let before = errors.len();
    shaped(name, names::qualified_name, path, errors);
    if errors.len() == before && !name.contains('/') && !STANDARD.contains(&name) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        invalid(path, name, detail, errors);
    }
}

pub(crate) fn validate(namespace: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for name in texts(&namespace["spec"], "finalizers") {
        finalizer(name, &Path::new("spec").child("finalizers"), &mut errors);
    }
    errors
}

/// What is wrong with a change through `/finalize`.
pub(crate) fn validate_finalize(_old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, name) in texts(&new["spec"], "finalizers").enumerate() {
        finalizer(name, &Path::new("spec").child("finalizers").index(index), &mut errors);
    }
    errors
}
