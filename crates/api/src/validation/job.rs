//! Validation of Jobs, and of the job spec that a `CronJob` holds.
//!
//! Upstream's rules. Whether our controller carries a field out is not asked here.

use serde_json::Value;

use super::check::{Errors, invalid, required, unsupported};
use super::{Path, integer, jobpolicy, list, names, non_negative, template, text};
use crate::meta;
use crate::status::FieldError;

const MODES: &[&str] = &["NonIndexed", "Indexed"];
const REPLACEMENTS: &[&str] = &["Failed", "TerminatingOrFailed"];
const PARALLELISM_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
/// Above this many completions, counting failures by index costs so much that less runs at once.
const MANY_COMPLETIONS: i64 = 100_000;
const PARALLELISM_OF_MANY: i64 = 10_000;
const FAILED_INDEXES_OF_MANY: i64 = 10_000;
const MANAGED_BY_MAX: usize = 63;

pub(crate) fn validate(job: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&job["spec"], Path::new("spec"));
    generated_selector(job, &mut errors);
    validate_spec(spec, &path, &mut errors);
    template::selector(spec, &path, &mut errors);
    template::matches_selector(spec, &path, &mut errors);
    if text(spec, "completionMode") == "Indexed"
        && let Some(completions) = integer(spec, "completions").filter(|n| *n > 0)
    {
        let name = meta::name(job);
        let host = format!("{name}-{}", completions - 1);
        if !names::dns1123_label(&host).is_empty() {
            let detail = format!("will not able to create pod with invalid DNS label: {host}");
            errors.push(FieldError::invalid("metadata.name", name, detail));
        }
    }
    errors
}

/// The labels that the server puts on the pods are those of this job.
fn generated_selector(job: &Value, errors: &mut Errors) {
    let spec = &job["spec"];
    if spec.get("manualSelector") == Some(&Value::Bool(true)) || spec.get("selector").is_none() {
        return;
    }
    let expected = [
        ("controller-uid", meta::uid(job)),
        ("job-name", meta::name(job)),
        ("batch.kubernetes.io/controller-uid", meta::uid(job)),
        ("batch.kubernetes.io/job-name", meta::name(job)),
    ];
    let labels = spec.pointer("/template/metadata/labels");
    for (key, wanted) in expected {
        let path = Path::new("spec.template.metadata.labels").key(key);
        let detail = format!("must be '{wanted}'");
        match labels.and_then(|labels| labels.get(key)) {
            None => required(&path, detail, errors),
            Some(found) if found.as_str() != Some(wanted) => {
                invalid(&path, labels.cloned().unwrap_or_default(), detail, errors);
            }
            Some(_) => {}
        }
    }
}

/// The spec without its selector.
pub(super) fn validate_spec(spec: &Value, path: &Path, errors: &mut Errors) {
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    non_negative(spec, &counts, path, errors);
    let per_index = spec.get("backoffLimitPerIndex").is_some();
    if spec.get("maxFailedIndexes").is_some() && !per_index {
        required(&path.child("backoffLimitPerIndex"), "when maxFailedIndexes is specified", errors);
    }
    managed_by(spec, &path.child("managedBy"), errors);
    mode(spec, path, errors);
    if spec.get("podFailurePolicy").is_some() {
        jobpolicy::failure(spec, &path.child("podFailurePolicy"), errors);
    }
    if let Some(policy) = spec.get("successPolicy") {
        let path = path.child("successPolicy");
        if text(spec, "completionMode") == "Indexed" {
            jobpolicy::success(spec, &path, errors);
        } else {
            invalid(&path, policy.clone(), "requires indexed completion mode", errors);
        }
    }
    replacement(spec, &path.child("podReplacementPolicy"), errors);
    template::validate(&spec["template"], &[], &path.child("template"), errors);
    restart_policy(spec, &path.child("template").child("spec").child("restartPolicy"), errors);
}

fn managed_by(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(manager) = spec.get("managedBy").and_then(Value::as_str) else { return };
    let shaped = manager.split_once('/').is_some_and(|(domain, name)| {
        names::dns1123_subdomain(domain).is_empty()
            && names::path_segment(name).is_empty()
            && !name.is_empty()
    });
    if manager.is_empty() {
        required(path, "", errors);
    } else if !shaped {
        invalid(path, manager, "must be a domain-prefixed path (such as \"acme.io/foo\")", errors);
    }
    if manager.len() > MANAGED_BY_MAX {
        errors.push(FieldError::too_long(path.to_string(), MANAGED_BY_MAX));
    }
}

fn mode(spec: &Value, path: &Path, errors: &mut Errors) {
    let mode = text(spec, "completionMode");
    if !mode.is_empty() && !MODES.contains(&mode) {
        unsupported(&path.child("completionMode"), mode, MODES, errors);
    }
    if mode == "Indexed" {
        return indexed(spec, path, errors);
    }
    for key in ["backoffLimitPerIndex", "maxFailedIndexes"] {
        if let Some(number) = integer(spec, key).filter(|_| matches!(mode, "" | "NonIndexed")) {
            invalid(&path.child(key), number, "requires indexed completion mode", errors);
        }
    }
}

