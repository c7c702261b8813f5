//! Defaults: what an object says when its author said nothing, as Kubernetes 1.37 fills it in.
//!
//! One file per kind. `apply` fills in what was left out and is idempotent; `prepare_create` and `prepare_update` set the
//! fields that belong to the server. Objects of unexpected shape are left alone: validation speaks of them.

pub(crate) mod admissionpolicy;
pub(crate) mod apiservice;
pub(crate) mod crd;
pub(crate) mod cronjob;
pub(crate) mod csidriver;
pub(crate) mod csistoragecapacity;
pub(crate) mod csr;
pub(crate) mod daemonset;
pub(crate) mod deployment;
pub(crate) mod endpoints;
pub(crate) mod endpointslice;
pub(crate) mod horizontalpodautoscaler;
pub(crate) mod ingress;
pub(crate) mod ingressclass;
pub(crate) mod job;
pub(crate) mod limitrange;
pub(crate) mod namespace;
pub(crate) mod networkpolicy;
pub(crate) mod node;
pub(crate) mod persistentvolume;
pub(crate) mod persistentvolumeclaim;
pub(crate) mod pod;
pub(crate) mod podspec;
pub(crate) mod podtemplate;
pub(crate) mod priorityclass;
pub(crate) mod replicaset;
pub(crate) mod replicationcontroller;
pub(crate) mod resourcequota;
pub(crate) mod rolebinding;
pub(crate) mod runtimeclass;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod serviceaccount;
pub(crate) mod statefulset;
pub(crate) mod storageclass;
#[cfg(test)]
mod tests;
pub(crate) mod volumeattachment;
pub(crate) mod webhookconfiguration;

use serde_json::{Map, Value, json};

use crate::catalogue::CreateFacts;

/// For kinds without defaults.
pub(crate) fn none(_object: &mut Value) {}

/// For kinds of which the server owns nothing but metadata and status.
pub(crate) fn nothing_to_prepare(_object: &mut Value, _facts: &CreateFacts) {}

/// For kinds of which the server keeps nothing but metadata and status.
pub(crate) fn nothing_to_keep(_old: &Value, _new: &mut Value) {}

/// Sets a member that is missing.
pub(crate) fn set(map: &mut Map<String, Value>, key: &str, value: impl Into<Value>) {
    if !map.contains_key(key) {
        map.insert(key.to_owned(), value.into());
    }
}

/// The object under a key, if it is one.
pub(crate) fn object<'a>(map: &'a mut Map<String, Value>, key: &str) -> Option<&'a mut Map<String, Value>> {
    map.get_mut(key).and_then(Value::as_object_mut)
}

/// The object under a key, made when it is missing.
pub(crate) fn object_or_new<'a>(
    map: &'a mut Map<String, Value>,
    key: &str,
) -> Option<&'a mut Map<String, Value>> {
    map.entry(key).or_insert_with(|| json!({})).as_object_mut()
}

/// The objects in the list under a key.
pub(crate) fn objects<'a>(
    map: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    map.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}

/// `spec` for writing.
pub(crate) fn spec_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    object.get_mut("spec").and_then(Value::as_object_mut)
}

/// The text under a key, or empty.
pub(crate) fn text<'a>(map: &'a Map<String, Value>, key: &str) -> &'a str {
    map.get(key).and_then(Value::as_str).unwrap_or_default()
}
