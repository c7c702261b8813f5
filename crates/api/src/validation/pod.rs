//! Validation of pods, and of the few fields that may change while one runs.
//!
//! Each subresource that changes a part of a pod has its own question here. Binding a pod to a node is not an update:
//! whoever serves `/binding` does not ask [`validate_update`].

use serde_json::{Map, Value};

use super::check::{Errors, forbidden, invalid};
use super::podspec::Owner;
use super::{Path, integer, list, podspec, text};
use crate::defaults::pod::qos_class;
use crate::meta;
use crate::quantity::Quantity;
use crate::status::FieldError;

const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
/// What a resize may change in a container.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

pub(crate) fn validate(pod: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    annotations(pod, &Path::new("metadata").child("annotations"), &mut errors);
    match pod.get("spec") {
        Some(spec) => podspec::validate(spec, Owner::Pod, &path, &mut errors),
        None => errors.push(FieldError::required("spec.containers", "")),
    }
    errors
}

/// Annotations that mean something to Kubernetes.
pub(super) fn annotations(owner: &Value, path: &Path, errors: &mut Errors) {
    if let Some(cost) = meta::annotation(owner, DELETION_COST) {
        let canonical = cost.parse::<i32>().is_ok_and(|n| n.to_string() == cost);
        if !canonical {
            invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer", errors);
        }
    }
    if let Some(mirror) = meta::annotation(owner, MIRROR)
        && text(&owner["spec"], "nodeName").is_empty()
    {
        invalid(&path.key(MIRROR), mirror, "must set spec.nodeName if mirror pod annotation is set", errors);
    }
}

/// What may not be there when a pod is new.
pub(crate) fn validate_create(pod: &Value) -> Vec<FieldError> {
    let (mut errors, spec) = (Vec::new(), &pod["spec"]);
    if !list(spec, "ephemeralContainers").is_empty() {
        errors.push(FieldError::forbidden("spec.ephemeralContainers", "cannot be set on create"));
    }
    if !text(spec, "nodeName").is_empty() && !list(spec, "schedulingGates").is_empty() {
        let detail = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden("spec.nodeName", detail));
    }
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (before, after) = (&old["spec"], &new["spec"]);
    let mut errors = Vec::new();
    mirror_stays(old, new, &mut errors);
    for key in ["containers", "initContainers"] {
        if list(before, key).len() != list(after, key).len() {
            let detail = "pod updates may not add or remove containers";
            errors.push(FieldError::forbidden(format!("spec.{key}"), detail));
            return errors;
        }
    }
    if !deadline(before, after, &mut errors) {
        return errors;
    }
    tolerations(before, after, &mut errors);
    scheduling_gates(before, after, &mut errors);
    let masked = masked(before, after, &mut errors);
    if masked != *after {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden("spec", detail));
    }
    errors
}

fn mirror_stays(old: &Value, new: &Value, errors: &mut Errors) {
    let path = Path::new("metadata").child("annotations").key(MIRROR);
    match (meta::annotation(old, MIRROR), meta::annotation(new, MIRROR)) {
        (Some(before), after) if after != Some(before) => {
            forbidden(&path, "may not remove or update mirror pod annotation", errors);
        }
        (None, Some(_)) => forbidden(&path, "may not add mirror pod annotation", errors),
        _ => {}
    }
}

/// The old spec with everything that may change taken from the new one.
fn masked(before: &Value, after: &Value, errors: &mut Errors) -> Value {
    let mut masked = before.clone();
    let Some(map) = masked.as_object_mut() else { return masked };
    let mut free = vec!["activeDeadlineSeconds", "tolerations", "schedulingGates"];
    if integer(before, "terminationGracePeriodSeconds").is_some_and(|s| s < 0)
        && integer(after, "terminationGracePeriodSeconds") == Some(1)
    {
        free.push("terminationGracePeriodSeconds");
    }
    if !list(before, "schedulingGates").is_empty() {
        node_selector_grows(before, after, errors);
        free.push("nodeSelector");
        node_affinity_narrows(before, after, errors);
        take_node_affinity(map, after);
    }
    for key in free {
        take(map, after, key);
    }
    for key in ["containers", "initContainers"] {
        let Some(containers) = map.get_mut(key).and_then(Value::as_array_mut) else { continue };
        for (container, new) in containers.iter_mut().zip(list(after, key)) {
            if let (Some(container), Some(image)) = (container.as_object_mut(), new.get("image")) {
                container.insert("image".to_owned(), image.clone());
            }
        }
    }
    masked
}

fn take(map: &mut Map<String, Value>, from: &Value, key: &str) {
    match from.get(key) {
        Some(value) => map.insert(key.to_owned(), value.clone()),
        None => map.remove(key),
    };
}