fn indexed(spec: &Value, path: &Path, errors: &mut Errors) {
    let number = |key: &str| integer(spec, key);
    let (parallelism, failed) = (path.child("parallelism"), path.child("maxFailedIndexes"));
    let completions = number("completions");
    if completions.is_none() {
        required(&path.child("completions"), "when completion mode is Indexed", errors);
    }
    if let Some(n) = number("parallelism").filter(|n| *n > PARALLELISM_MAX) {
        let detail =
            format!("must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed");
        invalid(&parallelism, n, detail, errors);
    }
    if let (Some(n), Some(all)) = (number("maxFailedIndexes"), completions)
        && n > all
    {
        invalid(&failed, n, "must be less than or equal to completions", errors);
    }
    if let Some(n) = number("maxFailedIndexes").filter(|n| *n > FAILED_INDEXES_MAX) {
        invalid(&failed, n, format!("must be less than or equal to {FAILED_INDEXES_MAX}"), errors);
    }
    let many = completions.is_some_and(|n| n > MANY_COMPLETIONS);
    if !many || spec.get("backoffLimitPerIndex").is_none() {
        return;
    }
    if number("maxFailedIndexes").is_none() {
        let detail = format!("must be specified when completions is above {MANY_COMPLETIONS}");
        required(&failed, detail, errors);
    }
    let limits = [
        ("parallelism", &parallelism, PARALLELISM_OF_MANY),
        ("maxFailedIndexes", &failed, FAILED_INDEXES_OF_MANY),
    ];
    for (key, path, max) in limits {
        if let Some(n) = number(key).filter(|n| *n > max) {
            let detail = format!(
                "must be less than or equal to {max} when completions are above {MANY_COMPLETIONS} and used with backoff limit per index"
            );
            invalid(path, n, detail, errors);
        }
    }
}

fn replacement(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(policy) = spec.get("podReplacementPolicy").and_then(Value::as_str) else { return };
    let allowed = if spec.get("podFailurePolicy").is_some() { &REPLACEMENTS[..1] } else { REPLACEMENTS };
    if !allowed.contains(&policy) {
        unsupported(path, policy, allowed, errors);
    }
}

fn restart_policy(spec: &Value, path: &Path, errors: &mut Errors) {
    let policy = spec.pointer("/template/spec/restartPolicy").and_then(Value::as_str).unwrap_or_default();
    match policy {
        "" | "Always" => required(path, "valid values: \"OnFailure\", \"Never\"", errors),
        "OnFailure" if spec.get("podFailurePolicy").is_some() => {
            let detail = "only \"Never\" is supported when podFailurePolicy is specified";
            invalid(path, policy, detail, errors);
        }
        "OnFailure" | "Never" => {}
        other => unsupported(path, other, &["OnFailure", "Never"], errors),
    }
}

/// The template may still change where scheduling is decided, as long as the job is suspended and never started.
pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    const SCHEDULING: &[&str] = &["nodeSelector", "tolerations", "schedulingGates"];
    let mut errors = completions(old, new);
    errors.extend(template::fixed(old, new, &["selector"]));
    let open = old["spec"]["suspend"] == Value::Bool(true) && old["status"]["startTime"].is_null();
    let mut before = old.clone();
    if open {
        let from = |pointer: &str| new.pointer(pointer).cloned();
        take(
            &mut before,
            "/spec/template/metadata",
            "annotations",
            from("/spec/template/metadata/annotations"),
        );
        take(&mut before, "/spec/template/metadata", "labels", from("/spec/template/metadata/labels"));
        for key in SCHEDULING {
            take(&mut before, "/spec/template/spec", key, from(&format!("/spec/template/spec/{key}")));
        }
        node_affinity(&mut before, new);
    }
    errors.extend(template::fixed(&before, new, &["template"]));
    let rest = ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"];
    errors.extend(template::fixed(old, new, &rest));
    errors
}

/// Sets or removes a member of the object at a pointer.
fn take(object: &mut Value, pointer: &str, key: &str, value: Option<Value>) {
    let Some(map) = object.pointer_mut(pointer).and_then(Value::as_object_mut) else { return };
    match value {
        Some(value) => map.insert(key.to_owned(), value),
        None => map.remove(key),
    };
}

/// Of the affinity, only the nodes may change.
fn node_affinity(before: &mut Value, new: &Value) {
    const AFFINITY: &str = "/spec/template/spec/affinity";
    let node = new.pointer(AFFINITY).and_then(|a| a.get("nodeAffinity")).cloned();
    if new.pointer(AFFINITY).is_some() && before.pointer(AFFINITY).is_none() {
        take(before, "/spec/template/spec", "affinity", Some(serde_json::json!({})));
    }
    take(before, AFFINITY, "nodeAffinity", node);
    let bare = before.pointer(AFFINITY).and_then(Value::as_object).is_some_and(serde_json::Map::is_empty);
    if new.pointer(AFFINITY).is_none() && bare {
        take(before, "/spec/template/spec", "affinity", None);
    }
}

/// The number of completions is fixed, unless an indexed job keeps as many pods as it has indexes.
fn completions(old: &Value, new: &Value) -> Vec<FieldError> {
    let (before, after) = (old["spec"].get("completions"), new["spec"].get("completions"));
    if text(&new["spec"], "completionMode") != "Indexed" {
        return template::fixed(old, new, &["completions"]);
    }
    match after {
        Some(wanted) if before != after && new["spec"].get("parallelism") != after => {
            let detail = "can only be modified in tandem with spec.parallelism";
            vec![FieldError::invalid("spec.completions", wanted.clone(), detail)]
        }
        _ => Vec::new(),
    }
}

pub(crate) fn validate_status(_old: &Value, new: &Value) -> Vec<FieldError> {
    let (mut errors, status, path) = (Vec::new(), &new["status"], Path::new("status"));
    non_negative(status, &["active", "succeeded", "failed", "ready", "terminating"], &path, &mut errors);
    let is = |kind: &str| {
        list(status, "conditions").iter().any(|c| text(c, "type") == kind && text(c, "status") == "True")
    };
    if is("Complete") && is("Failed") {
        errors.push(FieldError {
            bad_value: None,
            ..FieldError::invalid(
                "status.conditions",
                Value::Null,
                "cannot set Complete=True and Failed=true conditions",
            )
        });
    }
    errors
}
