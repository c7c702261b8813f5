//! Validation of `RoleBindings` and `ClusterRoleBindings`.

use serde_json::Value;

use super::{Path, list, names, text};
use crate::status::FieldError;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn validate(binding: &Value) -> Vec<FieldError> {
    errors(binding, &["Role", "ClusterRole"], true)
}

pub(crate) fn validate_cluster(binding: &Value) -> Vec<FieldError> {
    errors(binding, &["ClusterRole"], false)
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (before, after) = (&old["roleRef"], &new["roleRef"]);
    if before == after {
        return Vec::new();
    }
    vec![FieldError::invalid("roleRef", after.clone(), "cannot change roleRef")]
}

fn errors(binding: &Value, roles: &[&str], namespaced: bool) -> Vec<FieldError> {
    let mut errors = Vec::new();
    role_ref(&binding["roleRef"], roles, &mut errors);
    for (index, item) in list(binding, "subjects").iter().enumerate() {
        subject(item, namespaced, &Path::new("subjects").index(index), &mut errors);
    }
    errors
}

fn role_ref(role: &Value, kinds: &[&str], errors: &mut Vec<FieldError>) {
    let (group, kind, name) = (text(role, "apiGroup"), text(role, "kind"), text(role, "name"));
    if group != GROUP {
        errors.push(FieldError::not_supported("roleRef.apiGroup", group, &[GROUP]));
    }
    if !kinds.contains(&kind) {
        errors.push(FieldError::not_supported("roleRef.kind", kind, kinds));
    }
    if name.is_empty() {
        errors.push(FieldError::required("roleRef.name", ""));
    }
    for wrong in names::path_segment(name) {
        errors.push(FieldError::invalid("roleRef.name", name, wrong));
    }
}

fn subject(subject: &Value, namespaced: bool, path: &Path, errors: &mut Vec<FieldError>) {
    let (kind, group, name) = (text(subject, "kind"), text(subject, "apiGroup"), text(subject, "name"));
    let at = |key: &str| path.child(key).to_string();
    if name.is_empty() {
        errors.push(FieldError::required(at("name"), ""));
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                let wrong = names::dns1123_subdomain(name);
                errors.extend(wrong.into_iter().map(|w| FieldError::invalid(at("name"), name, w)));
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(at("apiGroup"), group, &[""]));
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                errors.push(FieldError::required(at("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(FieldError::not_supported(at("apiGroup"), group, &[GROUP]));
            }
        }
        _ => {
            errors.push(FieldError::not_supported(at("kind"), kind, &["ServiceAccount", "User", "Group"]));
        }
    }
}
