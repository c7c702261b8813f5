//! Validation of a pod spec, in a pod or in a template.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::check::{
    Errors, choice, duplicate, forbidden, invalid, ip, required, shaped, shaped_if_set, texts, unsupported,
};
use super::{
    Path, affinity, container, integer, list, meta, names, non_negative, quantities, resources, security,
    text, volume,
};

pub(super) use super::affinity::tolerations;

const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_BYTES_MAX: usize = 2048;

/// What the spec belongs to.
#[derive(Clone, Copy)]
pub(super) enum Owner<'a> {
    /// A pod of its own.
    Pod,
    /// A template; these claim templates give it volumes of their own.
    Template(&'a [Value]),
}

/// What containers may refer to.
pub(super) struct Surroundings<'a> {
    pub(super) spec: &'a Value,
    pub(super) volumes: BTreeMap<&'a str, &'a Value>,
    /// Names of `resourceClaims`.
    pub(super) claims: Vec<&'a str>,
    pub(super) grace_seconds: i64,
}

pub(super) fn validate(spec: &Value, owner: Owner<'_>, path: &Path, errors: &mut Errors) {
    let around = Surroundings {
        spec,
        volumes: volume::validate_all(spec, owner, &path.child("volumes"), errors),
        claims: resource_claims(spec, &path.child("resourceClaims"), errors),
        grace_seconds: integer(spec, "terminationGracePeriodSeconds").unwrap_or(0),
    };
    container::main(&around, &path.child("containers"), errors);
    container::init(&around, &path.child("initContainers"), errors);
    container::ephemeral(&around, &path.child("ephemeralContainers"), errors);
    resources::pod(spec, &path.child("resources"), errors);
    host_network_ports(spec, owner, path, errors);
    choice(spec, "restartPolicy", RESTART_POLICIES, path, errors);
    choice(spec, "dnsPolicy", DNS_POLICIES, path, errors);
    meta::labels(spec.get("nodeSelector"), &path.child("nodeSelector").to_string(), errors);
    security::pod(spec, path, errors);
    affinity::validate(&spec["affinity"], &path.child("affinity"), errors);
    dns_config(spec, &path.child("dnsConfig"), errors);
    gates(spec, path, errors);
    affinity::spread(spec, &path.child("topologySpreadConstraints"), errors);
    security::host_users(spec, path, errors);
    non_negative(spec, &["terminationGracePeriodSeconds"], path, errors);
    identity(spec, path, errors);
    if let Owner::Pod = owner {
        for key in ["containers", "initContainers"] {
            for (index, container) in list(spec, key).iter().enumerate() {
                container::image_is_trimmed(container, &path.child(key).index(index), errors);
            }
        }
    }
}

fn resource_claims<'a>(spec: &'a Value, path: &Path, errors: &mut Errors) -> Vec<&'a str> {
    let mut taken = Vec::new();
    for (index, claim) in list(spec, "resourceClaims").iter().enumerate() {
        let (name, path) = (text(claim, "name"), path.index(index));
        if name.is_empty() {
            required(&path.child("name"), "", errors);
        } else if taken.contains(&name) {
            duplicate(&path.child("name"), name, errors);
        } else {
            shaped(name, names::dns1123_label, &path.child("name"), errors);
            taken.push(name);
        }
        let keys = ["resourceClaimName", "resourceClaimTemplateName"];
        let given = keys.iter().filter(|key| claim.get(**key).is_some()).count();
        match given {
            0 => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                invalid(&path, claim.clone(), detail, errors);
            }
            1 => {}
            _ => {
                let detail =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                invalid(&path, claim.clone(), detail, errors);
            }
        }
        for key in keys.iter().filter(|key| claim.get(**key).is_some()) {
            shaped(text(claim, key), names::dns1123_subdomain, &path.child(key), errors);
        }
    }
    taken
}

/// On the host's network a container has the ports of the host. A template may leave the port of the host open.
fn host_network_ports(spec: &Value, owner: Owner<'_>, path: &Path, errors: &mut Errors) {
    if spec.get("hostNetwork") != Some(&Value::Bool(true)) {
        return;
    }
    for (at, container) in list(spec, "containers").iter().enumerate() {
        for (index, port) in list(container, "ports").iter().enumerate() {
            let host = integer(port, "hostPort").unwrap_or(0);
            let counts = matches!(owner, Owner::Pod) || host != 0;
            if counts && host != integer(port, "containerPort").unwrap_or(0) {
                let path = path.child("containers").index(at).child("ports").index(index).child("hostPort");
                invalid(&path, host, "must match `containerPort` when `hostNetwork` is true", errors);
            }
        }
    }
}

