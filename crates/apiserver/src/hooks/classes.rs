//! Classes that other objects name: which class is the default, and what a class does to an object that names it.
//!
//! Reads the stored classes; writes nothing but the object that is admitted. A class that goes away later changes nothing
//! about objects that were admitted with it.

use konzert_api::{ApiError, meta};
use konzert_store::Page;
use serde_json::{Map, Value, json};

use super::{Hooks, Reservation, Write};
use crate::error::revision_gone;
use crate::registry::{Mode, Place};

const SCHEDULING: (&str, &str) = ("scheduling.k8s.io", "priorityclasses");
const RUNTIME: (&str, &str) = ("node.k8s.io", "runtimeclasses");
const STORAGE: (&str, &str) = ("storage.k8s.io", "storageclasses");
const INGRESS: (&str, &str) = ("networking.k8s.io", "ingressclasses");
const DEFAULT_STORAGE_MARKS: &[&str] =
    &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const DEFAULT_INGRESS_MARKS: &[&str] = &["ingressclass.kubernetes.io/is-default-class"];
/// What named a class before there was a field for it.
const OLD_INGRESS_CLASS: &str = "kubernetes.io/ingress.class";
const OLD_STORAGE_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

fn place(write: &Write<'_>, (group, plural): (&str, &str)) -> Result<Place, ApiError> {
    let served = write.registry.served();
    served.place(group, "v1", plural, None).ok_or_else(ApiError::no_such_resource)
}

/// All classes of a kind.
fn all(write: &Write<'_>, kind: (&str, &str)) -> Result<Vec<Value>, ApiError> {
    let place = place(write, kind)?;
    let list = write.registry.store.list(&place.prefix(), Page::default()).map_err(revision_gone)?;
    list.entries.iter().map(|entry| place.read(&entry.value)).collect()
}

/// The class of a name; `None` when there is none.
fn named(write: &Write<'_>, kind: (&str, &str), name: &str) -> Result<Option<Value>, ApiError> {
    let place = place(write, kind)?;
    write.registry.store.get(&place.key(name)).map(|entry| place.read(&entry.value)).transpose()
}

fn forbidden(write: &Write<'_>, why: &str) -> ApiError {
    ApiError::forbidden(&write.place.kind.group_resource(), write.name, why)
}

fn text<'a>(object: &'a Map<String, Value>, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn value_of(class: &Value) -> i64 {
    class.get("value").and_then(Value::as_i64).unwrap_or(0)
}

/// A new pod: priority from its priority class, overhead and placement from its runtime class.
pub(super) fn admit_pod(write: &Write<'_>, pod: &mut Value) -> Result<(), ApiError> {
    let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) else { return Ok(()) };
    priority(write, spec)?;
    runtime(write, spec)
}

fn priority(write: &Write<'_>, spec: &mut Map<String, Value>) -> Result<(), ApiError> {
    let name = text(spec, "priorityClassName").to_owned();
    let class = if name.is_empty() {
        global_default(write)?
    } else {
        let missing = || forbidden(write, &format!("no PriorityClass with name {name} was found"));
        Some(named(write, SCHEDULING, &name)?.ok_or_else(missing)?)
    };
    let value = class.as_ref().map_or(0, value_of);
    if let Some(given) = spec.get("priority").and_then(Value::as_i64).filter(|given| *given != value) {
        return Err(forbidden(
            write,
            &format!(
                "the integer value of priority ({given}) must not be provided in pod spec; priority admission \
                 controller computed {value} from the given PriorityClass name"
            ),
        ));
    }
    let policy = class.as_ref().and_then(|c| c.get("preemptionPolicy")).and_then(Value::as_str);
    let policy = policy.unwrap_or("PreemptLowerPriority").to_owned();
    let given = text(spec, "preemptionPolicy");
    if !given.is_empty() && given != policy {
        return Err(forbidden(
            write,
            &format!(
                "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
                 controller computed {policy} from the given PriorityClass name"
            ),
        ));
    }
    if let Some(class) = &class {
        spec.insert("priorityClassName".to_owned(), json!(meta::name(class)));
    }
    spec.insert("priority".to_owned(), json!(value));
    spec.insert("preemptionPolicy".to_owned(), json!(policy));
    Ok(())
}

/// The class that pods without one get; the lowest when a race made several.
fn global_default(write: &Write<'_>) -> Result<Option<Value>, ApiError> {
    let is_default = |class: &Value| class.get("globalDefault") == Some(&Value::Bool(true));
    Ok(all(write, SCHEDULING)?.into_iter().filter(is_default).min_by_key(value_of))
}

/// There is at most one default.
fn only_default(write: &Write<'_>, class: &Value) -> Result<Reservation, ApiError> {
    if class.get("globalDefault") == Some(&Value::Bool(true))
        && let Some(other) = global_default(write)?
        && meta::name(&other) != write.name
    {
        let why = format!(
            "PriorityClass {} is already marked as default. Only one default can exist",
            meta::name(&other)
        );
        return Err(forbidden(write, &why));
    }
    Ok(Reservation::default())
}

pub(super) fn create_priority_class(
    _: &Hooks,
    write: &Write<'_>,
    class: &mut Value,
) -> Result<Reservation, ApiError> {
    only_default(write, class)
}

pub(super) fn update_priority_class(
    _: &Hooks,
    write: &Write<'_>,
    _old: &Value,
    class: &mut Value,
    _mode: Mode,
) -> Result<Reservation, ApiError> {
    only_default(write, class)
}

