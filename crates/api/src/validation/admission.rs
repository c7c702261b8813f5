//! What webhook configurations and admission policies share: rules, match resources, match conditions, parameters.
//!
//! CEL expressions are only checked to be there: nothing here compiles or evaluates them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Path, label_selector, list, names, text};
use crate::status::FieldError;

pub(super) const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
pub(super) const REINVOCATION_POLICIES: &[&str] = &["IfNeeded", "Never"];
const SCOPES: &[&str] = &["*", "Cluster", "Namespaced"];
const OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
/// What a policy that mutates may act on.
const MUTABLE_OPERATIONS: &[&str] = &["*", "CONNECT", "CREATE", "UPDATE"];
const NOT_FOUND_ACTIONS: &[&str] = &["Deny", "Allow"];
const CONDITIONS_MAX: usize = 64;

/// A member that is one of an enumeration when it is there; empty is not.
pub(super) fn choice(object: &Value, key: &str, allowed: &[&str], path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(found) = object.get(key).and_then(Value::as_str)
        && !allowed.contains(&found)
    {
        errors.push(path.child(key).not_supported(found, allowed));
    }
}

/// As [`choice`], for a member that must be there.
pub(super) fn required_choice(
    object: &Value,
    key: &str,
    allowed: &[&str],
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    if text(object, key).is_empty() {
        errors.push(path.child(key).required(""));
    } else {
        choice(object, key, allowed, path, errors);
    }
}

fn texts<'a>(object: &'a Value, key: &str) -> Vec<&'a str> {
    list(object, key).iter().map(|item| item.as_str().unwrap_or_default()).collect()
}

/// Operations, groups, versions, resources and scope.
pub(super) fn rule(rule: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (operations, at) = (texts(rule, "operations"), path.child("operations"));
    star_alone(rule, "operations", "operations", path, errors);
    for (index, operation) in operations.iter().enumerate() {
        if !OPERATIONS.contains(operation) {
            errors.push(at.index(index).not_supported(*operation, OPERATIONS));
        }
    }
    star_alone(rule, "apiGroups", "API groups", path, errors);
    star_alone(rule, "apiVersions", "API versions", path, errors);
    for (index, version) in texts(rule, "apiVersions").iter().enumerate() {
        if version.is_empty() {
            errors.push(path.child("apiVersions").index(index).required(""));
        }
    }
    resources(rule, &path.child("resources"), errors);
    choice(rule, "scope", SCOPES, path, errors);
}

fn star_alone(rule: &Value, key: &str, words: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let (all, at) = (texts(rule, key), path.child(key));
    if all.is_empty() {
        errors.push(at.required(""));
    }
    if all.len() > 1 && all.contains(&"*") {
        let detail = format!("if '*' is present, must not specify other {words}");
        errors.push(at.invalid(rule[key].clone(), detail));
    }
}

fn resources(rule: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let all = texts(rule, "resources");
    if all.is_empty() {
        errors.push(path.required(""));
    }
    let (mut whole, mut every) = (BTreeSet::new(), BTreeSet::new());
    let mut last_is_plain = false;
    for (index, found) in all.iter().enumerate() {
        let at = path.index(index);
        if found.is_empty() {
            errors.push(at.required(""));
            continue;
        }
        let Some((resource, sub)) = found.split_once('/') else {
            last_is_plain = *found != "*";
            continue;
        };
        if whole.contains(resource) {
            let detail = format!("if '{resource}/*' is present, must not specify {found}");
            errors.push(at.invalid(*found, detail));
        }
        if every.contains(sub) {
            errors.push(at.invalid(*found, format!("if '*/{sub}' is present, must not specify {found}")));
        }
        if sub == "*" {
            whole.insert(resource);
        }
        if resource == "*" {
            every.insert(sub);
        }
    }
    if all.len() > 1 && all.contains(&"*/*") {
        let detail = "if '*/*' is present, must not specify other resources";
        errors.push(path.invalid(rule["resources"].clone(), detail));
    }
    if all.contains(&"*") && last_is_plain {
        let detail = "if '*' is present, must not specify other resources without subresources";
        errors.push(path.invalid(rule["resources"].clone(), detail));
    }
}

/// `matchConstraints` of a policy, `matchResources` of a binding.
pub(super) fn match_resources(found: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if !found.is_object() {
        return;
    }
    required_choice(found, "matchPolicy", MATCH_POLICIES, path, errors);
    for key in ["namespaceSelector", "objectSelector"] {
        match found.get(key) {
            Some(selector) => label_selector::validate(selector, &path.child(key), errors),
            None => errors.push(path.child(key).required("")),
        }
    }
    for key in ["resourceRules", "excludeResourceRules"] {
        for (index, named) in list(found, key).iter().enumerate() {
            let path = path.child(key).index(index);
            let mut seen = BTreeSet::new();
            for (index, name) in texts(named, "resourceNames").into_iter().enumerate() {
                let at = path.child("resourceNames").index(index);
                at.each(name, names::path_segment(name), errors);
                if !seen.insert(name) {
                    errors.push(at.duplicate(name));
                }
            }
            rule(named, &path, errors);
        }
    }
}