fn take_node_affinity(map: &mut Map<String, Value>, after: &Value) {
    let node = after.pointer("/affinity/nodeAffinity").cloned();
    let mut affinity = map.get("affinity").and_then(Value::as_object).cloned().unwrap_or_default();
    match node {
        Some(node) => affinity.insert("nodeAffinity".to_owned(), node),
        None => affinity.remove("nodeAffinity"),
    };
    if affinity.is_empty() && after.get("affinity").is_none() {
        map.remove("affinity");
    } else {
        map.insert("affinity".to_owned(), Value::Object(affinity));
    }
}

/// A pod that waits at a gate may be told more about where it runs, never less.
fn node_selector_grows(before: &Value, after: &Value, errors: &mut Errors) {
    let old = before.get("nodeSelector").and_then(Value::as_object);
    let kept = |key: &String, value: &Value| after["nodeSelector"].get(key) == Some(value);
    if old.into_iter().flatten().any(|(key, value)| !kept(key, value)) {
        let detail = "only additions are allowed (no mutations or deletions)";
        invalid(&Path::new("spec").child("nodeSelector"), after["nodeSelector"].clone(), detail, errors);
    }
}

fn node_affinity_narrows(before: &Value, after: &Value, errors: &mut Errors) {
    const TERMS: &str =
        "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let terms = |spec: &Value| spec.pointer(TERMS).and_then(Value::as_array).cloned().unwrap_or_default();
    let (old, new) = (terms(before), terms(after));
    if old.is_empty() {
        return;
    }
    let path = Path::new("spec")
        .child("affinity")
        .child("nodeAffinity")
        .child("requiredDuringSchedulingIgnoredDuringExecution")
        .child("nodeSelectorTerms");
    if old.len() != new.len() {
        return invalid(
            &path,
            new,
            "no additions/deletions to non-empty NodeSelectorTerms list are allowed",
            errors,
        );
    }
    for (index, (old, new)) in old.iter().zip(&new).enumerate() {
        let keeps = |key: &str| list(old, key).iter().all(|item| list(new, key).contains(item));
        if !keeps("matchExpressions") || !keeps("matchFields") {
            let detail = "only additions are allowed (no mutations or deletions)";
            invalid(&path.index(index), new.clone(), detail, errors);
        }
    }
}

/// A deadline may be set or brought forward. `false`: there is nothing more to say.
fn deadline(before: &Value, after: &Value, errors: &mut Errors) -> bool {
    let (old, new) = (integer(before, "activeDeadlineSeconds"), integer(after, "activeDeadlineSeconds"));
    let path = Path::new("spec").child("activeDeadlineSeconds");
    match (old, new) {
        (Some(old), Some(new)) if new > old => {
            invalid(&path, new, "must be less than or equal to previous value", errors);
            false
        }
        (Some(_), None) => {
            let detail = "must not update from a positive integer to nil value";
            invalid(&path, Value::Null, detail, errors);
            true
        }
        _ => true,
    }
}

/// Tolerations may be added; of those that are there, only the seconds may change.
fn tolerations(before: &Value, after: &Value, errors: &mut Errors) {
    let bare = |toleration: &Value| {
        let mut toleration = toleration.clone();
        if let Some(map) = toleration.as_object_mut() {
            map.remove("tolerationSeconds");
        }
        toleration
    };
    let kept: Vec<Value> = list(after, "tolerations").iter().map(bare).collect();
    if list(before, "tolerations").iter().any(|old| !kept.contains(&bare(old))) {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(FieldError::forbidden("spec.tolerations", detail));
    }
}

/// Gates may open; nobody puts up a new one.
fn scheduling_gates(before: &Value, after: &Value, errors: &mut Errors) {
    for (index, gate) in list(after, "schedulingGates").iter().enumerate() {
        let name = text(gate, "name");
        if list(before, "schedulingGates").iter().all(|old| text(old, "name") != name) {
            let path = Path::new("spec").child("schedulingGates").index(index).child("name");
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            forbidden(&path, detail, errors);
        }
    }
}

/// What is wrong with a change through `/ephemeralcontainers`.
pub(crate) fn validate_ephemeral(old: &Value, new: &Value) -> Vec<FieldError> {
    if meta::annotation(old, MIRROR).is_some() {
        return vec![FieldError::forbidden("", "static pods do not support ephemeral containers")];
    }
    let mut errors = Vec::new();
    let (path, after) =
        (Path::new("spec").child("ephemeralContainers"), list(&new["spec"], "ephemeralContainers"));
    for container in list(&old["spec"], "ephemeralContainers") {
        let name = text(container, "name");
        match after.iter().find(|new| text(new, "name") == name) {
            None => {
                let detail = format!("existing ephemeral containers {name:?} may not be removed\n");
                forbidden(&path, detail, &mut errors);
            }
            Some(new) if new != container => {
                let detail = format!("existing ephemeral containers {name:?} may not be changed\n");
                forbidden(&path, detail, &mut errors);
            }
            Some(_) => {}
        }
    }
    errors
}

