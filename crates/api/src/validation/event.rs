//! Validation of Events, in both versions. Fields are called by the names of `core/v1`, as the original does.

use serde_json::Value;

use super::check::{Errors, invalid, required, shaped};
use super::{NameRule, Path, integer, names, text};
use crate::meta;
use crate::status::FieldError;

const SHORT_MAX: usize = 128;
const NOTE_MAX: usize = 1024;

/// `core/v1`.
pub(crate) fn validate(event: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    common(event, "reportingComponent", &mut errors);
    errors
}

/// `events.k8s.io/v1`: what is common, and no more of the old fields.
pub(crate) fn validate_v1(event: &Value) -> Vec<FieldError> {
    let mut core = event.clone();
    crate::convert::event::to_core(&mut core);
    let mut errors = Vec::new();
    common(&core, "reportingController", &mut errors);
    errors
}

pub(crate) fn validate_v1_create(event: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    super::meta::object_name(meta::name(event), NameRule::Subdomain, &mut errors);
    series(event, &mut errors);
    if text(event, "eventTime").is_empty() {
        errors.push(FieldError::required("eventTime", ""));
    }
    let kind = text(event, "type");
    if !matches!(kind, "Normal" | "Warning") {
        errors.push(FieldError::invalid("type", "", format!("has invalid value: {kind}")));
    }
    let source = &event["deprecatedSource"];
    let old = [
        ("firstTimestamp", !text(event, "deprecatedFirstTimestamp").is_empty()),
        ("lastTimestamp", !text(event, "deprecatedLastTimestamp").is_empty()),
        ("count", integer(event, "deprecatedCount").unwrap_or(0) != 0),
        ("source", ["component", "host"].iter().any(|key| !text(source, key).is_empty())),
    ];
    for (key, _) in old.iter().filter(|(_, set)| *set) {
        errors.push(FieldError::invalid(*key, "", "needs to be unset"));
    }
    errors
}

/// Only the series of an event goes on.
pub(crate) fn validate_v1_update(old: &Value, new: &Value) -> Vec<FieldError> {
    const FIXED: [(&str, &str); 13] = [
        ("regarding", "involvedObject"),
        ("reason", "reason"),
        ("note", "message"),
        ("deprecatedSource", "source"),
        ("deprecatedFirstTimestamp", "firstTimestamp"),
        ("deprecatedLastTimestamp", "lastTimestamp"),
        ("deprecatedCount", "count"),
        ("type", "type"),
        ("eventTime", "eventTime"),
        ("action", "action"),
        ("related", "related"),
        ("reportingController", "reportingController"),
        ("reportingInstance", "reportingInstance"),
    ];
    let mut errors = Vec::new();
    if old.get("series") != new.get("series") {
        series(new, &mut errors);
    }
    for (key, path) in FIXED.iter().filter(|(key, _)| old.get(*key) != new.get(*key)) {
        errors.push(FieldError::immutable(*path, new.get(*key).unwrap_or(&Value::Null)));
    }
    errors
}

fn series(event: &Value, errors: &mut Errors) {
    let Some(series) = event.get("series") else { return };
    if integer(series, "count").unwrap_or(0) < 2 {
        errors.push(FieldError::invalid("series.count", "", "should be at least 2"));
    }
    if text(series, "lastObservedTime").is_empty() {
        errors.push(FieldError::required("series.lastObservedTime", ""));
    }
}

fn common(event: &Value, controller_key: &str, errors: &mut Errors) {
    let involved = event.get("involvedObject").unwrap_or(&Value::Null);
    let (namespace, about) = (meta::namespace(event), text(involved, "namespace"));
    let mismatch =
        || FieldError::invalid("involvedObject.namespace", about, "does not match event.namespace");
    // Events about things beside all namespaces are kept in `default`.
    if text(event, "eventTime").is_empty() {
        if about != namespace && !(about.is_empty() && namespace == "default") {
            errors.push(mismatch());
        }
        return;
    }
    if about.is_empty() && !matches!(namespace, "default" | "kube-system") {
        errors.push(mismatch());
    }
    let controller = text(event, "reportingComponent");
    let path = Path::new(controller_key);
    if controller.is_empty() {
        required(&path, "", errors);
    }
    shaped(controller, names::qualified_name, &path, errors);
    for key in ["reportingInstance", "action", "reason"] {
        let found = text(event, key);
        if found.is_empty() {
            required(&Path::new(key), "", errors);
        }
        if found.len() > SHORT_MAX {
            invalid(&Path::new(key), "", format!("can have at most {SHORT_MAX} characters"), errors);
        }
    }
    if text(event, "message").len() > NOTE_MAX {
        invalid(&Path::new("message"), "", format!("can have at most {NOTE_MAX} characters"), errors);
    }
}
