//! Validation of `ValidatingWebhookConfigurations` and `MutatingWebhookConfigurations`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::admission::{self, choice};
use super::{Path, integer, label_selector, list, names, text};
use crate::status::FieldError;

const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const REVIEW_VERSIONS: &[&str] = &["v1", "v1beta1"];
const URL_FORM: &str = "; desired format: https://host[/path]";

pub(crate) fn validate(configuration: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, hook) in list(configuration, "webhooks").iter().enumerate() {
        let path = Path::new("webhooks").index(index);
        validate_hook(hook, &path, &mut errors);
        review_versions(hook, &path.child("admissionReviewVersions"), &mut errors);
        let name = text(hook, "name");
        if !name.is_empty() && !seen.insert(name) {
            errors.push(path.child("name").duplicate(name));
        }
    }
    errors
}

fn validate_hook(hook: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    full_name(text(hook, "name"), &path.child("name"), errors);
    for (index, rule) in list(hook, "rules").iter().enumerate() {
        admission::rule(rule, &path.child("rules").index(index), errors);
    }
    choice(hook, "failurePolicy", admission::FAILURE_POLICIES, path, errors);
    choice(hook, "matchPolicy", admission::MATCH_POLICIES, path, errors);
    if hook.get("sideEffects").is_none() {
        let detail = format!("must specify one of {}", NO_SIDE_EFFECTS.join(", "));
        errors.push(path.child("sideEffects").required(&detail));
    }
    choice(hook, "sideEffects", NO_SIDE_EFFECTS, path, errors);
    if let Some(seconds) = integer(hook, "timeoutSeconds").filter(|s| !(1..=30).contains(s)) {
        let detail = "the timeout value must be between 1 and 30 seconds";
        errors.push(path.child("timeoutSeconds").invalid(seconds, detail));
    }
    for key in ["namespaceSelector", "objectSelector"] {
        label_selector::validate(&hook[key], &path.child(key), errors);
    }
    choice(hook, "reinvocationPolicy", admission::REINVOCATION_POLICIES, path, errors);
    client(&hook["clientConfig"], &path.child("clientConfig"), errors);
    admission::match_conditions(hook, path, errors);
}

/// A name of at least three segments.
fn full_name(name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(path.required(""));
        return;
    }
    let wrong = names::dns1123_subdomain(name);
    if !wrong.is_empty() {
        errors.push(path.invalid(name, wrong.join(",")));
    } else if name.split('.').count() < 3 {
        let detail = "should be a domain with at least three segments separated by dots";
        errors.push(path.invalid(name, detail));
    }
}

fn client(config: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match (config.get("url").and_then(Value::as_str), config.get("service")) {
        (Some(url), None) => https_url(url, &path.child("url"), errors),
        (None, Some(service)) => service_reference(service, &path.child("service"), errors),
        _ => errors.push(path.required("exactly one of url or service is required")),
    }
}

fn https_url(url: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let mut refuse = |value: &str, detail: &str| errors.push(path.invalid(value, detail));
    let (rest, fragment) = url.split_once('#').unwrap_or((url, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (scheme, rest) = rest.split_once("://").unwrap_or(("", rest));
    if scheme != "https" {
        refuse(scheme, &format!("'https' is the only allowed URL scheme{URL_FORM}"));
    }
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or_default() };
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if host.is_empty() {
        refuse("", &format!("host must be specified{URL_FORM}"));
    }
    if !user.is_empty() {
        refuse(user, "user information is not permitted in the URL");
    }
    if !fragment.is_empty() {
        refuse(fragment, "fragments are not permitted in the URL");
    }
    if !query.is_empty() {
        refuse(query, "query parameters are not permitted in the URL");
    }
}

fn service_reference(service: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for key in ["name", "namespace"] {
        if text(service, key).is_empty() {
            errors.push(path.child(key).required(""));
        }
    }
    let port = integer(service, "port").unwrap_or(0);
    if !(1..=65_535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(path.child("port").invalid(port, detail));
    }
    let (found, at) = (text(service, "path"), path.child("path"));
    if found.is_empty() || found == "/" {
        return;
    }
    if found == "//" {
        errors.push(at.invalid(found, "segment[0] may not be empty"));
        return;
    }
    if !found.starts_with('/') {
        errors.push(at.invalid(found, "must start with a '/'"));
    }
    let mut steps = found.chars();
    steps.next();
    let steps = steps.as_str();
    for (index, step) in steps.strip_suffix('/').unwrap_or(steps).split('/').enumerate() {
        if step.is_empty() {
            errors.push(at.invalid(found, format!("segment[{index}] may not be empty")));
            continue;
        }
        let wrong = names::dns1123_subdomain(step);
        errors.extend(wrong.into_iter().map(|w| at.invalid(found, format!("segment[{index}]: {w}"))));
    }
}

fn review_versions(hook: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let versions = list(hook, "admissionReviewVersions");
    if versions.is_empty() {
        errors.push(path.required(&format!("must specify one of {}", REVIEW_VERSIONS.join(", "))));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, version) in versions.iter().enumerate() {
        let (version, path) = (version.as_str().unwrap_or_default(), path.index(index));
        if !seen.insert(version) {
            errors.push(path.invalid(version, "duplicate version"));
            continue;
        }
        path.each(version, names::dns1035_label(version), errors);
    }
    if !REVIEW_VERSIONS.iter().any(|known| seen.contains(known)) {
        let detail = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.push(path.invalid(hook["admissionReviewVersions"].clone(), detail));
    }
}
