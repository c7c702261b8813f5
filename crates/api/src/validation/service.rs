//! Validation of Services.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::Value;

use super::{Path, integer, list, meta, names, port_number, protocol, text};
use crate::status::FieldError;

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

pub(crate) fn validate(service: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let spec = service.get("spec").unwrap_or(&Value::Null);
    let path = Path::new("spec");
    let (kind, address) = (text(spec, "type"), text(spec, "clusterIP"));
    if !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported("spec.type", kind, TYPES));
    }
    if kind == "ExternalName" {
        let name = text(spec, "externalName");
        if name.is_empty() {
            errors.push(FieldError::required("spec.externalName", ""));
        } else {
            let wrong = names::dns1123_subdomain(name.trim_end_matches('.'));
            errors.extend(wrong.into_iter().map(|w| FieldError::invalid("spec.externalName", name, w)));
        }
    } else if list(spec, "ports").is_empty() && address != "None" {
        errors.push(FieldError::required("spec.ports", ""));
    }
    match address {
        "None" if matches!(kind, "NodePort" | "LoadBalancer") => {
            let detail = format!("may not be set to 'None' for {kind} services");
            errors.push(FieldError::invalid("spec.clusterIPs[0]", "None", detail));
        }
        "" | "None" => {}
        _ if kind == "ExternalName" => {
            errors
                .push(FieldError::forbidden("spec.clusterIPs", "may not be set when type is 'ExternalName'"));
        }
        other => ip(other, "spec.clusterIPs[0]", &mut errors),
    }
    let affinity = text(spec, "sessionAffinity");
    // The node does not keep clients on an endpoint; taking the field in silence would change what it means.
    if affinity != "None" {
        errors.push(FieldError::not_supported("spec.sessionAffinity", affinity, &["None"]));
    }
    meta::labels(spec.get("selector"), "spec.selector", &mut errors);
    for (index, address) in list(spec, "externalIPs").iter().enumerate() {
        let path = path.child("externalIPs").index(index).to_string();
        ip(address.as_str().unwrap_or_default(), &path, &mut errors);
    }
    ports(spec, kind, &path.child("ports"), &mut errors);
    errors
}

fn ip(address: &str, path: &str, errors: &mut Vec<FieldError>) {
    if address.parse::<IpAddr>().is_err() {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        errors.push(FieldError::invalid(path, address, detail));
    }
}

fn ports(spec: &Value, kind: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let ports = list(spec, "ports");
    let (mut by_name, mut by_number) = (BTreeSet::new(), BTreeSet::new());
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        if name.is_empty() {
            if ports.len() > 1 {
                errors.push(FieldError::required(path.child("name").to_string(), ""));
            }
        } else {
            for wrong in names::dns1123_label(name) {
                errors.push(FieldError::invalid(path.child("name").to_string(), name, wrong));
            }
            if !by_name.insert(name) {
                errors.push(FieldError::duplicate(path.child("name").to_string(), name));
            }
        }
        port_number(integer(port, "port"), &path.child("port"), errors);
        protocol(port, &path, errors);
        if let Some(target) = port.get("targetPort") {
            super::port_or_name(target, &path.child("targetPort"), errors);
        }
        if let Some(number) = integer(port, "nodePort").filter(|n| *n != 0) {
            port_number(Some(number), &path.child("nodePort"), errors);
            if !matches!(kind, "NodePort" | "LoadBalancer") {
                let detail = format!("may not be used when `type` is '{kind}'");
                errors.push(FieldError::forbidden(path.child("nodePort").to_string(), detail));
            }
        }
        if !by_number.insert((integer(port, "port"), text(port, "protocol"))) {
            errors.push(FieldError::duplicate(path.to_string(), port.clone()));
        }
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (old, new) = (&old["spec"], &new["spec"]);
    let (before, after) = (text(old, "clusterIP"), text(new, "clusterIP"));
    let external = text(old, "type") == "ExternalName" || text(new, "type") == "ExternalName";
    if before.is_empty() || before == after || external {
        return Vec::new();
    }
    let after = Value::from(vec![after]);
    vec![FieldError {
        detail: "may not change once set".to_owned(),
        ..FieldError::immutable("spec.clusterIPs[0]", &after[0])
    }]
}
