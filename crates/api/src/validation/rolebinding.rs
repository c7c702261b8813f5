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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Catalogue;

    fn lines(kind: &str, change: impl FnOnce(&mut Value)) -> String {
        let mut binding = json!({
            "metadata": { "name": "x:y", "namespace": "n" },
            "roleRef": { "kind": "ClusterRole", "name": "view" }, "subjects": [{ "kind": "User", "name": "a" }],
        });
        if kind == "ClusterRoleBinding" {
            binding["metadata"] = json!({ "name": "x:y" });
        }
        change(&mut binding);
        let kind = Catalogue::builtin().by_kind(GROUP, "v1", kind).unwrap();
        kind.default(&mut binding);
        kind.validate(&binding).iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn subjects_and_roles() {
        assert_eq!(lines("RoleBinding", |_| {}), "");
        assert_eq!(lines("ClusterRoleBinding", |_| {}), "");
        assert_eq!(lines("RoleBinding", |b| b["roleRef"]["kind"] = json!("Role")), "");
        for (change, want) in [
            (
                json!({ "roleRef": { "kind": "Role", "name": "a" } }),
                r#"roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole""#,
            ),
            (json!({ "roleRef": { "kind": "ClusterRole" } }), "roleRef.name: Required value"),
            (
                json!({ "roleRef": { "kind": "ClusterRole", "name": "a/b" } }),
                r#"roleRef.name: Invalid value: "a/b": may not contain '/'"#,
            ),
            (
                json!({ "subjects": [{ "kind": "ServiceAccount", "name": "a" }] }),
                "subjects[0].namespace: Required value",
            ),
            (json!({ "subjects": [{ "kind": "User" }] }), "subjects[0].name: Required value"),
            (
                json!({ "subjects": [{ "kind": "Pod", "name": "a" }] }),
                r#"subjects[0].kind: Unsupported value: "Pod": supported values: "ServiceAccount", "User", "Group""#,
            ),
            (
                json!({ "subjects": [{ "kind": "Group", "name": "a", "apiGroup": "x" }] }),
                r#"subjects[0].apiGroup: Unsupported value: "x": supported values: "rbac.authorization.k8s.io""#,
            ),
        ] {
            let found = lines("ClusterRoleBinding", |b| {
                b.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            });
            assert_eq!(found, want);
        }
    }

    #[test]
    fn the_role_stays() {
        let old = json!({ "roleRef": { "apiGroup": GROUP, "kind": "Role", "name": "a" } });
        let new = json!({ "roleRef": { "apiGroup": GROUP, "kind": "Role", "name": "b" } });
        assert!(validate_update(&old, &old).is_empty());
        assert!(validate_update(&old, &new)[0].to_string().ends_with("cannot change roleRef"));
    }
}
