//! Validation of `HorizontalPodAutoscalers`, in both versions.

use serde_json::Value;

use super::check::{Errors, forbidden, invalid, required, shaped, unsupported};
use super::{Path, integer, list, names, non_negative, resources, text};
use crate::quantity::Quantity;
use crate::status::FieldError;

const WINDOW_MAX: i64 = 3600;
const PERIOD_MAX: i64 = 1800;
const SELECT_POLICIES: &[&str] = &["Disabled", "Max", "Min"];
const POLICIES: &[&str] = &["Percent", "Pods"];
/// Types of metrics and the fields that hold them, in the order in which they are looked at.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const TYPES: &[&str] = &["ContainerResource", "External", "Object", "Pods", "Resource"];

/// `autoscaling/v2`.
pub(crate) fn validate(autoscaler: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&autoscaler["spec"], Path::new("spec"));
    bounds(spec, &path, &mut errors);
    for (index, metric) in list(spec, "metrics").iter().enumerate() {
        metric_spec(metric, &path.child("metrics").index(index), &mut errors);
    }
    for key in ["scaleUp", "scaleDown"] {
        if let Some(rules) = spec["behavior"].get(key) {
            scaling_rules(rules, &path.child("behavior").child(key), &mut errors);
        }
    }
    if integer(spec, "maxReplicas").unwrap_or(0) == 0 {
        required(&path.child("maxReplicas"), "", &mut errors);
    }
    errors
}

/// `autoscaling/v1`; what its annotations hold is judged as what it becomes.
pub(crate) fn validate_v1(autoscaler: &Value) -> Vec<FieldError> {
    let mut whole = autoscaler.clone();
    crate::convert::horizontalpodautoscaler::to_v2(&mut whole);
    validate(&whole)
}

fn bounds(spec: &Value, path: &Path, errors: &mut Errors) {
    let (min, max) = (integer(spec, "minReplicas"), integer(spec, "maxReplicas").unwrap_or(0));
    if let Some(min) = min.filter(|min| *min < 1) {
        let detail = "must be greater than or equal to 1";
        invalid(&path.child("minReplicas"), min, detail, errors);
    }
    if max < 0 {
        invalid(&path.child("maxReplicas"), max, "must be greater than or equal to 1", errors);
    }
    if min.is_some_and(|min| max < min) {
        let detail = "must be greater than or equal to `minReplicas`";
        invalid(&path.child("maxReplicas"), max, detail, errors);
    }
    let (target, at) = (&spec["scaleTargetRef"], path.child("scaleTargetRef"));
    reference(target, &at, errors);
    api_group(text(target, "apiVersion"), &at.child("apiVersion"), errors);
}

/// What is scaled must name its group; the core group does not count, as for Kubernetes.
fn api_group(version: &str, path: &Path, errors: &mut Errors) {
    match version.split('/').count() {
        2 if version.starts_with('/') => invalid(path, version, "apiVersion must specify API group", errors),
        1 => invalid(path, version, "apiVersion must specify API group", errors),
        2 => {}
        _ => invalid(path, version, format!("unexpected GroupVersion string: {version}"), errors),
    }
}

fn reference(reference: &Value, path: &Path, errors: &mut Errors) {
    for key in ["kind", "name"] {
        match text(reference, key) {
            "" => required(&path.child(key), "", errors),
            found => shaped(found, names::path_segment, &path.child(key), errors),
        }
    }
}

fn metric_spec(metric: &Value, path: &Path, errors: &mut Errors) {
    let kind = text(metric, "type");
    if kind.is_empty() {
        required(&path.child("type"), "must specify a metric source type", errors);
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind).map(|(_, key)| *key);
    if expected.is_none() {
        unsupported(&path.child("type"), kind, TYPES, errors);
    }
    let given: Vec<&str> =
        SOURCES.iter().map(|(_, key)| *key).filter(|key| metric.get(*key).is_some()).collect();
    if let Some(first) = given.first() {
        source(&metric[*first], first, &path.child(first), errors);
    }
    if let Some(key) = expected.filter(|key| !given.contains(key)) {
        required(&path.child(key), "must populate information for the given metric source", errors);
    }
    if given.len() > 1 {
        for key in given.iter().filter(|key| Some(**key) != expected) {
            forbidden(&path.child(key), "must populate the given metric source only", errors);
        }
    }
}

