//! Validation of `IngressClasses`.

use serde_json::Value;

use super::{Path, ingress, names, text};
use crate::status::FieldError;

const CONTROLLER_BYTES_MAX: usize = 250;
const SCOPES: &[&str] = &["Cluster", "Namespace"];

pub(crate) fn validate(class: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&class["spec"], Path::new("spec"));
    let (controller, at) = (text(spec, "controller"), path.child("controller"));
    if controller.is_empty() {
        errors.push(at.required(""));
    } else {
        if controller.len() > CONTROLLER_BYTES_MAX {
            errors.push(at.too_long(CONTROLLER_BYTES_MAX));
        }
        domain_prefixed_path(controller, &at, &mut errors);
    }
    if let Some(parameters) = spec.get("parameters") {
        validate_parameters(parameters, &path.child("parameters"), &mut errors);
    }
    errors
}

fn domain_prefixed_path(controller: &str, path: &Path, errors: &mut Vec<FieldError>) {
    const SENTENCE: &str = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
    let (host, rest) = controller.split_once('/').unwrap_or((controller, ""));
    if host.is_empty() || rest.is_empty() {
        let detail = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(path.invalid(controller, detail));
        return;
    }
    path.each(host, names::dns1123_subdomain(host), errors);
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:".contains(&b);
    if !rest.bytes().all(allowed) {
        errors.push(path.invalid(rest, SENTENCE));
    }
}

fn validate_parameters(parameters: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    ingress::reference(parameters, path, errors);
    let Some(scope) = parameters.get("scope").and_then(Value::as_str) else {
        errors.push(path.child("scope").required(""));
        return;
    };
    let (namespace, at) = (parameters.get("namespace").and_then(Value::as_str), path.child("namespace"));
    match (scope, namespace) {
        ("Namespace", None) => errors.push(at.required("`parameters.scope` is set to 'Namespace'")),
        ("Namespace", Some(name)) => at.each(name, names::dns1123_label(name), errors),
        ("Cluster", Some(_)) => errors.push(at.forbidden("`parameters.scope` is set to 'Cluster'")),
        ("Cluster", None) => {}
        _ => errors.push(path.child("scope").not_supported(scope, SCOPES)),
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = |class: &Value| class["spec"]["controller"].clone();
    Path::new("spec").child("controller").unchanged(&at(old), &at(new), &mut errors);
    errors
}
