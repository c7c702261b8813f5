//! Validation of Leases.

use serde_json::Value;

use super::{Path, integer, names, text};
use crate::status::FieldError;

const STRATEGIES: &[&str] = &["OldestEmulationVersion"];

pub(crate) fn validate(lease: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&lease["spec"], Path::new("spec"));
    for (key, min) in [("leaseDurationSeconds", 1), ("leaseTransitions", 0)] {
        if let Some(number) = integer(spec, key)
            && number < min
        {
            let detail =
                if min == 0 { "must be greater than or equal to 0" } else { "must be greater than 0" };
            errors.push(path.child(key).invalid(number, detail));
        }
    }
    let strategy = text(spec, "strategy");
    if spec.get("strategy").is_some() {
        // Kubernetes names the field twice.
        let path = path.child("strategy").child("strategy");
        if strategy.contains('/') {
            path.each(strategy, names::qualified_name(strategy), &mut errors);
        } else if !STRATEGIES.contains(&strategy) {
            errors.push(path.not_supported(strategy, STRATEGIES));
        }
    }
    if !text(spec, "preferredHolder").is_empty() && strategy.is_empty() {
        let detail = "may only be specified if `strategy` is defined";
        errors.push(path.child("preferredHolder").forbidden(detail));
    }
    errors
}