fn source(source: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let (target, at) = (&source["target"], path.child("target"));
    let has = |key: &str| target.get(key).is_some();
    if kind == "object" {
        reference(&source["describedObject"], &path.child("describedObject"), errors);
    }
    match kind {
        "resource" | "containerResource" => resource_name(source, kind, path, errors),
        _ => {
            let path = path.child("metric").child("name");
            match text(&source["metric"], "name") {
                "" => required(&path, "must specify a metric name", errors),
                name => shaped(name, names::path_segment, &path, errors),
            }
        }
    }
    metric_target(target, &at, errors);
    let average = at.child("averageValue");
    match kind {
        "object" if !has("value") && !has("averageValue") => {
            required(&average, "must set either a target value or averageValue", errors);
        }
        "external" if !has("value") && !has("averageValue") => {
            required(&average, "must set either a target value for metric or a per-pod target", errors);
        }
        "external" if has("value") && has("averageValue") => {
            let detail = "may not set both a target value for metric and a per-pod target";
            forbidden(&at.child("value"), detail, errors);
        }
        "pods" if !has("averageValue") => {
            required(&average, "must specify a positive target averageValue", errors);
        }
        "resource" | "containerResource" => match (has("averageUtilization"), has("averageValue")) {
            (false, false) => {
                let detail = "must set either a target raw value or a target utilization";
                required(&at.child("averageUtilization"), detail, errors);
            }
            (true, true) => {
                forbidden(&average, "may not set both a target raw value and a target utilization", errors);
            }
            _ => {}
        },
        _ => {}
    }
}

fn resource_name(source: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let name = text(source, "name");
    if name.is_empty() {
        required(&path.child("name"), "must specify a resource name", errors);
    } else if kind == "containerResource" {
        resources::container_name(name, &path.child("name"), errors);
    }
    if kind == "containerResource" {
        match text(source, "container") {
            "" => required(&path.child("container"), "must specify a container", errors),
            container => shaped(container, names::dns1123_label, &path.child("container"), errors),
        }
    }
}

fn metric_target(target: &Value, path: &Path, errors: &mut Errors) {
    let kind = text(target, "type");
    if kind.is_empty() {
        required(&path.child("type"), "must specify a metric target type", errors);
    }
    if !matches!(kind, "Utilization" | "Value" | "AverageValue") {
        let detail = "must be either Utilization, Value, or AverageValue";
        invalid(&path.child("type"), kind, detail, errors);
    }
    for key in ["value", "averageValue"] {
        let Some(amount) = target.get(key) else { continue };
        match Quantity::from_json(amount) {
            Ok(quantity) if quantity.is_zero() || quantity.is_negative() => {
                invalid(&path.child(key), quantity.to_string(), "must be positive", errors);
            }
            Ok(_) => {}
            Err(error) => invalid(&path.child(key), amount.clone(), error.to_string(), errors),
        }
    }
    if let Some(share) = integer(target, "averageUtilization").filter(|n| *n < 1) {
        invalid(&path.child("averageUtilization"), share, "must be greater than 0", errors);
    }
}

fn scaling_rules(rules: &Value, path: &Path, errors: &mut Errors) {
    if let Some(window) = integer(rules, "stabilizationWindowSeconds") {
        let path = path.child("stabilizationWindowSeconds");
        if window < 0 {
            invalid(&path, window, "must be greater than or equal to zero", errors);
        }
        if window > WINDOW_MAX {
            invalid(&path, window, format!("must be less than or equal to {WINDOW_MAX}"), errors);
        }
    }
    let select = rules.get("selectPolicy").and_then(Value::as_str);
    if let Some(select) = select.filter(|s| !SELECT_POLICIES.contains(s)) {
        unsupported(&path.child("selectPolicy"), select, SELECT_POLICIES, errors);
    }
    let (policies, path) = (list(rules, "policies"), path.child("policies"));
    if policies.is_empty() {
        required(&path, "must specify at least one Policy", errors);
    }
    for (index, policy) in policies.iter().enumerate() {
        let (path, kind) = (path.index(index), text(policy, "type"));
        if !POLICIES.contains(&kind) {
            unsupported(&path.child("type"), kind, POLICIES, errors);
        }
        for key in ["value", "periodSeconds"] {
            if let Some(number) = Some(integer(policy, key).unwrap_or(0)).filter(|n| *n <= 0) {
                invalid(&path.child(key), number, "must be greater than zero", errors);
            }
        }
        if let Some(period) = integer(policy, "periodSeconds").filter(|n| *n > PERIOD_MAX) {
            let detail = format!("must be less than or equal to {PERIOD_MAX}");
            invalid(&path.child("periodSeconds"), period, detail, errors);
        }
    }
}

pub(crate) fn validate_status(_old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let counts = ["currentReplicas", "desiredReplicas"];
    non_negative(&new["status"], &counts, &Path::new("status"), &mut errors);
    errors
}
