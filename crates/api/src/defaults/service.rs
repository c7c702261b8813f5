//! Defaults of Services. The cluster address is allocated by whoever serves the API.

use serde_json::{Map, Value, json};

use super::{object_or_new, objects, set, spec_mut, text};
use crate::catalogue::CreateFacts;

const STICKY_SECONDS: i64 = 10_800;

pub(crate) fn apply(service: &mut Value) {
    let Some(spec) = spec_mut(service) else { return };
    set(spec, "sessionAffinity", "None");
    set(spec, "type", "ClusterIP");
    if text(spec, "sessionAffinity") == "ClientIP"
        && let Some(config) =
            object_or_new(spec, "sessionAffinityConfig").and_then(|c| object_or_new(c, "clientIP"))
    {
        set(config, "timeoutSeconds", STICKY_SECONDS);
    }
    for port in objects(spec, "ports") {
        set(port, "protocol", "TCP");
        let unset = port.get("targetPort").is_none_or(|target| *target == 0 || *target == "");
        if let Some(number) = port.get("port").cloned().filter(|_| unset) {
            port.insert("targetPort".to_owned(), number);
        }
    }
    match text(spec, "type") {
        "ExternalName" => return,
        "NodePort" => set(spec, "externalTrafficPolicy", "Cluster"),
        "ClusterIP"
            if spec.get("externalIPs").and_then(Value::as_array).is_some_and(|ips| !ips.is_empty()) =>
        {
            set(spec, "externalTrafficPolicy", "Cluster");
        }
        "LoadBalancer" => {
            set(spec, "externalTrafficPolicy", "Cluster");
            set(spec, "allocateLoadBalancerNodePorts", true);
        }
        _ => {}
    }
    set(spec, "internalTrafficPolicy", "Cluster");
}

/// Families and addresses, which the server sets and nobody owns.
fn settle_addresses(spec: &mut Map<String, Value>) {
    if text(spec, "type") == "ExternalName" {
        return;
    }
    set(spec, "ipFamilies", json!(["IPv4"]));
    set(spec, "ipFamilyPolicy", "SingleStack");
    same_address(spec);
}

/// `clusterIP` is the first of `clusterIPs`.
fn same_address(spec: &mut Map<String, Value>) {
    let first = spec.get("clusterIPs").and_then(|all| all.get(0)).cloned();
    match (text(spec, "clusterIP"), first) {
        ("", Some(first)) => {
            spec.insert("clusterIP".to_owned(), first);
        }
        (address, None) if !address.is_empty() => {
            let all = json!([address]);
            spec.insert("clusterIPs".to_owned(), all);
        }
        _ => {}
    }
}

pub(crate) fn prepare_create(service: &mut Value, _facts: &CreateFacts) {
    if let Some(map) = service.as_object_mut() {
        map.insert("status".to_owned(), json!({ "loadBalancer": {} }));
    }
    if let Some(spec) = spec_mut(service) {
        settle_addresses(spec);
    }
}

/// A re-applied manifest does not repeat what was allocated: addresses and node ports are kept.
pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    let Some(before) = old.get("spec").and_then(Value::as_object) else { return };
    let Some(spec) = spec_mut(new) else { return };
    if text(spec, "type") == "ExternalName" || text(before, "type") == "ExternalName" {
        return settle_addresses(spec);
    }
    for key in ["ipFamilies", "ipFamilyPolicy"] {
        if let Some(value) = before.get(key) {
            set(spec, key, value.clone());
        }
    }
    follow_address(before, spec);
    for key in ["clusterIP", "clusterIPs"] {
        if let Some(value) = before.get(key)
            && text(spec, "clusterIP").is_empty()
        {
            set(spec, key, value.clone());
        }
    }
    if spec.get("clusterIP") == Some(&json!("")) {
        spec.remove("clusterIP");
    }
    settle_addresses(spec);
    if text(spec, "type") == "ClusterIP" {
        return;
    }
    let known: Vec<&Value> = before.get("ports").and_then(Value::as_array).into_iter().flatten().collect();
    for port in objects(spec, "ports") {
        let same =
            |old: &&&Value| ["port", "protocol", "name"].iter().all(|key| old.get(*key) == port.get(*key));
        if let Some(node_port) = known.iter().find(same).and_then(|p| p.get("nodePort")).cloned() {
            set(port, "nodePort", node_port);
        }
    }
}

/// Who changes `clusterIP` alone means the first of `clusterIPs`, too.
fn follow_address(before: &Map<String, Value>, spec: &mut Map<String, Value>) {
    let address = text(spec, "clusterIP").to_owned();
    let changed = !address.is_empty() && address != text(before, "clusterIP");
    if changed
        && spec.get("clusterIPs") == before.get("clusterIPs")
        && let Some(first) = spec.get_mut("clusterIPs").and_then(|all| all.get_mut(0))
    {
        *first = json!(address);
    }
}