/// What is wrong with a change through `/resize`.
pub(crate) fn validate_resize(old: &Value, new: &Value) -> Vec<FieldError> {
    if meta::annotation(old, MIRROR).is_some() {
        return vec![FieldError::forbidden("", "static pods cannot be resized")];
    }
    let (before, after, path) = (&old["spec"], &new["spec"], Path::new("spec"));
    if [before, after].iter().any(|spec| spec.get("resources").is_some()) {
        return vec![FieldError::forbidden("", "pods with pod-level resources cannot be resized")];
    }
    let mut errors = Vec::new();
    let class = old.pointer("/status/qosClass").and_then(Value::as_str).unwrap_or_else(|| qos_class(old));
    if class != qos_class(new) {
        let detail = "Pod QOS Class may not change as a result of resizing";
        invalid(&path, qos_class(new), detail, &mut errors);
    }
    for (key, index, old, new) in pairs(before, after) {
        if key == "initContainers" && text(old, "restartPolicy") != "Always" {
            if old != new {
                let detail = "resources for non-sidecar init containers are immutable";
                forbidden(&path, detail, &mut errors);
            }
            continue;
        }
        resize(old, new, &path.child(key).index(index).child("resources"), &mut errors);
        if without_resizable(old) != without_resizable(new) {
            let who = if key == "containers" { "" } else { "for sidecar containers " };
            forbidden(&path, format!("only cpu and memory resources {who}are mutable"), &mut errors);
        }
    }
    if errors.is_empty() && list_free(before) != list_free(after) {
        forbidden(&path, "only cpu and memory resources are mutable", &mut errors);
    }
    errors
}

/// Containers of both specs side by side.
fn pairs<'a>(
    before: &'a Value,
    after: &'a Value,
) -> impl Iterator<Item = (&'static str, usize, &'a Value, &'a Value)> {
    ["initContainers", "containers"].into_iter().flat_map(move |key| {
        let both = list(before, key).iter().zip(list(after, key)).enumerate();
        both.map(move |(index, (old, new))| (key, index, old, new))
    })
}

/// The spec without its containers.
fn list_free(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(map) = spec.as_object_mut() {
        map.retain(|key, _| !matches!(key.as_str(), "containers" | "initContainers"));
    }
    spec
}

/// A container without what a resize may change.
fn without_resizable(container: &Value) -> Value {
    let mut container = container.clone();
    for key in ["limits", "requests"] {
        let amounts = container.pointer_mut(&format!("/resources/{key}")).and_then(Value::as_object_mut);
        if let Some(amounts) = amounts {
            amounts.retain(|name, _| !RESIZABLE.contains(&name.as_str()));
        }
        let resources = container.pointer_mut("/resources").and_then(Value::as_object_mut);
        if let Some(resources) = resources {
            resources.retain(|_, amounts| amounts.as_object().is_none_or(|map| !map.is_empty()));
        }
    }
    if let Some(map) = container.as_object_mut() {
        map.remove("resizePolicy");
    }
    container
}

fn resize(old: &Value, new: &Value, path: &Path, errors: &mut Errors) {
    let amounts = |container: &Value, key: &str| {
        container
            .pointer(&format!("/resources/{key}"))
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    for key in ["requests", "limits"] {
        let after = amounts(new, key);
        if amounts(old, key).keys().any(|name| !after.contains_key(name)) {
            forbidden(&path.child(key), format!("resource {key} cannot be removed"), errors);
        }
    }
    let policies = list(new, "resizePolicy");
    let memory = policies.iter().find(|policy| text(policy, "resourceName") == "memory");
    if memory.is_some_and(|policy| text(policy, "restartPolicy") == "RestartContainer") {
        return;
    }
    let limit = |container: &Value| {
        amounts(container, "limits").get("memory").and_then(|amount| Quantity::from_json(amount).ok())
    };
    let path = path.child("limits").key("memory");
    let what = match (limit(old), limit(new)) {
        (Some(old), Some(new)) if new < old => "decreased",
        (None, Some(_)) => "added",
        _ => return,
    };
    let detail = format!("memory limits cannot be {what} unless resizePolicy is RestartContainer");
    forbidden(&path, detail, errors);
}
