//! Validation of Services.

use serde_json::Value;

use super::check::{
    Errors, cidr, duplicate, forbidden, invalid, ip, ordinary_ip, required, shaped, texts, unsupported,
};
use super::{Path, integer, list, meta, names, port_number, serviceports, text};
use crate::status::FieldError;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: &[&str] = &["Cluster", "Local"];
const FAMILIES: &[&str] = &["IPv4", "IPv6"];
const FAMILY_POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameNode", "PreferSameZone"];

fn is_headless(spec: &Value) -> bool {
    text(spec, "clusterIP") == "None" || list(spec, "clusterIPs").first().is_some_and(|ip| ip == "None")
}

pub(crate) fn validate(service: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let kind = text(spec, "type");
    if list(spec, "ports").is_empty() && !is_headless(spec) && kind != "ExternalName" {
        required(&path.child("ports"), "", &mut errors);
    }
    by_type(spec, kind, &path, &mut errors);
    let ports = path.child("ports");
    serviceports::each(spec, &ports, &mut errors);
    meta::labels(spec.get("selector"), "spec.selector", &mut errors);
    // The node does not keep clients on an endpoint; taking the field in silence would change what it means.
    let affinity = text(spec, "sessionAffinity");
    if affinity != "None" {
        unsupported(&path.child("sessionAffinity"), affinity, &["None"], &mut errors);
    } else if spec.get("sessionAffinityConfig").is_some() {
        let detail = "must not be set when session affinity is None";
        forbidden(&path.child("sessionAffinityConfig"), detail, &mut errors);
    }
    if kind != "ExternalName" {
        addresses(spec, &path, &mut errors);
    }
    for (index, address) in texts(spec, "externalIPs").enumerate() {
        let path = path.child("externalIPs").index(index);
        ip(address, &path, &mut errors);
        ordinary_ip(address, &path, &mut errors);
    }
    if kind.is_empty() {
        required(&path.child("type"), "", &mut errors);
    } else if !TYPES.contains(&kind) {
        unsupported(&path.child("type"), kind, TYPES, &mut errors);
    }
    serviceports::together(spec, kind, &ports, &mut errors);
    load_balancer(spec, kind, &path, &mut errors);
    traffic(spec, kind, &path, &mut errors);
    errors
}

fn by_type(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    match kind {
        "LoadBalancer" | "NodePort" if is_headless(spec) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            invalid(&path.child("clusterIPs").index(0), "None", detail, errors);
        }
        "ExternalName" => {
            let detail = "may not be set for ExternalName services";
            let has_address = !list(spec, "clusterIPs").is_empty() || !text(spec, "clusterIP").is_empty();
            let set = [
                ("clusterIPs", has_address),
                ("ipFamilies", !list(spec, "ipFamilies").is_empty()),
                ("ipFamilyPolicy", spec.get("ipFamilyPolicy").is_some()),
            ];
            for (key, _) in set.iter().filter(|(_, set)| *set) {
                forbidden(&path.child(key), detail, errors);
            }
            let name = text(spec, "externalName");
            match name.strip_suffix('.').unwrap_or(name) {
                "" => required(&path.child("externalName"), "", errors),
                name => shaped(name, names::dns1123_subdomain, &path.child("externalName"), errors),
            }
        }
        _ => {}
    }
}

