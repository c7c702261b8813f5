//! Defaults of `RoleBindings` and `ClusterRoleBindings`: the API groups of roles and subjects.

use serde_json::Value;

use super::{object, objects, set, text};

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn apply(binding: &mut Value) {
    let Some(map) = binding.as_object_mut() else { return };
    if let Some(role) = object(map, "roleRef")
        && text(role, "apiGroup").is_empty()
    {
        role.insert("apiGroup".to_owned(), GROUP.into());
    }
    for subject in objects(map, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            set(subject, "apiGroup", GROUP);
        }
    }
}
