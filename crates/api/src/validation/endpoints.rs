//! Validation of Endpoints.

use serde_json::Value;

use super::check::{Errors, ip, ordinary_ip, required, shaped, shaped_if_set};
use super::{Path, integer, list, names, port_number, protocol, text};
use crate::status::FieldError;

pub(crate) fn validate(endpoints: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, subset) in list(endpoints, "subsets").iter().enumerate() {
        let path = Path::new("subsets").index(index);
        let kinds = ["addresses", "notReadyAddresses"];
        if kinds.iter().all(|key| list(subset, key).is_empty()) {
            required(&path, "must specify `addresses` or `notReadyAddresses`", &mut errors);
        }
        for key in kinds {
            for (index, found) in list(subset, key).iter().enumerate() {
                address(found, &path.child(key).index(index), &mut errors);
            }
        }
        let ports = list(subset, "ports");
        for (index, found) in ports.iter().enumerate() {
            port(found, ports.len() > 1, &path.child("ports").index(index), &mut errors);
        }
    }
    errors
}

fn address(address: &Value, path: &Path, errors: &mut Errors) {
    let found = text(address, "ip");
    ip(found, &path.child("ip"), errors);
    shaped_if_set(address, "hostname", names::dns1123_label, path, errors);
    if let Some(node) = address.get("nodeName").and_then(Value::as_str) {
        shaped(node, names::dns1123_subdomain, &path.child("nodeName"), errors);
    }
    ordinary_ip(found, &path.child("ip"), errors);
}

fn port(port: &Value, needs_name: bool, path: &Path, errors: &mut Errors) {
    match text(port, "name") {
        "" if needs_name => required(&path.child("name"), "", errors),
        "" => {}
        name => shaped(name, names::dns1123_label, &path.child("name"), errors),
    }
    port_number(integer(port, "port"), &path.child("port"), errors);
    protocol(port, path, errors);
    shaped_if_set(port, "appProtocol", names::qualified_name, path, errors);
}
