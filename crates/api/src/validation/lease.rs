//! Validation of Leases.

use serde_json::Value;

use super::{Path, integer};
use crate::status::FieldError;

pub(crate) fn validate(lease: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = Path::new("spec");
    for (key, min) in [("leaseDurationSeconds", 1), ("leaseTransitions", 0)] {
        if let Some(number) = integer(&lease["spec"], key)
            && number < min
        {
            let detail =
                if min == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            errors.push(FieldError::invalid(spec.child(key).to_string(), number, detail));
        }
    }
    errors
}
