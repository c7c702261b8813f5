//! Validation of Jobs.

use serde_json::Value;

use super::{Path, integer, non_negative, template, text};
use crate::status::FieldError;

const MODES: &[&str] = &["Indexed", "NonIndexed"];
const INDEXED_MAX: i64 = 1_000_000;

pub(crate) fn validate(job: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&job["spec"], Path::new("spec"));
    let counts = [
        "parallelism",
        "completions",
        "backoffLimit",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    non_negative(spec, &counts, &path, &mut errors);
    let mode = text(spec, "completionMode");
    if !MODES.contains(&mode) {
        errors.push(FieldError::not_supported("spec.completionMode", mode, MODES));
    }
    if mode == "Indexed" {
        let completions = integer(spec, "completions");
        match completions {
            None => {
                let detail = "when completion mode is Indexed";
                errors.push(FieldError::required("spec.completions", detail));
            }
            Some(number) if number > INDEXED_MAX => {
                let detail = "must be less than or equal to 1000000";
                errors.push(FieldError::invalid("spec.completions", number, detail));
            }
            Some(_) => {}
        }
    }
    template::selector(spec, &path, &mut errors);
    template::validate(spec, &path, &["OnFailure", "Never"], &mut errors);
    errors
}

/// The template may still change where scheduling is decided, as long as the job is suspended and never started.
pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    const SCHEDULING: &[&str] =
        &["affinity", "nodeSelector", "tolerations", "schedulingGates", "topologySpreadConstraints"];
    let mut errors = template::fixed(old, new, &["selector", "completionMode", "backoffLimitPerIndex"]);
    let indexed = text(&new["spec"], "completionMode") == "Indexed";
    let elastic = indexed && new["spec"]["completions"] == new["spec"]["parallelism"];
    if !elastic {
        errors.extend(template::fixed(old, new, &["completions"]));
    }
    let open = old["spec"]["suspend"] == Value::Bool(true) && old["status"]["startTime"].is_null();
    let mut before = old.clone();
    if open && let Some(spec) = before.pointer_mut("/spec/template/spec").and_then(Value::as_object_mut) {
        for key in SCHEDULING {
            match new.pointer("/spec/template/spec").and_then(|s| s.get(*key)) {
                Some(value) => spec.insert((*key).to_owned(), value.clone()),
                None => spec.remove(*key),
            };
        }
    }
    errors.extend(template::fixed(&before, new, &["template"]));
    errors
}
