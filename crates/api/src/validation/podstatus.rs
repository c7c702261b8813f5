//! What a client may say about the status of a pod.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::check::{Errors, forbidden, invalid, ip, shaped};
use super::{Path, integer, list, names, text};
use crate::status::FieldError;

/// Conditions whose names need no check: the server's own.
const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];
const GENERATION: &str = "must be a non-negative integer";

pub(crate) fn validate(old: &Value, new: &Value) -> Vec<FieldError> {
    let (before, status, path) = (&old["status"], &new["status"], Path::new("status"));
    let mut errors = Vec::new();
    conditions(status, &path.child("conditions"), &mut errors);
    if text(&old["spec"], "nodeName") != text(&new["spec"], "nodeName") {
        forbidden(&path.child("nodeName"), "may not be changed directly", &mut errors);
    }
    nominated(old, new, &path.child("nominatedNodeName"), &mut errors);
    if let Some(generation) = integer(status, "observedGeneration").filter(|n| *n < 0) {
        invalid(&path.child("observedGeneration"), generation, GENERATION, &mut errors);
    }
    let class = text(status, "qosClass");
    if class != text(before, "qosClass") {
        errors.push(FieldError::immutable("status.qosClass", &Value::from(class)));
    }
    claims(&new["spec"], status, &path.child("resourceClaimStatuses"), &mut errors);
    addresses(status, ("podIP", "podIPs"), &path.child("podIPs"), &mut errors);
    if !list(status, "hostIPs").is_empty() {
        addresses(status, ("hostIP", "hostIPs"), &path.child("hostIPs"), &mut errors);
    }
    errors
}

fn conditions(status: &Value, path: &Path, errors: &mut Errors) {
    for (index, condition) in list(status, "conditions").iter().enumerate() {
        let path = path.index(index);
        if let Some(generation) = integer(condition, "observedGeneration").filter(|n| *n < 0) {
            invalid(&path.child("observedGeneration"), generation, GENERATION, errors);
        }
        let kind = text(condition, "type");
        if !SYSTEM_CONDITIONS.contains(&kind) {
            shaped(kind, names::qualified_name, &path.child("Type"), errors);
        }
    }
}

fn nominated(old: &Value, new: &Value, path: &Path, errors: &mut Errors) {
    let node = text(&new["status"], "nominatedNodeName");
    if node.is_empty() || node == text(&old["status"], "nominatedNodeName") {
        return;
    }
    shaped(node, names::dns1123_subdomain, path, errors);
    if !text(&old["spec"], "nodeName").is_empty() {
        forbidden(path, "may not be set on pods that are already bound to a node", errors);
    }
}

fn claims(spec: &Value, status: &Value, path: &Path, errors: &mut Errors) {
    let mut seen = BTreeSet::new();
    for (index, claim) in list(status, "resourceClaimStatuses").iter().enumerate() {
        let path = path.index(index).child("name");
        let name = text(claim, "name");
        if list(spec, "resourceClaims").iter().all(|claim| text(claim, "name") != name) {
            invalid(&path, name, "must match the name of an entry in `spec.resourceClaims`", errors);
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.to_string(), name));
        }
    }
}

/// One address of each family, the first of them in a field of its own.
fn addresses(status: &Value, (one, many): (&str, &str), path: &Path, errors: &mut Errors) {
    let (first, all) = (text(status, one), list(status, many));
    for (index, address) in all.iter().enumerate() {
        ip(text(address, "ip"), &path.index(index), errors);
    }
    let family = |address: &Value| text(address, "ip").parse::<IpAddr>().ok().map(|ip| ip.is_ipv4());
    let shown = || all.iter().map(|address| json!({ "IP": text(address, "ip") })).collect::<Value>();
    if all.len() > 1 && (all.len() > 2 || family(&all[0]) == family(&all[1])) {
        invalid(path, shown(), "may specify no more than one IP for each IP family", errors);
    }
    if one == "podIP" && first.is_empty() != all.is_empty() {
        invalid(path, shown(), "podIP and podIPs must either both be set or both be unset", errors);
    } else if all.first().is_some_and(|address| text(address, "ip") != first) {
        let found = text(&all[0], "ip");
        invalid(&path.index(0).child("ip"), found, format!("must be equal to `{one}`"), errors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(old: &Value, new: &Value) -> Vec<String> {
        validate(old, new).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_status_may_say() {
        let pod = |status: Value| json!({ "spec": {}, "status": status });
        let old = pod(json!({ "qosClass": "BestEffort" }));
        let with = |mut status: Value| {
            status["qosClass"] = json!("BestEffort");
            messages(&old, &pod(status))
        };
        let fine = json!({ "podIP": "1.1.1.1", "podIPs": [{ "ip": "1.1.1.1" }, { "ip": "::1" }], "hostIP": "1.1.1.2",
            "hostIPs": [{ "ip": "1.1.1.2" }], "conditions": [{ "type": "Ready" }, { "type": "a.b/c" }] });
        assert_eq!(with(fine), Vec::<String>::new());
        assert_eq!(
            messages(&old, &pod(json!({ "qosClass": "Guaranteed" }))),
            ["status.qosClass: Invalid value: \"Guaranteed\": field is immutable"]
        );
        assert_eq!(
            with(json!({ "podIPs": [{ "ip": "1.1.1.1" }] })),
            [
                "status.podIPs: Invalid value: [{\"IP\":\"1.1.1.1\"}]: podIP and podIPs must either both be set or both be unset"
            ]
        );
        assert_eq!(
            with(json!({ "hostIP": "1.1.1.1", "hostIPs": [{ "ip": "1.1.1.2" }, { "ip": "1.1.1.1" }] })),
            [
                "status.hostIPs: Invalid value: [{\"IP\":\"1.1.1.2\"},{\"IP\":\"1.1.1.1\"}]: may specify no more than one IP for each IP family",
                "status.hostIPs[0].ip: Invalid value: \"1.1.1.2\": must be equal to `hostIP`"
            ]
        );
        assert_eq!(
            with(json!({ "resourceClaimStatuses": [{ "name": "x" }] })),
            [
                "status.resourceClaimStatuses[0].name: Invalid value: \"x\": must match the name of an entry in `spec.resourceClaims`"
            ]
        );
        let unnamed = with(json!({ "conditions": [{ "status": "True" }] }));
        assert!(
            unnamed[0]
                .starts_with("status.conditions[0].Type: Invalid value: \"\": name part must be non-empty")
        );
    }
}
