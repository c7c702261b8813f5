//! Validation of the ports of a Service.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::check::{Errors, duplicate, forbidden, required, shaped, shaped_if_set};
use super::{Path, integer, list, names, port_number, port_or_name, protocol, text};

/// Each port by itself.
pub(super) fn each(spec: &Value, path: &Path, errors: &mut Errors) {
    let ports = list(spec, "ports");
    let mut taken = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = path.index(index);
        let name = text(port, "name");
        if !name.is_empty() {
            shaped(name, names::dns1123_label, &path.child("name"), errors);
            if !taken.insert(name) {
                duplicate(&path.child("name"), name, errors);
            }
        } else if ports.len() > 1 {
            required(&path.child("name"), "", errors);
        }
        port_number(integer(port, "port"), &path.child("port"), errors);
        protocol(port, &path, errors);
        if let Some(target) = port.get("targetPort") {
            port_or_name(target, &path.child("targetPort"), errors);
        }
        shaped_if_set(port, "appProtocol", names::qualified_name, &path, errors);
        if let Some(number) = integer(port, "nodePort").filter(|n| *n != 0) {
            port_number(Some(number), &path.child("nodePort"), errors);
        }
    }
}

/// All ports together.
pub(super) fn together(spec: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let node_port = |port: &Value| integer(port, "nodePort").filter(|n| *n != 0);
    let ports = list(spec, "ports");
    for (index, port) in ports.iter().enumerate() {
        if node_port(port).is_some() && !matches!(kind, "NodePort" | "LoadBalancer") {
            let detail = format!("may not be used when `type` is '{kind}'");
            forbidden(&path.index(index).child("nodePort"), detail, errors);
        }
    }
    let mut taken = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let Some(number) = node_port(port) else { continue };
        if !taken.insert((text(port, "protocol"), number)) {
            duplicate(&path.index(index).child("nodePort"), number, errors);
        }
    }
    let mut taken = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let (protocol, number) = (text(port, "protocol"), integer(port, "port"));
        if !taken.insert((protocol, number)) {
            // What is shown is the pair that occurs twice, not the whole port.
            let pair = json!({ "protocol": protocol, "port": number, "targetPort": 0 });
            duplicate(&path.index(index), pair, errors);
        }
    }
}
