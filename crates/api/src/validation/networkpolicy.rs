//! Validation of `NetworkPolicies`.

use serde_json::Value;

use super::address::{Form, parse_cidr};
use super::{Path, label_selector, list, names, text};
use crate::status::FieldError;

const PROTOCOLS: &[&str] = &["TCP", "UDP", "SCTP"];
const TYPES: &[&str] = &["Ingress", "Egress"];

pub(crate) fn validate(policy: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&policy["spec"], Path::new("spec"));
    label_selector::validate(&spec["podSelector"], &path.child("podSelector"), &mut errors);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for (index, rule) in list(spec, direction).iter().enumerate() {
            let path = path.child(direction).index(index);
            for (index, port) in list(rule, "ports").iter().enumerate() {
                validate_port(port, &path.child("ports").index(index), &mut errors);
            }
            for (index, peer) in list(rule, peers).iter().enumerate() {
                validate_peer(peer, &path.child(peers).index(index), &mut errors);
            }
        }
    }
    let (types, path) = (list(spec, "policyTypes"), path.child("policyTypes"));
    if types.len() > TYPES.len() {
        errors.push(path.invalid(spec["policyTypes"].clone(), "may not specify more than two policyTypes"));
        return errors;
    }
    for (index, found) in types.iter().enumerate() {
        if !found.as_str().is_some_and(|t| TYPES.contains(&t)) {
            errors.push(path.index(index).not_supported(found.clone(), TYPES));
        }
    }
    errors
}

fn validate_port(port: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(protocol) = port.get("protocol").and_then(Value::as_str)
        && !PROTOCOLS.contains(&protocol)
    {
        errors.push(path.child("protocol").not_supported(protocol, PROTOCOLS));
    }
    let (at, end_at) = (path.child("port"), path.child("endPort"));
    let end = port.get("endPort").and_then(Value::as_i64);
    match port.get("port") {
        Some(Value::String(name)) => {
            if let Some(end) = end {
                errors.push(end_at.invalid(end, "may not be specified when `port` is non-numeric"));
            }
            at.each(name, names::port_name(name), errors);
        }
        Some(number) => {
            let number = number.as_i64();
            super::port_number(number, &at, errors);
            if let Some(end) = end {
                if end < number.unwrap_or(0) {
                    errors.push(end_at.invalid(end, "must be greater than or equal to `port`"));
                }
                super::port_number(Some(end), &end_at, errors);
            }
        }
        None => {
            if let Some(end) = end {
                errors.push(end_at.invalid(end, "may not be specified when `port` is not specified"));
            }
        }
    }
}

fn validate_peer(peer: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let selectors = ["podSelector", "namespaceSelector"];
    for key in selectors {
        label_selector::validate(&peer[key], &path.child(key), errors);
    }
    let block = peer.get("ipBlock");
    if let Some(block) = block {
        validate_block(block, &path.child("ipBlock"), errors);
    }
    let others = selectors.iter().any(|key| peer.get(*key).is_some());
    match (block, others) {
        (None, false) => errors.push(path.required("must specify a peer")),
        (Some(_), true) => errors.push(path.forbidden("may not specify both ipBlock and another peer")),
        _ => {}
    }
}

fn validate_block(block: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (found, at) = (text(block, "cidr"), path.child("cidr"));
    if found.is_empty() {
        errors.push(at.required(""));
        return;
    }
    let outer = match parse_cidr(found, Form::Any) {
        Ok(outer) => outer,
        Err(wrong) => {
            errors.push(at.invalid(found, wrong));
            return;
        }
    };
    for (index, except) in list(block, "except").iter().enumerate() {
        let (at, except) = (path.child("except").index(index), except.as_str().unwrap_or_default());
        match parse_cidr(except, Form::Any) {
            Ok(inner) if outer.strictly_contains(&inner) => {}
            Ok(_) => errors.push(at.invalid(except, "must be a strict subset of `cidr`")),
            Err(wrong) => errors.push(at.invalid(except, wrong)),
        }
    }
}
