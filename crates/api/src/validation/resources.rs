//! Names and amounts of resources, as containers, quotas and limit ranges use them.
//!
//! Does not know what a node has; it only knows which names mean something and which amounts make sense.

use serde_json::{Map, Value};

use super::check::{Errors, duplicate, forbidden, invalid, required, shaped, unsupported};
use super::{Path, list, names, text};
use crate::quantity::Quantity;
use crate::status::{FieldError, FieldErrorKind};

const CONTAINER: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// Names without a prefix that mean something somewhere.
const STANDARD: &[&str] = &[
    "configmaps",
    "cpu",
    "ephemeral-storage",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
];
/// Names that a quota may count; `storage` is counted as `requests.storage` only.
const NOT_IN_QUOTA: &[&str] = &["storage"];
/// Counted in whole pieces.
const WHOLE: &[&str] = &[
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];
const HUGE: &str = "hugepages-";
const REQUESTS: &str = "requests.";
const NATIVE_DOMAIN: &str = "kubernetes.io/";

fn is_huge(name: &str) -> bool {
    name.starts_with(HUGE)
}

/// Without a prefix, or with one of Kubernetes itself.
pub(super) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains(NATIVE_DOMAIN)
}

fn is_extended(name: &str) -> bool {
    let quota_name = format!("{REQUESTS}{name}");
    !is_native(name) && !name.starts_with(REQUESTS) && names::qualified_name(&quota_name).is_empty()
}

/// Whether pods may ask for more than there is.
pub(super) fn may_overcommit(name: &str) -> bool {
    is_native(name) && !is_huge(name)
}

fn is_quota_name(name: &str) -> bool {
    let standard = STANDARD.contains(&name) && !NOT_IN_QUOTA.contains(&name);
    standard || is_huge(name) || name.starts_with("requests.hugepages-")
}

/// Any resource; returns whether the name can be looked at further.
fn any_name(name: &str, path: &Path, errors: &mut Errors) -> bool {
    let before = errors.len();
    shaped(name, names::qualified_name, path, errors);
    if errors.len() == before && !name.contains('/') {
        let known = STANDARD.contains(&name) || is_huge(name) || name.starts_with("requests.hugepages-");
        if !known {
            invalid(path, name, "must be a standard resource type or fully qualified", errors);
        }
    }
    errors.len() == before
}

/// A resource that a container may ask for.
pub(super) fn container_name(name: &str, path: &Path, errors: &mut Errors) {
    any_name(name, path, errors);
    if !name.contains('/') {
        if !CONTAINER.contains(&name) && !is_huge(name) {
            invalid(path, name, "must be a standard resource for containers", errors);
        }
    } else if !is_native(name) && !is_extended(name) {
        invalid(path, name, "doesn't follow extended resource name standard", errors);
    }
}

fn pod_name(name: &str, path: &Path, errors: &mut Errors) {
    if any_name(name, path, errors) && !matches!(name, "cpu" | "memory") && !is_huge(name) {
        unsupported(path, name, &["cpu", "hugepages-", "memory"], errors);
    }
}

/// A resource that a quota may count.
pub(super) fn quota_name(name: &str, path: &Path, errors: &mut Errors) {
    any_name(name, path, errors);
    if !name.contains('/') && !is_quota_name(name) {
        invalid(path, name, "must be a standard resource for quota", errors);
    }
}

/// A resource in an item of a limit range.
pub(super) fn limit_name(kind: &str, name: &str, path: &Path, errors: &mut Errors) {
    if matches!(kind, "Pod" | "Container") {
        container_name(name, path, errors);
    } else {
        any_name(name, path, errors);
    }
}

/// An amount of a resource. `None` when it is no amount at all.
pub(super) fn quantity(name: &str, value: &Value, path: &Path, errors: &mut Errors) -> Option<Quantity> {
    let quantity = match Quantity::from_json(value) {
        Ok(quantity) => quantity,
        Err(error) => {
            invalid(path, value.clone(), error.to_string(), errors);
            return None;
        }
    };
    if quantity.is_negative() {
        invalid(path, quantity.to_string(), "must be greater than or equal to 0", errors);
    }
    if (WHOLE.contains(&name) || is_extended(name)) && !quantity.is_integer() {
        invalid(path, quantity.to_string(), "must be an integer", errors);
    }
    Some(quantity)
}

fn amounts<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(key).and_then(Value::as_object).into_iter().flat_map(Map::iter)
}

/// A map of amounts that a quota or its status holds.
pub(super) fn quota_amounts(value: &Value, path: &Path, errors: &mut Errors) {
    for (name, amount) in value.as_object().into_iter().flatten() {
        let path = path.key(name);
        quota_name(name, &path, errors);
        quantity(name, amount, &path, errors);
    }
}

