//! Validation: what is wrong with an object, as field errors in the words of Kubernetes.
//!
//! One file per kind; this one holds what the files share. Validation runs after defaulting and after the types were
//! checked, so it may take a missing field as empty. It never changes anything.
//!
//! Invariant: the work is bounded by the size of the object.

pub mod names;

mod address;
mod admission;
mod affinity;
mod at;
mod check;
mod container;
mod env;
mod jobpolicy;
mod label_selector;
mod meta;
mod mount;
mod podspec;
pub(crate) mod podstatus;
mod probe;
mod resources;
mod security;
mod serviceports;
mod template;
mod volume;

pub(crate) mod apiservice;
pub(crate) mod configmap;
pub(crate) mod controllerrevision;
pub(crate) mod crd;
pub(crate) mod cronjob;
pub(crate) mod csidriver;
pub(crate) mod csinode;
pub(crate) mod csistoragecapacity;
pub mod csr;
pub(crate) mod daemonset;
pub(crate) mod deployment;
pub(crate) mod endpoints;
pub(crate) mod endpointslice;
pub(crate) mod event;
pub(crate) mod horizontalpodautoscaler;
pub(crate) mod ingress;
pub(crate) mod ingressclass;
pub(crate) mod ipaddress;
pub(crate) mod job;
pub(crate) mod lease;
pub(crate) mod limitrange;
pub(crate) mod mutatingadmissionpolicy;
pub(crate) mod namespace;
pub(crate) mod networkpolicy;
pub(crate) mod node;
pub(crate) mod persistentvolume;
pub(crate) mod persistentvolumeclaim;
pub(crate) mod pod;
pub(crate) mod poddisruptionbudget;
pub(crate) mod podtemplate;
pub(crate) mod priorityclass;
pub(crate) mod replicaset;
pub(crate) mod replicationcontroller;
pub(crate) mod resourcequota;
pub(crate) mod role;
pub(crate) mod rolebinding;
pub(crate) mod runtimeclass;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod servicecidr;
pub(crate) mod statefulset;
pub(crate) mod storageclass;
#[cfg(test)]
mod tests;
pub(crate) mod validatingadmissionpolicy;
pub(crate) mod volumeattachment;
pub(crate) mod volumeattributesclass;
pub(crate) mod webhookconfiguration;

use std::fmt;

use serde_json::{Map, Value};

pub use meta::{NameRule, builtin_finalizers, object_meta, object_meta_update};
pub use priorityclass::SYSTEM_CLASSES as SYSTEM_PRIORITY_CLASSES;

use crate::quantity::Quantity;
use crate::status::FieldError;

/// For kinds with nothing to check.
pub(crate) fn none(_object: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// For kinds of which everything may change.
pub(crate) fn any_update(_old: &Value, _new: &Value) -> Vec<FieldError> {
    Vec::new()
}

/// Path of a field, `spec.containers[0].image`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Path(String);

impl Path {
    fn new(root: &str) -> Self {
        Self(root.to_owned())
    }

    fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text under a key, or empty.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The list under a key, or an empty one.
fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The integer under a key.
fn integer(value: &Value, key: &str) -> Option<i64> {
    value.get(key).and_then(Value::as_i64)
}

/// Members that must not be below zero.
fn non_negative(value: &Value, keys: &[&str], path: &Path, errors: &mut Vec<FieldError>) {
    for key in keys {
        if let Some(number) = integer(value, key).filter(|n| *n < 0) {
            let detail = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(path.child(key).to_string(), number, detail));
        }
    }
}

/// A member that must be one of an enumeration; empty counts as missing and is fine.
fn one_of(value: &Value, key: &str, allowed: &[&str], path: &Path, errors: &mut Vec<FieldError>) {
    let found = text(value, key);
    if !found.is_empty() && !allowed.contains(&found) {
        errors.push(FieldError::not_supported(path.child(key).to_string(), found, allowed));
    }
}

/// A port that must be there.
fn port_number(number: Option<i64>, path: &Path, errors: &mut Vec<FieldError>) {
    let number = number.unwrap_or(0);
    if !(1..=65_535).contains(&number) {
        let detail = "must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(path.to_string(), number, detail));
    }
}

/// A port by number or by name.
fn port_or_name(value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match value {
        Value::String(name) => {
            for wrong in names::port_name(name) {
                errors.push(FieldError::invalid(path.to_string(), name.as_str(), wrong));
            }
        }
        other => port_number(other.as_i64(), path, errors),
    }
}

/// The protocol of a port.
fn protocol(port: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
    let (path, found) = (path.child("protocol").to_string(), text(port, "protocol"));
    if found.is_empty() {
        errors.push(FieldError::required(path, ""));
    } else if !PROTOCOLS.contains(&found) {
        errors.push(FieldError::not_supported(path, found, PROTOCOLS));
    }
}

/// Keys of `ConfigMaps` and Secrets.
fn keys(data: &Map<String, Value>, path: &Path, errors: &mut Vec<FieldError>) {
    for key in data.keys() {
        for wrong in names::config_key(key) {
            errors.push(FieldError::invalid(path.key(key).to_string(), key.as_str(), wrong));
        }
    }
}

/// `immutable: true` cannot be taken back, and seals these members.
fn immutable_when_sealed(old: &Value, new: &Value, sealed: &[&str]) -> Vec<FieldError> {
    let is_sealed = |object: &Value| object.get("immutable") == Some(&Value::Bool(true));
    if !is_sealed(old) {
        return Vec::new();
    }
    let detail = "field is immutable when `immutable` is set";
    let mut errors = Vec::new();
    if !is_sealed(new) {
        errors.push(FieldError::forbidden("immutable", detail));
    }
    let changed = sealed.iter().filter(|key| old.get(**key) != new.get(**key));
    errors.extend(changed.map(|key| FieldError::forbidden(*key, detail)));
    errors
}

/// A map of amounts by resource name.
fn quantities(value: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (name, amount) in value.as_object().into_iter().flatten() {
        let path = path.key(name).to_string();
        for wrong in names::qualified_name(name) {
            errors.push(FieldError::invalid(path.clone(), name.as_str(), wrong));
        }
        match Quantity::from_json(amount) {
            Err(error) => errors.push(FieldError::invalid(path, amount.clone(), error.to_string())),
            Ok(quantity) if quantity.is_negative() => {
                let detail = "must be greater than or equal to 0";
                errors.push(FieldError::invalid(path, quantity.to_string(), detail));
            }
            Ok(_) => {}
        }
    }
}
