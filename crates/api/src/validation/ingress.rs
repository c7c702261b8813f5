//! Validation of Ingresses.

use serde_json::Value;

use super::address::{Form, parse};
use super::{Path, integer, list, names, text};
use crate::meta;
use crate::status::FieldError;

const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const NOT_IN_PATHS: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
const NOT_AT_THE_END: &[&str] = &["/..", "/."];
const NO_NAME: &str = "must be a DNS name, not an IP address";

pub(crate) fn validate(ingress: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&ingress["spec"], Path::new("spec"));
    let (rules, default) = (list(spec, "rules"), spec.get("defaultBackend"));
    if rules.is_empty() && default.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        errors.push(path.invalid(Value::Null, detail).of_nil());
    }
    if let Some(default) = default {
        backend(default, &path.child("defaultBackend"), &mut errors);
    }
    for (index, rule) in rules.iter().enumerate() {
        validate_rule(rule, &path.child("rules").index(index), &mut errors);
    }
    for (index, tls) in list(spec, "tls").iter().enumerate() {
        validate_tls(tls, &path.child("tls").index(index), &mut errors);
    }
    if let Some(class) = spec.get("ingressClassName").and_then(Value::as_str) {
        path.child("ingressClassName").each(class, names::dns1123_subdomain(class), &mut errors);
    }
    status(&ingress["status"], &mut errors);
    errors
}

/// The class of the old annotation and that of the specification must agree; said once, when the object is made.
pub(crate) fn validate_create(ingress: &Value) -> Vec<FieldError> {
    let class = ingress.pointer("/spec/ingressClassName").and_then(Value::as_str);
    match (meta::annotation(ingress, CLASS_ANNOTATION), class) {
        (Some(old), Some(class)) if old != class => {
            let path = Path::new("annotations").child(CLASS_ANNOTATION);
            vec![path.invalid(old, "must match `ingressClassName` when both are specified")]
        }
        _ => Vec::new(),
    }
}

fn is_address(host: &str) -> bool {
    parse(host, Form::Any).is_ok()
}

fn host_name(host: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if host.contains('*') {
        path.each(host, names::wildcard_subdomain(host), errors);
    } else {
        path.each(host, names::dns1123_subdomain(host), errors);
    }
}

fn validate_rule(rule: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (host, at) = (text(rule, "host"), path.child("host"));
    if !host.is_empty() {
        if is_address(host) {
            errors.push(at.invalid(host, NO_NAME));
        }
        host_name(host, &at, errors);
    }
    let Some(http) = rule.get("http") else { return };
    let (paths, at) = (list(http, "paths"), path.child("http").child("paths"));
    if paths.is_empty() {
        errors.push(at.required(""));
    }
    for (index, entry) in paths.iter().enumerate() {
        validate_path(entry, &at.index(index), errors);
    }
}

fn validate_path(entry: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let Some(kind) = entry.get("pathType").and_then(Value::as_str) else {
        errors.push(path.child("pathType").required("pathType must be specified"));
        return;
    };
    let (found, at) = (text(entry, "path"), path.child("path"));
    let exact = matches!(kind, "Exact" | "Prefix");
    if !PATH_TYPES.contains(&kind) {
        errors.push(path.child("pathType").not_supported(kind, PATH_TYPES));
    } else if !found.starts_with('/') && (exact || !found.is_empty()) {
        errors.push(at.invalid(found, "must be an absolute path"));
    }
    if exact {
        let contained = NOT_IN_PATHS.iter().filter(|s| found.contains(**s));
        errors.extend(contained.map(|s| at.invalid(found, format!("must not contain '{s}'"))));
        let ending = NOT_AT_THE_END.iter().filter(|s| found.ends_with(**s));
        errors.extend(ending.map(|s| at.invalid(found, format!("cannot end with '{s}'"))));
    }
    backend(&entry["backend"], &path.child("backend"), errors);
}

fn backend(backend: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match (backend.get("resource"), backend.get("service")) {
        (Some(_), Some(_)) => {
            errors.push(path.invalid("", "cannot set both resource and service backends"));
        }
        (Some(resource), None) => reference(resource, &path.child("resource"), errors),
        (None, Some(service)) => service_backend(service, path, errors),
        (None, None) => errors.push(path.invalid("", "resource or service backend is required")),
    }
}

fn service_backend(service: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("service");
    let name = text(service, "name");
    if name.is_empty() {
        errors.push(at.child("name").required(""));
    } else {
        at.child("name").each(name, names::dns1123_label(name), errors);
    }
    let (port, at) = (&service["port"], at.child("port"));
    let (name, number) = (text(port, "name"), integer(port, "number").unwrap_or(0));
    match (name.is_empty(), number) {
        (false, 0) => at.child("name").each(name, names::port_name(name), errors),
        (false, _) => errors.push(path.invalid("", "cannot set both port name & port number")),
        (true, 0) => errors.push(path.required("port name or number is required")),
        (true, number) => super::port_number(Some(number), &at.child("number"), errors),
    }
}

/// A reference to an object of any kind: group, kind and name.
pub(super) fn reference(target: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(group) = target.get("apiGroup").and_then(Value::as_str) {
        path.child("apiGroup").each(group, names::dns1123_subdomain(group), errors);
    }
    for key in ["kind", "name"] {
        required_segment(target, key, path, errors);
    }
}

/// A member that must be there and be one segment of a path.
pub(super) fn required_segment(object: &Value, key: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let (found, at) = (text(object, key), path.child(key));
    if found.is_empty() {
        errors.push(at.required(""));
    } else {
        at.each(found, names::path_segment(found), errors);
    }
}

fn validate_tls(tls: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (index, host) in list(tls, "hosts").iter().enumerate() {
        host_name(host.as_str().unwrap_or_default(), &path.child("hosts").index(index), errors);
    }
    let secret = text(tls, "secretName");
    if !secret.is_empty() {
        path.child("secretName").each(secret, names::dns1123_subdomain(secret), errors);
    }
}

fn status(status: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    for (index, point) in list(&status["loadBalancer"], "ingress").iter().enumerate() {
        let path = path.index(index);
        let (ip, host) = (text(point, "ip"), text(point, "hostname"));
        if let (false, Err(wrong)) = (ip.is_empty(), parse(ip, Form::Any)) {
            errors.push(path.child("ip").invalid(ip, wrong));
        }
        if !host.is_empty() {
            let at = path.child("hostname");
            at.each(host, names::dns1123_subdomain(host), errors);
            if is_address(host) {
                errors.push(at.invalid(host, NO_NAME));
            }
        }
    }
}