/// Addresses and families of a service that has some.
fn addresses(spec: &Value, path: &Path, errors: &mut Errors) {
    let (at, families_at) = (path.child("clusterIPs"), path.child("ipFamilies"));
    let (first, all) = (text(spec, "clusterIP"), list(spec, "clusterIPs"));
    let shown = || Value::from(all.to_vec());
    match (first, all.first().and_then(Value::as_str)) {
        ("", Some(_)) => {
            invalid(&at, shown(), "must be empty when `clusterIP` is not specified", errors);
        }
        ("", None) => {}
        (_, None) => required(&at, "", errors),
        (first, Some(other)) if first != other => {
            invalid(&at, shown(), "first value must match `clusterIP`", errors);
        }
        _ => {}
    }
    let families: Vec<&str> = texts(spec, "ipFamilies").collect();
    for (index, family) in families.iter().enumerate() {
        if !FAMILIES.contains(family) {
            unsupported(&families_at.index(index), *family, FAMILIES, errors);
        }
        if families[..index].contains(family) {
            duplicate(&families_at.index(index), *family, errors);
        }
    }
    let policy = spec.get("ipFamilyPolicy").and_then(Value::as_str);
    if let Some(policy) = policy.filter(|p| !FAMILY_POLICIES.contains(p)) {
        unsupported(&path.child("ipFamilyPolicy"), policy, FAMILY_POLICIES, errors);
    }
    let before = errors.len();
    for (index, address) in texts(spec, "clusterIPs").enumerate() {
        if index == 0 && address == "None" {
            if all.len() > 1 {
                invalid(&at, shown(), "'None' must be the first and only value", errors);
            }
            continue;
        }
        ip(address, &at.index(index), errors);
    }
    if all.len() > 2 {
        invalid(&at, shown(), "may only hold up to 2 values", errors);
    }
    if errors.len() > before || is_headless(spec) {
        return;
    }
    let is_v6 = |address: &str| address.contains(':');
    let count = texts(spec, "clusterIPs").filter(|address| is_v6(address)).count();
    if all.len() > 1 && count != 1 {
        invalid(&at, shown(), "may specify no more than one IP for each IP family", errors);
    }
    for (index, (address, family)) in texts(spec, "clusterIPs").zip(&families).enumerate() {
        if FAMILIES.contains(family) && is_v6(address) != (*family == "IPv6") {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{index}]`");
            invalid(&at.index(index), address, detail, errors);
        }
    }
}

fn load_balancer(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let only = "may only be used when `type` is 'LoadBalancer'";
    let is_balanced = kind == "LoadBalancer";
    if !list(spec, "loadBalancerSourceRanges").is_empty() {
        // The capital letter is that of the original.
        let path = path.child("LoadBalancerSourceRanges");
        if !is_balanced {
            forbidden(&path, only, errors);
        }
        for (index, block) in texts(spec, "loadBalancerSourceRanges").enumerate() {
            cidr(block.trim(), &path.index(index), errors);
        }
    }
    if spec.get("allocateLoadBalancerNodePorts").is_some() && !is_balanced {
        forbidden(&path.child("allocateLoadBalancerNodePorts"), only, errors);
    }
    if let Some(class) = spec.get("loadBalancerClass").and_then(Value::as_str) {
        let path = path.child("loadBalancerClass");
        if is_balanced {
            shaped(class, names::qualified_name, &path, errors);
        } else {
            forbidden(&path, only, errors);
        }
    }
}

fn traffic(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let external = text(spec, "externalTrafficPolicy");
    let outside = matches!(kind, "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && !list(spec, "externalIPs").is_empty());
    let at = path.child("externalTrafficPolicy");
    if !outside && !external.is_empty() {
        invalid(&at, external, "may only be set for externally-accessible services", errors);
    } else if outside && external.is_empty() {
        required(&at, "", errors);
    } else if outside && !POLICIES.contains(&external) {
        unsupported(&at, external, POLICIES, errors);
    }
    if let Some(port) = integer(spec, "healthCheckNodePort").filter(|n| *n != 0) {
        let path = path.child("healthCheckNodePort");
        if kind == "LoadBalancer" && external == "Local" {
            port_number(Some(port), &path, errors);
        } else {
            let detail =
                "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            invalid(&path, port, detail, errors);
        }
    }
    for (key, allowed) in [("internalTrafficPolicy", POLICIES), ("trafficDistribution", DISTRIBUTIONS)] {
        let found = spec.get(key).and_then(Value::as_str);
        if let Some(found) = found.filter(|f| !allowed.contains(f)) {
            unsupported(&path.child(key), found, allowed, errors);
        }
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (old, new, path) = (&old["spec"], &new["spec"], Path::new("spec"));
    let mut errors = Vec::new();
    class_stays(old, new, &path, &mut errors);
    let external = text(old, "type") == "ExternalName" || text(new, "type") == "ExternalName";
    let (was, is) = (is_headless(old), is_headless(new));
    if external || (was && is) {
        return errors;
    }
    let (before, after) = (list(old, "clusterIPs"), list(new, "clusterIPs"));
    let shown = || Value::from(after.to_vec());
    let at = path.child("clusterIPs");
    if after.is_empty() && !before.is_empty() {
        invalid(&at.index(0), shown(), "primary clusterIP can not be unset", &mut errors);
    }
    for (index, (before, after)) in before.iter().zip(after).enumerate() {
        if before != after {
            invalid(&at.index(index), shown(), "may not change once set", &mut errors);
        }
    }
    if was != is {
        return errors;
    }
    let (before, after) = (list(old, "ipFamilies"), list(new, "ipFamilies"));
    if before.iter().zip(after).any(|(before, after)| before != after) {
        let detail = "may not change once set";
        invalid(&path.child("ipFamilies").index(0), after.to_vec(), detail, &mut errors);
    }
    errors
}

/// The class of a load balancer is chosen once, with the type.
fn class_stays(old: &Value, new: &Value, path: &Path, errors: &mut Errors) {
    let balanced = |spec: &Value| text(spec, "type") == "LoadBalancer";
    if balanced(old) && balanced(new) && old.get("loadBalancerClass") != new.get("loadBalancerClass") {
        let shown = new.get("loadBalancerClass").cloned().unwrap_or_default();
        invalid(&path.child("loadBalancerClass"), shown, "may not change once set", errors);
    }
}
