//! Validation of a pod spec, in a pod or in a template.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Path, container, integer, list, meta, names, non_negative, one_of, text, volume};
use crate::status::FieldError;

const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// What containers may refer to.
pub(super) struct Surroundings<'a> {
    pub(super) volumes: BTreeMap<&'a str, &'a Value>,
    pub(super) host_network: bool,
    pub(super) grace_seconds: i64,
}

/// Where a container stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Beside the others.
    Main,
    /// Before the others, one after the other.
    Init,
}

pub(super) fn validate(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let surroundings = Surroundings {
        volumes: volume::validate_all(spec, &path.child("volumes"), errors),
        host_network: spec.get("hostNetwork") == Some(&Value::Bool(true)),
        grace_seconds: integer(spec, "terminationGracePeriodSeconds").unwrap_or(0),
    };
    if list(spec, "containers").is_empty() {
        errors.push(FieldError::required(path.child("containers").to_string(), ""));
    }
    containers(spec, path, &surroundings, errors);
    host_ports(spec, path, errors);
    one_of(spec, "restartPolicy", RESTART_POLICIES, path, errors);
    one_of(spec, "dnsPolicy", DNS_POLICIES, path, errors);
    non_negative(spec, &["terminationGracePeriodSeconds"], path, errors);
    if let Some(seconds) = integer(spec, "activeDeadlineSeconds")
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        errors.push(FieldError::invalid(path.child("activeDeadlineSeconds").to_string(), seconds, detail));
    }
    meta::labels(spec.get("nodeSelector"), &path.child("nodeSelector").to_string(), errors);
    tolerations(spec, &path.child("tolerations"), errors);
    identity(spec, path, errors);
    if text(spec, "dnsPolicy") == "None" && list(&spec["dnsConfig"], "nameservers").is_empty() {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.push(FieldError::required(path.child("dnsConfig").child("nameservers").to_string(), detail));
    }
}

fn containers(spec: &Value, path: &Path, surroundings: &Surroundings<'_>, errors: &mut Vec<FieldError>) {
    let mut taken = BTreeSet::new();
    for (key, role) in [("initContainers", Role::Init), ("containers", Role::Main)] {
        for (index, value) in list(spec, key).iter().enumerate() {
            let path = path.child(key).index(index);
            let name = text(value, "name");
            if !name.is_empty() && !taken.insert(name) {
                errors.push(FieldError::duplicate(path.child("name").to_string(), name));
            }
            container::validate(value, role, &path, surroundings, errors);
        }
    }
}

/// Two containers of a pod cannot take the same port of the host.
fn host_ports(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut taken = BTreeSet::new();
    for (at, container) in list(spec, "containers").iter().enumerate() {
        for (index, port) in list(container, "ports").iter().enumerate() {
            let Some(number) = integer(port, "hostPort").filter(|n| *n != 0) else { continue };
            if !taken.insert((text(port, "hostIP"), text(port, "protocol"), number)) {
                let path = path.child("containers").index(at).child("ports").index(index).child("hostPort");
                errors.push(FieldError::duplicate(path.to_string(), number));
            }
        }
    }
}

pub(super) fn tolerations(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (index, toleration) in list(spec, "tolerations").iter().enumerate() {
        let path = path.index(index);
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        if !key.is_empty() {
            for wrong in names::qualified_name(key) {
                errors.push(FieldError::invalid(path.child("key").to_string(), key, wrong));
            }
        }
        if key.is_empty() && operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(path.child("operator").to_string(), operator, detail));
        }
        if operator == "Exists" && !text(toleration, "value").is_empty() {
            let detail = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(path.child("operator").to_string(), operator, detail));
        }
        one_of(toleration, "operator", &["Equal", "Exists"], &path, errors);
        one_of(toleration, "effect", EFFECTS, &path, errors);
        if toleration.get("tolerationSeconds").is_some() && text(toleration, "effect") != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            let found = text(toleration, "effect");
            errors.push(FieldError::invalid(path.child("effect").to_string(), found, detail));
        }
    }
}

/// Names by which a pod is known or knows others.
fn identity(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    type Check = fn(&str) -> Vec<String>;
    let checks: [(&str, Check); 4] = [
        ("serviceAccountName", names::dns1123_subdomain),
        ("hostname", names::dns1123_label),
        ("subdomain", names::dns1123_label),
        ("nodeName", names::dns1123_subdomain),
    ];
    for (key, check) in checks {
        let found = text(spec, key);
        if !found.is_empty() {
            for wrong in check(found) {
                errors.push(FieldError::invalid(path.child(key).to_string(), found, wrong));
            }
        }
    }
    let context = &spec["securityContext"];
    non_negative(context, &["runAsUser", "runAsGroup", "fsGroup"], &path.child("securityContext"), errors);
}
