//! Validation of `ReplicaSets`.

use serde_json::Value;

use super::{Path, non_negative, template};
use crate::status::FieldError;

pub(crate) fn validate(replica_set: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&replica_set["spec"], Path::new("spec"));
    non_negative(spec, &["replicas", "minReadySeconds"], &path, &mut errors);
    template::selector(spec, &path, &mut errors);
    template::validate(spec, &path, &["Always"], &mut errors);
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    template::fixed(old, new, &["selector"])
}
