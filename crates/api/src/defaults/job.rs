//! Defaults of Jobs, and the selector that the server makes from the uid.

use serde_json::{Map, Value, json};

use super::{object_or_new, podspec, set, spec_mut};
use crate::catalogue::CreateFacts;
use crate::meta;

pub(crate) fn apply(job: &mut Value) {
    let template_labels = job.pointer("/spec/template/metadata/labels").cloned();
    if meta::labels(job).is_none_or(Map::is_empty)
        && let Some(labels) = template_labels
    {
        meta::set(job, "labels", labels);
    }
    let Some(spec) = spec_mut(job) else { return };
    if !spec.contains_key("completions") && !spec.contains_key("parallelism") {
        set(spec, "completions", 1);
    }
    set(spec, "parallelism", 1);
    let per_index = spec.contains_key("backoffLimitPerIndex");
    set(spec, "backoffLimit", if per_index { i32::MAX } else { 6 });
    set(spec, "completionMode", "NonIndexed");
    set(spec, "suspend", false);
    set(spec, "manualSelector", false);
    let failure_policy = spec.contains_key("podFailurePolicy");
    set(spec, "podReplacementPolicy", if failure_policy { "Failed" } else { "TerminatingOrFailed" });
    podspec::apply_template(spec);
}

/// Pods are found by the uid of their job, so that a job with a reused name does not adopt the pods of the old one.
pub(crate) fn prepare_create(job: &mut Value, facts: &CreateFacts) {
    let name = meta::name(job).to_owned();
    // A job without labels of its own shares those of its pods, the generated ones included.
    let own = meta::labels(job).cloned().unwrap_or_default();
    let of_pods = job.pointer("/spec/template/metadata/labels").and_then(Value::as_object);
    let shares = own.is_empty() || of_pods == Some(&own);
    let Some(spec) = spec_mut(job) else { return };
    if spec.get("manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    let labels = object_or_new(spec, "template")
        .and_then(|template| object_or_new(template, "metadata"))
        .and_then(|metadata| object_or_new(metadata, "labels"));
    if let Some(labels) = labels {
        for prefix in ["batch.kubernetes.io/", ""] {
            labels.insert(format!("{prefix}controller-uid"), json!(facts.uid));
            labels.insert(format!("{prefix}job-name"), json!(name));
        }
    }
    let selector = object_or_new(spec, "selector").and_then(|s| object_or_new(s, "matchLabels"));
    if let Some(selector) = selector {
        set(selector, "batch.kubernetes.io/controller-uid", facts.uid.as_str());
    }
    if shares && let Some(labels) = job.pointer("/spec/template/metadata/labels").cloned() {
        meta::set(job, "labels", labels);
    }
}

/// A re-applied manifest does not repeat the selector and the labels that the server made: they are kept.
pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    let selector = old.pointer("/spec/selector").cloned();
    let labels = old.pointer("/spec/template/metadata/labels").and_then(Value::as_object).cloned();
    let Some(spec) = spec_mut(new) else { return };
    if spec.get("manualSelector") == Some(&Value::Bool(true)) {
        return;
    }
    if let Some(selector) = selector {
        set(spec, "selector", selector);
    }
    let kept = labels.into_iter().flatten().filter(|(key, _)| {
        let bare = key.strip_prefix("batch.kubernetes.io/").unwrap_or(key);
        matches!(bare, "controller-uid" | "job-name")
    });
    let into = object_or_new(spec, "template")
        .and_then(|template| object_or_new(template, "metadata"))
        .and_then(|metadata| object_or_new(metadata, "labels"));
    if let Some(into) = into {
        for (key, value) in kept {
            set(into, &key, value);
        }
    }
}
