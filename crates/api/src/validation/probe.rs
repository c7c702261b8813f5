//! Validation of probes and lifecycle hooks: both have exactly one handler.

use serde_json::Value;

use super::check::{Errors, forbidden, invalid, required, shaped, unsupported};
use super::{Path, integer, list, names, non_negative, port_number, port_or_name, text};

pub(super) fn validate(probe: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], 0, path, errors);
    let counts =
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    non_negative(probe, &counts, path, errors);
    let grace = integer(probe, "terminationGracePeriodSeconds");
    let grace_path = path.child("terminationGracePeriodSeconds");
    if let Some(seconds) = grace.filter(|s| *s <= 0) {
        invalid(&grace_path, seconds, "must be greater than 0", errors);
    }
    if kind == "readinessProbe" {
        if let Some(seconds) = grace {
            invalid(&grace_path, seconds, "must not be set for readinessProbes", errors);
        }
    } else if let Some(number) = integer(probe, "successThreshold").filter(|n| *n != 1) {
        invalid(&path.child("successThreshold"), number, "must be 1", errors);
    }
}

pub(super) fn hook(hook: &Value, path: &Path, grace_seconds: i64, errors: &mut Errors) {
    handler(hook, &["exec", "httpGet", "tcpSocket", "sleep"], grace_seconds, path, errors);
}

fn handler(value: &Value, allowed: &[&str], grace_seconds: i64, path: &Path, errors: &mut Errors) {
    let given: Vec<&str> = allowed.iter().copied().filter(|key| value.get(*key).is_some()).collect();
    if given.is_empty() {
        required(path, "must specify a handler type", errors);
    }
    for (index, key) in given.iter().enumerate() {
        let (handler, path) = (&value[*key], path.child(key));
        if index > 0 {
            forbidden(&path, "may not specify more than 1 handler type", errors);
            continue;
        }
        match *key {
            "exec" if list(handler, "command").is_empty() => required(&path.child("command"), "", errors),
            "httpGet" => http_get(handler, &path, errors),
            "tcpSocket" => port_or_name(&handler["port"], &path.child("port"), errors),
            "grpc" => port_number(integer(handler, "port"), &path.child("port"), errors),
            "sleep" => sleep(handler, grace_seconds, &path, errors),
            _ => {}
        }
    }
}

fn http_get(get: &Value, path: &Path, errors: &mut Errors) {
    if text(get, "path").is_empty() {
        required(&path.child("path"), "", errors);
    }
    port_or_name(&get["port"], &path.child("port"), errors);
    let scheme = text(get, "scheme");
    if !matches!(scheme, "HTTP" | "HTTPS") {
        unsupported(&path.child("scheme"), scheme, &["HTTP", "HTTPS"], errors);
    }
    for header in list(get, "httpHeaders") {
        shaped(text(header, "name"), names::http_header, &path.child("httpHeaders"), errors);
    }
}

fn sleep(action: &Value, grace_seconds: i64, path: &Path, errors: &mut Errors) {
    let seconds = integer(action, "seconds").unwrap_or(0);
    if !(0..=grace_seconds).contains(&seconds) {
        let detail =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})");
        invalid(path, seconds, detail, errors);
    }
}
