//! Validation of `EndpointSlices`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::address::{self, Form};
use super::{Path, list, meta, names, text};
use crate::status::FieldError;

const TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;
const TOPOLOGY_LABELS_MAX: usize = 16;
const HINTS_MAX: usize = 8;

pub(crate) fn validate(slice: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (kind, path) = (text(slice, "addressType"), Path::new("addressType"));
    if kind.is_empty() {
        errors.push(path.required(""));
    } else if !TYPES.contains(&kind) {
        errors.push(path.not_supported(kind, TYPES));
    }
    let (endpoints, path) = (list(slice, "endpoints"), Path::new("endpoints"));
    if endpoints.len() > ENDPOINTS_MAX {
        errors.push(path.too_many(endpoints.len(), ENDPOINTS_MAX));
    } else {
        for (index, endpoint) in endpoints.iter().enumerate() {
            validate_endpoint(endpoint, kind, &path.index(index), &mut errors);
        }
    }
    ports(slice, &mut errors);
    let silent = |(_, endpoint): &(usize, &Value)| list(endpoint, "addresses").is_empty();
    for (index, _) in endpoints.iter().take(ENDPOINTS_MAX).enumerate().filter(silent) {
        errors.push(path.index(index).child("addresses").required(""));
    }
    errors
}

fn validate_endpoint(endpoint: &Value, kind: &str, path: &Path, errors: &mut Vec<FieldError>) {
    addresses(endpoint, kind, &path.child("addresses"), errors);
    if let Some(node) = endpoint.get("nodeName").and_then(Value::as_str) {
        path.child("nodeName").each(node, names::dns1123_subdomain(node), errors);
    }
    if let Some(topology) = endpoint.get("deprecatedTopology") {
        let path = path.child("deprecatedTopology");
        let labels = topology.as_object().map_or(0, serde_json::Map::len);
        if labels > TOPOLOGY_LABELS_MAX {
            errors.push(path.too_many(labels, TOPOLOGY_LABELS_MAX));
        }
        meta::labels(Some(topology), &path.to_string(), errors);
    }
    if let Some(name) = endpoint.get("hostname").and_then(Value::as_str) {
        path.child("hostname").each(name, names::dns1123_label(name), errors);
    }
    let zones = hints(endpoint, "forZones", names::label_value, path, errors);
    if zones {
        hints(endpoint, "forNodes", names::dns1123_subdomain, path, errors);
    }
}

/// For whom an endpoint is meant. `false`: there are too many to go on.
fn hints(
    endpoint: &Value,
    key: &str,
    check: fn(&str) -> Vec<String>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) -> bool {
    let (hints, path) = (list(&endpoint["hints"], key), path.child("hints").child(key));
    if hints.len() > HINTS_MAX {
        errors.push(path.too_many(hints.len(), HINTS_MAX));
        return false;
    }
    let mut seen = BTreeSet::new();
    for (index, hint) in hints.iter().enumerate() {
        let (name, path) = (text(hint, "name"), path.index(index).child("name"));
        if !seen.insert(name) {
            errors.push(path.duplicate(name));
        }
        path.each(name, check(name), errors);
    }
    true
}

fn addresses(endpoint: &Value, kind: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let addresses = list(endpoint, "addresses");
    if addresses.len() > ADDRESSES_MAX {
        errors.push(path.too_many(addresses.len(), ADDRESSES_MAX));
        return;
    }
    for (index, found) in addresses.iter().enumerate() {
        let (found, at) = (found.as_str().unwrap_or_default(), path.index(index));
        let parsed = match kind {
            "IPv4" => address::parse(found, Form::Any),
            "IPv6" => address::parse(found, Form::Canonical),
            "FQDN" => {
                fully_qualified(found, &at, errors);
                continue;
            }
            _ => continue,
        };
        match parsed {
            Err(wrong) => errors.push(at.invalid(found, wrong)),
            Ok(parsed) => {
                let family = if parsed.is_ipv4() { "IPv4" } else { "IPv6" };
                if family != kind {
                    errors.push(path.invalid(found, format!("must be an {kind} address")));
                }
                address::endpoint(found, parsed, &at, errors);
            }
        }
    }
}

fn fully_qualified(name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(path.required(""));
        return;
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let wrong = names::dns1123_subdomain(name);
    if !wrong.is_empty() {
        errors.push(path.invalid(name, wrong.join(",")));
        return;
    }
    if !name.contains('.') {
        let detail = "should be a domain with at least two segments separated by dots";
        errors.push(path.invalid(name, detail));
        return;
    }
    for label in name.split('.') {
        let wrong = names::dns1123_label(label);
        if !wrong.is_empty() {
            errors.push(path.invalid(label, wrong.join(",")));
        }
    }
}

fn ports(slice: &Value, errors: &mut Vec<FieldError>) {
    let (ports, path) = (list(slice, "ports"), Path::new("ports"));
    if ports.len() > PORTS_MAX {
        errors.push(path.too_many(ports.len(), PORTS_MAX));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let (path, name) = (path.index(index), text(port, "name"));
        if !name.is_empty() {
            path.child("name").each(name, names::dns1123_label(name), errors);
        }
        if !seen.insert(name) {
            errors.push(path.child("name").duplicate(name));
        }
        super::protocol(port, &path, errors);
        if let Some(protocol) = port.get("appProtocol").and_then(Value::as_str) {
            path.child("appProtocol").each(protocol, names::qualified_name(protocol), errors);
        }
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    Path::new("addressType").unchanged(&old["addressType"], &new["addressType"], &mut errors);
    errors
}