fn dns_config(spec: &Value, path: &Path, errors: &mut Errors) {
    let config = spec.get("dnsConfig");
    if text(spec, "dnsPolicy") == "None" {
        let Some(config) = config else {
            return required(path, "must provide `dnsConfig` when `dnsPolicy` is None", errors);
        };
        if list(config, "nameservers").is_empty() {
            let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            return required(&path.child("nameservers"), detail, errors);
        }
    }
    let Some(config) = config else { return };
    let (servers, searches) = (list(config, "nameservers"), list(config, "searches"));
    if servers.len() > NAMESERVERS_MAX {
        let detail = format!("must not have more than {NAMESERVERS_MAX} nameservers");
        invalid(&path.child("nameservers"), servers.to_vec(), detail, errors);
    }
    for (index, server) in texts(config, "nameservers").enumerate() {
        ip(server, &path.child("nameservers").index(index), errors);
    }
    if searches.len() > SEARCHES_MAX {
        let detail = format!("must not have more than {SEARCHES_MAX} search paths");
        invalid(&path.child("searches"), searches.to_vec(), detail, errors);
    }
    let length = texts(config, "searches").map(|s| s.len() + 1).sum::<usize>();
    if length > SEARCH_BYTES_MAX + 1 {
        let detail = format!(
            "must not have more than {SEARCH_BYTES_MAX} characters (including spaces) in the search list"
        );
        invalid(&path.child("searches"), searches.to_vec(), detail, errors);
    }
    for (index, search) in texts(config, "searches").enumerate().filter(|(_, s)| *s != ".") {
        let bare = search.strip_suffix('.').unwrap_or(search);
        shaped(bare, names::dns1123_subdomain_underscore, &path.child("searches").index(index), errors);
    }
    for (index, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            required(&path.child("options").index(index), "must not be empty", errors);
        }
    }
}

/// What a pod waits for, before it is scheduled and before it is ready.
fn gates(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, gate) in list(spec, "readinessGates").iter().enumerate() {
        let path = path.child("readinessGates").index(index).child("conditionType");
        shaped(text(gate, "conditionType"), names::qualified_name, &path, errors);
    }
    let mut taken = BTreeSet::new();
    for (index, gate) in list(spec, "schedulingGates").iter().enumerate() {
        let (name, path) = (text(gate, "name"), path.child("schedulingGates").index(index));
        shaped(name, names::qualified_name, &path, errors);
        if !taken.insert(name) {
            duplicate(&path, name, errors);
        }
    }
}

/// Names by which a pod is known or knows others, and how long it may run.
fn identity(spec: &Value, path: &Path, errors: &mut Errors) {
    shaped_if_set(spec, "serviceAccountName", names::dns1123_subdomain, path, errors);
    shaped_if_set(spec, "nodeName", names::dns1123_subdomain, path, errors);
    if let Some(seconds) = integer(spec, "activeDeadlineSeconds")
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let detail = "must be between 1 and 2147483647, inclusive";
        invalid(&path.child("activeDeadlineSeconds"), seconds, detail, errors);
    }
    shaped_if_set(spec, "hostname", names::dns1123_label, path, errors);
    shaped_if_set(spec, "subdomain", names::dns1123_label, path, errors);
    tolerations(spec, &path.child("tolerations"), errors);
    for (index, alias) in list(spec, "hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(index);
        ip(text(alias, "ip"), &path.child("ip"), errors);
        for (index, host) in texts(alias, "hostnames").enumerate() {
            shaped(host, names::dns1123_subdomain, &path.child("hostnames").index(index), errors);
        }
    }
    shaped_if_set(spec, "priorityClassName", names::dns1123_subdomain, path, errors);
    if let Some(class) = spec.get("runtimeClassName").and_then(Value::as_str) {
        shaped(class, names::dns1123_subdomain, &path.child("runtimeClassName"), errors);
    }
    if spec.get("preemptionPolicy").is_some() {
        choice(spec, "preemptionPolicy", &["PreemptLowerPriority", "Never"], path, errors);
    }
    quantities(&spec["overhead"], &path.child("overhead").child("limits"), errors);
    operating_system(spec, &path.child("os"), errors);
}

fn operating_system(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(os) = spec.get("os") else { return };
    match text(os, "name") {
        "" => required(&path.child("name"), "cannot be empty", errors),
        "linux" => {}
        "windows" => forbidden(path, "windows pods cannot run on this engine's nodes", errors),
        other => unsupported(path, other, &["linux", "windows"], errors),
    }
}