/// Rules of a policy that mutates: nothing can be changed about a deletion.
pub(super) fn mutable_operations(found: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("resourceRules").child("operations");
    let operations = list(found, "resourceRules").iter().flat_map(|rule| texts(rule, "operations"));
    let wrong = operations.filter(|operation| !MUTABLE_OPERATIONS.contains(operation));
    errors.extend(wrong.map(|operation| at.not_supported(operation, MUTABLE_OPERATIONS)));
}

/// Conditions that narrow what a webhook or policy is asked about.
pub(super) fn match_conditions(owner: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (conditions, path) = (list(owner, "matchConditions"), path.child("matchConditions"));
    if conditions.len() > CONDITIONS_MAX {
        errors.push(path.too_many(conditions.len(), CONDITIONS_MAX));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        expression(condition, "expression", "", &path, errors);
        let (name, at) = (text(condition, "name"), path.child("name"));
        if name.is_empty() {
            errors.push(at.required(""));
            continue;
        }
        at.each(name, names::qualified_name(name), errors);
        if !seen.insert(name) {
            errors.push(at.duplicate(name));
        }
    }
}

/// An expression that must be there.
pub(super) fn expression(owner: &Value, key: &str, detail: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if text(owner, key).trim().is_empty() {
        errors.push(path.child(key).required(detail));
    }
}

/// Kind of the objects that parametrize a policy.
pub(super) fn param_kind(kind: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (found, at) = (text(kind, "apiVersion"), path.child("apiVersion"));
    match found.split('/').collect::<Vec<_>>().as_slice() {
        [""] => errors.push(at.required("")),
        [version] => label_1035(version, version, &at, errors),
        [group, ""] => {
            group_name(group, &at, errors);
            errors.push(at.invalid(found, "version must be specified"));
        }
        [group, version] => {
            group_name(group, &at, errors);
            label_1035(version, version, &at, errors);
        }
        _ => errors.push(at.invalid(found, format!("unexpected GroupVersion string: {found}"))),
    }
    let (found, at) = (text(kind, "kind"), path.child("kind"));
    let wrong = names::dns1035_label(&found.to_lowercase());
    if found.is_empty() {
        errors.push(at.required(""));
    } else if !wrong.is_empty() {
        let detail = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.push(at.invalid(found, detail));
    }
}

fn group_name(group: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let wrong = names::dns1123_subdomain(group);
    if !group.is_empty() && !wrong.is_empty() {
        errors.push(path.invalid(group, wrong.join(",")));
    }
}

fn label_1035(text: &str, shown: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let wrong = names::dns1035_label(text);
    if !wrong.is_empty() {
        errors.push(path.invalid(shown, wrong.join(",")));
    }
}

/// Name of a policy, and the parameters a binding gives it.
pub(super) fn policy_reference(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let (name, at) = (text(spec, "policyName"), path.child("policyName"));
    if name.is_empty() {
        errors.push(at.required(""));
    } else {
        at.each(name, names::dns1123_subdomain(name), errors);
    }
    let Some(parameters) = spec.get("paramRef") else { return };
    let path = path.child("paramRef");
    let (name, selector) = (text(parameters, "name"), parameters.get("selector"));
    let both = "name and selector are mutually exclusive";
    if !name.is_empty() {
        path.child("name").each(name, names::path_segment(name), errors);
        if selector.is_some() {
            errors.push(path.child("name").forbidden(both));
        }
    }
    match selector {
        Some(selector) => {
            label_selector::validate(selector, &path.child("selector"), errors);
            if !name.is_empty() {
                errors.push(path.child("selector").forbidden(both));
            }
        }
        None if name.is_empty() => errors.push(path.required("one of name or selector must be specified")),
        None => {}
    }
    required_choice(parameters, "parameterNotFoundAction", NOT_FOUND_ACTIONS, &path, errors);
}

/// A variable of a policy.
pub(super) fn variables(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (index, variable) in list(spec, "variables").iter().enumerate() {
        let path = path.child("variables").index(index);
        let (name, at) = (text(variable, "name"), path.child("name"));
        if name.trim().is_empty() {
            errors.push(at.required("name is not specified"));
        } else if !names::is_cel_identifier(name) {
            errors.push(at.invalid(name, "name is not a valid CEL identifier"));
        }
        expression(variable, "expression", "expression is not specified", &path, errors);
    }
}

/// What the specifications of both kinds of policy begin with.
pub(super) fn policy(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    required_choice(spec, "failurePolicy", FAILURE_POLICIES, path, errors);
    if let Some(kind) = spec.get("paramKind") {
        param_kind(kind, &path.child("paramKind"), errors);
    }
    let at = path.child("matchConstraints");
    match spec.get("matchConstraints") {
        None => errors.push(at.required("")),
        Some(constraints) => {
            match_resources(constraints, &at, errors);
            if list(constraints, "resourceRules").is_empty() {
                errors.push(at.child("resourceRules").required(""));
            }
        }
    }
}