/// A manifest that is applied again does not repeat what was resolved.
pub(super) fn keep_priority(old: &Value, new: &mut Value) {
    let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) else { return };
    for key in ["priority", "preemptionPolicy"] {
        if let (false, Some(value)) = (spec.contains_key(key), old.pointer(&format!("/spec/{key}"))) {
            spec.insert(key.to_owned(), value.clone());
        }
    }
}

fn runtime(write: &Write<'_>, spec: &mut Map<String, Value>) -> Result<(), ApiError> {
    let class = match spec.get("runtimeClassName").and_then(Value::as_str) {
        None => None,
        Some(name) => {
            let missing = || forbidden(write, &format!("pod rejected: RuntimeClass {name:?} not found"));
            Some(named(write, RUNTIME, name)?.ok_or_else(missing)?)
        }
    };
    let given = spec.get("overhead").filter(|o| !o.is_null());
    match (class.as_ref().and_then(|c| c.pointer("/overhead/podFixed")), given) {
        (None, Some(_)) => {
            let why = "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
            return Err(forbidden(write, why));
        }
        (Some(fixed), Some(given)) if given != fixed && given.as_object().is_some_and(|o| !o.is_empty()) => {
            let why = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";
            return Err(forbidden(write, why));
        }
        (Some(fixed), _) => {
            spec.insert("overhead".to_owned(), fixed.clone());
        }
        (None, None) => {}
    }
    match class.as_ref().and_then(|c| c.get("scheduling")) {
        Some(scheduling) => schedule(write, scheduling, spec),
        None => Ok(()),
    }
}

/// Nodes and tolerations of the runtime class are added to those of the pod.
fn schedule(write: &Write<'_>, scheduling: &Value, spec: &mut Map<String, Value>) -> Result<(), ApiError> {
    if let Some(wanted) = scheduling.get("nodeSelector").and_then(Value::as_object)
        && let Some(selector) = spec.entry("nodeSelector").or_insert_with(|| json!({})).as_object_mut()
    {
        for (key, value) in wanted {
            let value = value.as_str().unwrap_or_default();
            if let Some(own) = selector.get(key).and_then(Value::as_str).filter(|own| *own != value) {
                let why = format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
                );
                return Err(forbidden(write, &why));
            }
            selector.insert(key.clone(), json!(value));
        }
    }
    if let Some(wanted) = scheduling.get("tolerations").and_then(Value::as_array)
        && let Some(tolerations) = spec.entry("tolerations").or_insert_with(|| json!([])).as_array_mut()
    {
        for toleration in wanted {
            if !tolerations.contains(toleration) {
                tolerations.push(toleration.clone());
            }
        }
    }
    Ok(())
}

/// Name of the newest class that is marked as the default.
fn default_class(write: &Write<'_>, kind: (&str, &str), marks: &[&str]) -> Result<Option<String>, ApiError> {
    let marked = |class: &Value| marks.iter().any(|mark| meta::annotation(class, mark) == Some("true"));
    let mut classes: Vec<Value> = all(write, kind)?.into_iter().filter(marked).collect();
    classes.sort_by(|a, b| {
        let newest = meta::creation_timestamp(b).cmp(&meta::creation_timestamp(a));
        newest.then_with(|| meta::name(a).cmp(meta::name(b)))
    });
    Ok(classes.first().map(|class| meta::name(class).to_owned()))
}

/// Whether an object names no class, neither in its field nor in the annotation of old.
fn names_none(object: &Value, field: &str, annotation: &str) -> bool {
    object.get("spec").is_some_and(|spec| spec.get(field).is_none_or(Value::is_null))
        && meta::annotation(object, annotation).is_none()
}

/// A new Ingress without a class gets the default one.
pub(super) fn admit_ingress(write: &Write<'_>, ingress: &mut Value) -> Result<(), ApiError> {
    if names_none(ingress, "ingressClassName", OLD_INGRESS_CLASS)
        && let Some(class) = default_class(write, INGRESS, DEFAULT_INGRESS_MARKS)?
    {
        ingress["spec"]["ingressClassName"] = json!(class);
    }
    Ok(())
}

/// A new claim without a class gets the default one; an empty class is one.
pub(super) fn admit_claim(write: &Write<'_>, claim: &mut Value) -> Result<(), ApiError> {
    if names_none(claim, "storageClassName", OLD_STORAGE_CLASS)
        && let Some(class) = default_class(write, STORAGE, DEFAULT_STORAGE_MARKS)?
    {
        claim["spec"]["storageClassName"] = json!(class);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_named_by_field_or_annotation() {
        let names = |claim: Value| !names_none(&claim, "storageClassName", OLD_STORAGE_CLASS);
        assert!(!names(json!({"spec": {}})) && !names(json!({"spec": {"storageClassName": null}})));
        assert!(names(json!({"spec": {"storageClassName": ""}})), "an empty class asks for none");
        let old = json!({"metadata": {"annotations": {OLD_STORAGE_CLASS: "x"}}, "spec": {}});
        assert!(names(old) && names(json!({})));
    }

    #[test]
    fn what_was_resolved_is_kept() {
        let old = json!({"spec": {"priority": 7, "preemptionPolicy": "Never"}});
        let mut new = json!({"spec": {"priority": 8}});
        keep_priority(&old, &mut new);
        assert_eq!(new, json!({"spec": {"priority": 8, "preemptionPolicy": "Never"}}));
    }
}
