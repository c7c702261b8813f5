//! Validation of `EndpointSlices`.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use super::{Path, list, names, text};
use crate::status::FieldError;

const TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20_000;

pub(crate) fn validate(slice: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let kind = text(slice, "addressType");
    if kind.is_empty() {
        errors.push(FieldError::required("addressType", ""));
    } else if !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported("addressType", kind, TYPES));
    }
    let endpoints = list(slice, "endpoints");
    if endpoints.len() > ENDPOINTS_MAX {
        errors.push(FieldError::too_many("endpoints", endpoints.len(), ENDPOINTS_MAX));
    }
    for (index, endpoint) in endpoints.iter().enumerate().take(ENDPOINTS_MAX) {
        addresses(endpoint, kind, &Path::new("endpoints").index(index).child("addresses"), &mut errors);
    }
    ports(slice, &mut errors);
    errors
}

fn addresses(endpoint: &Value, kind: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let addresses = list(endpoint, "addresses");
    if addresses.is_empty() {
        errors.push(FieldError::required(path.to_string(), "must contain at least 1 address"));
    }
    if addresses.len() > ADDRESSES_MAX {
        errors.push(FieldError::too_many(path.to_string(), addresses.len(), ADDRESSES_MAX));
        return;
    }
    for (index, address) in addresses.iter().enumerate() {
        let address = address.as_str().unwrap_or_default();
        let wrong = match kind {
            "IPv4" => address.parse::<Ipv4Addr>().is_err().then(|| "must be a valid IPv4 address".to_owned()),
            "IPv6" => address.parse::<Ipv6Addr>().is_err().then(|| "must be a valid IPv6 address".to_owned()),
            _ => names::dns1123_subdomain(address).into_iter().next(),
        };
        errors.extend(wrong.map(|w| FieldError::invalid(path.index(index).to_string(), address, w)));
    }
}

fn ports(slice: &Value, errors: &mut Vec<FieldError>) {
    let ports = list(slice, "ports");
    if ports.len() > PORTS_MAX {
        errors.push(FieldError::too_many("ports", ports.len(), PORTS_MAX));
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for (index, port) in ports.iter().enumerate() {
        let path = Path::new("ports").index(index);
        let name = text(port, "name");
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("name").to_string(), name));
        }
        super::protocol(port, &path, errors);
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    if old.get("addressType") == new.get("addressType") {
        return Vec::new();
    }
    vec![FieldError::immutable("addressType", new.get("addressType").unwrap_or(&Value::Null))]
}
