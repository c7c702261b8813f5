//! Validation of `PriorityClasses`.

use serde_json::Value;

use super::{Path, integer, text};
use crate::meta;
use crate::status::FieldError;

const SYSTEM_PREFIX: &str = "system-";
/// The highest priority that users may give; above it is the system's own.
const USER_MAX: i64 = 1_000_000_000;
/// The classes that every cluster has: name, value, what for.
pub const SYSTEM_CLASSES: &[(&str, i64, &str)] = &[
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
];
const POLICIES: &[&str] = &["PreemptLowerPriority", "Never"];

pub(crate) fn validate(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (name, value) = (meta::name(class), integer(class, "value").unwrap_or(0));
    if name.starts_with(SYSTEM_PREFIX) {
        if let Some(why) = not_a_system_class(class, name, value) {
            let detail = format!(
                "priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {why}"
            );
            errors.push(Path::new("metadata").child("name").forbidden(&detail));
        }
    } else if value > USER_MAX {
        let detail = format!("maximum allowed value of a user defined priority is {USER_MAX}");
        errors.push(Path::new("value").forbidden(&detail));
    }
    if let Some(policy) = class.get("preemptionPolicy").and_then(Value::as_str) {
        let path = Path::new("preemptionPolicy");
        match policy {
            "" => errors.push(path.required("")),
            known if POLICIES.contains(&known) => {}
            other => errors.push(path.not_supported(other, POLICIES)),
        }
    }
    errors
}

fn not_a_system_class(class: &Value, name: &str, value: i64) -> Option<String> {
    let Some((_, wanted, _)) = SYSTEM_CLASSES.iter().find(|(known, ..)| *known == name) else {
        return Some(format!("{name} is not a known system priority class"));
    };
    if value != *wanted {
        return Some(format!("value of {name} PriorityClass must be {wanted}"));
    }
    let default = class.get("globalDefault") == Some(&Value::Bool(true));
    default.then(|| format!("globalDefault of {name} PriorityClass must be false"))
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if integer(old, "value").unwrap_or(0) != integer(new, "value").unwrap_or(0) {
        errors.push(Path::new("value").forbidden("may not be changed in an update."));
    }
    let policy = |class: &Value| match text(class, "preemptionPolicy") {
        "" => Value::Null,
        policy => policy.into(),
    };
    Path::new("preemptionPolicy").unchanged(&policy(old), &policy(new), &mut errors);
    errors
}
