//! Validation of `RuntimeClasses`.

use serde_json::Value;

use super::{Path, list, meta, names, podspec, quantities, text};
use crate::status::FieldError;

pub(crate) fn validate(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (handler, at) = (text(class, "handler"), Path::new("handler"));
    if handler.is_empty() {
        errors.push(at.required(""));
    } else {
        at.each(handler, names::dns1123_label(handler), &mut errors);
    }
    quantities(&class["overhead"]["podFixed"], &Path::new("overhead").child("limits"), &mut errors);
    if let Some(scheduling) = class.get("scheduling") {
        validate_scheduling(scheduling, &Path::new("scheduling"), &mut errors);
    }
    errors
}

fn validate_scheduling(scheduling: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    meta::labels(scheduling.get("nodeSelector"), &path.child("nodeSelector").to_string(), errors);
    let path = path.child("tolerations");
    podspec::tolerations(scheduling, &path, errors);
    let mut seen = Vec::new();
    for (index, toleration) in list(scheduling, "tolerations").iter().enumerate() {
        let key = ["key", "operator", "value", "effect"].map(|member| text(toleration, member));
        if seen.contains(&key) {
            errors.push(path.index(index).duplicate(toleration.clone()));
        } else {
            seen.push(key);
        }
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    Path::new("handler").unchanged(&old["handler"], &new["handler"], &mut errors);
    errors
}
