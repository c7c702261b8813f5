//! Validation of `APIServices`: local ones only, because requests are not passed on to other API servers.

use serde_json::Value;

use super::{Path, integer, list, names, text};
use crate::meta;
use crate::status::FieldError;

const STATUSES: &[&str] = &["True", "False", "Unknown"];
const PRIORITY_MAX: i64 = 20_000;
const VERSION_PRIORITY_MAX: i64 = 1000;

pub(crate) fn validate(service: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&service["spec"], Path::new("spec"));
    let (group, version, name) = (text(spec, "group"), text(spec, "version"), meta::name(service));
    let wanted = format!("{version}.{group}");
    if !name.is_empty() && names::path_segment(name).is_empty() && name != wanted {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        errors.push(Path::new("metadata").child("name").invalid(name, detail));
    }
    if group.is_empty() {
        if version != "v1" {
            let detail = "only v1 may have an empty group and it better be legacy kube";
            errors.push(path.child("group").required(detail));
        }
    } else {
        path.child("group").each(group, names::dns1123_subdomain(group), &mut errors);
    }
    path.child("version").each(version, names::dns1035_label(version), &mut errors);
    for (key, max) in [("groupPriorityMinimum", PRIORITY_MAX), ("versionPriority", VERSION_PRIORITY_MAX)] {
        let number = integer(spec, key).unwrap_or(0);
        if !(1..=max).contains(&number) {
            let detail = format!("must be positive and less than {max}");
            errors.push(path.child(key).invalid(number, detail));
        }
    }
    locality(spec, &path, &mut errors);
    for (index, condition) in list(&service["status"], "conditions").iter().enumerate() {
        let found = text(condition, "status");
        if !STATUSES.contains(&found) {
            let path = Path::new("status").child("conditions").index(index).child("status");
            errors.push(path.not_supported(found, STATUSES));
        }
    }
    errors
}

fn locality(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if spec.get("service").is_some() {
        let detail = "aggregation is not served: this server does not pass requests on to other API servers, \
                      so only local APIServices, without a service, can be registered";
        errors.push(path.child("service").forbidden(detail));
        return;
    }
    let bundle = text(spec, "caBundle");
    if !bundle.is_empty() {
        let bytes = bundle.trim_end_matches('=').len() * 3 / 4;
        let detail = "local APIServices may not have a caBundle";
        errors.push(path.child("caBundle").invalid(format!("{bytes} bytes"), detail));
    }
    if spec.get("insecureSkipTLSVerify") == Some(&Value::Bool(true)) {
        let detail = "local APIServices may not have insecureSkipTLSVerify";
        errors.push(path.child("insecureSkipTLSVerify").invalid(true, detail));
    }
}