/// `resources` of a container.
pub(super) fn container(resources: &Value, claims: &[&str], path: &Path, errors: &mut Errors) {
    requirements(resources, container_name, path, errors);
    claim_names(resources, claims, &path.child("claims"), errors);
}

/// `resources` of a whole pod.
pub(super) fn pod(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(resources) = spec.get("resources") else { return };
    if resources.get("claims").is_some() {
        forbidden(&path.child("claims"), "claims cannot be set for Resources at pod-level", errors);
    }
    requirements(resources, pod_name, path, errors);
    pod_covers_containers(spec, path, errors);
}

fn requirements(
    resources: &Value,
    check_name: fn(&str, &Path, &mut Errors),
    path: &Path,
    errors: &mut Errors,
) {
    let (limits, requests) = (path.child("limits"), path.child("requests"));
    for (name, amount) in amounts(resources, "limits") {
        let path = limits.key(name);
        check_name(name, &path, errors);
        quantity(name, amount, &path, errors);
    }
    for (name, amount) in amounts(resources, "requests") {
        let path = requests.key(name);
        check_name(name, &path, errors);
        let Some(request) = quantity(name, amount, &path, errors) else { continue };
        match resources["limits"].get(name).map(Quantity::from_json) {
            Some(Ok(limit)) if request != limit && !may_overcommit(name) => {
                let detail = format!("must be equal to {name} limit of {limit}");
                invalid(&requests, request.to_string(), detail, errors);
            }
            Some(Ok(limit)) if request > limit => {
                let detail = format!("must be less than or equal to {name} limit of {limit}");
                invalid(&requests, request.to_string(), detail, errors);
            }
            None if !may_overcommit(name) => {
                required(&limits, "Limit must be set for non overcommitable resources", errors);
            }
            _ => {}
        }
    }
    let mut asked = amounts(resources, "limits").chain(amounts(resources, "requests")).map(|(name, _)| name);
    let huge = asked.any(|name| is_huge(name));
    let mut asked = amounts(resources, "limits").chain(amounts(resources, "requests")).map(|(name, _)| name);
    if huge && !asked.any(|name| matches!(name.as_str(), "cpu" | "memory")) {
        forbidden(path, "HugePages require cpu or memory", errors);
    }
}

fn claim_names(resources: &Value, claims: &[&str], path: &Path, errors: &mut Errors) {
    let mut taken = Vec::new();
    for (index, claim) in list(resources, "claims").iter().enumerate() {
        let (name, request, path) = (text(claim, "name"), text(claim, "request"), path.index(index));
        if name.is_empty() {
            required(&path, "", errors);
            continue;
        }
        let whole_taken = taken.iter().any(|(n, r): &(&str, &str)| *n == name && r.is_empty());
        let clash = request.is_empty() && taken.iter().any(|(n, _)| *n == name);
        if whole_taken || clash {
            duplicate(&path, name, errors);
        } else if taken.contains(&(name, request)) {
            duplicate(&path, format!("{name}/{request}"), errors);
        }
        if !request.is_empty() {
            shaped(request, names::dns1123_label, &path.child("request"), errors);
        }
        taken.push((name, request));
        if !claims.contains(&name) {
            let list = if claims.is_empty() {
                " which is empty".to_owned()
            } else {
                format!(": {}", claims.join(", "))
            };
            errors.push(FieldError {
                kind: FieldErrorKind::NotFound,
                ..FieldError::invalid(
                    path.to_string(),
                    name,
                    format!("must be one of the names in pod.spec.resourceClaims{list}"),
                )
            });
        }
    }
}

/// Containers that run together cannot ask for more than their pod does.
fn pod_covers_containers(spec: &Value, path: &Path, errors: &mut Errors) {
    let running = |init: &&Value| text(init, "restartPolicy") == "Always";
    let together: Vec<&Value> =
        list(spec, "containers").iter().chain(list(spec, "initContainers").iter().filter(running)).collect();
    for (name, amount) in amounts(&spec["resources"], "requests") {
        let Ok(whole) = Quantity::from_json(amount) else { continue };
        let parts = together.iter().filter_map(|c| c.pointer("/resources/requests")?.get(name));
        let sum = parts.filter_map(|part| Quantity::from_json(part).ok()).fold(Quantity::ZERO, |a, b| a + b);
        if sum > whole {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            invalid(&path.child("requests").key(name), whole.to_string(), detail, errors);
        }
    }
    for (index, container) in list(spec, "containers").iter().enumerate() {
        for (name, amount) in amounts(&container["resources"], "limits") {
            let limit = spec.pointer("/resources/limits").and_then(|l| l.get(name)).map(Quantity::from_json);
            let (Ok(own), Some(Ok(whole))) = (Quantity::from_json(amount), limit) else { continue };
            if own > whole {
                let path = path.child("containers").index(index).key(name).child("limits");
                let detail = format!("must be less than or equal to pod limits of {whole}");
                invalid(&path, own.to_string(), detail, errors);
            }
        }
    }
}
