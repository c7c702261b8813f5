//! Validation of probes and lifecycle hooks: both have exactly one handler.

use serde_json::Value;

use super::{Path, integer, list, non_negative, one_of, port_or_name, text};
use crate::status::FieldError;

pub(super) fn validate(probe: &Value, kind: &str, path: &Path, errors: &mut Vec<FieldError>) {
    handler(probe, &["exec", "grpc", "httpGet", "tcpSocket"], path, errors);
    let counts =
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    non_negative(probe, &counts, path, errors);
    if kind != "readinessProbe"
        && let Some(number) = integer(probe, "successThreshold").filter(|n| *n > 1)
    {
        errors.push(FieldError::invalid(path.child("successThreshold").to_string(), number, "must be 1"));
    }
    if let Some(seconds) = integer(probe, "terminationGracePeriodSeconds") {
        let path = path.child("terminationGracePeriodSeconds").to_string();
        if kind == "readinessProbe" {
            errors.push(FieldError::invalid(path, seconds, "must not be set for readinessProbes"));
        } else if seconds < 1 {
            errors.push(FieldError::invalid(path, seconds, "must be greater than 0"));
        }
    }
}

pub(super) fn hook(hook: &Value, path: &Path, grace_seconds: i64, errors: &mut Vec<FieldError>) {
    handler(hook, &["exec", "httpGet", "sleep", "tcpSocket"], path, errors);
    if let Some(seconds) = integer(&hook["sleep"], "seconds")
        && !(0..=grace_seconds).contains(&seconds)
    {
        let detail =
            format!("must be non-negative and less than terminationGracePeriodSeconds ({grace_seconds})");
        errors.push(FieldError::invalid(path.child("sleep").to_string(), seconds, detail));
    }
}

fn handler(value: &Value, allowed: &[&str], path: &Path, errors: &mut Vec<FieldError>) {
    let given: Vec<&str> = allowed.iter().copied().filter(|key| value.get(*key).is_some()).collect();
    if given.is_empty() {
        errors.push(FieldError::required(path.to_string(), "must specify a handler type"));
    }
    for (index, key) in given.iter().enumerate() {
        let (handler, path) = (&value[*key], path.child(key));
        if index > 0 {
            let detail = "may not specify more than 1 handler type";
            errors.push(FieldError::forbidden(path.to_string(), detail));
        }
        match *key {
            "exec" if list(handler, "command").is_empty() => {
                errors.push(FieldError::required(path.child("command").to_string(), ""));
            }
            "httpGet" => {
                if text(handler, "path").is_empty() {
                    errors.push(FieldError::required(path.child("path").to_string(), ""));
                }
                one_of(handler, "scheme", &["HTTP", "HTTPS"], &path, errors);
                port_or_name(&handler["port"], &path.child("port"), errors);
            }
            "tcpSocket" | "grpc" => port_or_name(&handler["port"], &path.child("port"), errors),
            _ => {}
        }
    }
}
