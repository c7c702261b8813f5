//! `RoleBindings` and `ClusterRoleBindings` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Role", "string", "The role that is granted."),
    AGE,
    Column::wide("Users", "string", "Users that have the role."),
    Column::wide("Groups", "string", "Groups whose members have the role."),
    Column::wide("ServiceAccounts", "string", "Service accounts that have the role."),
];

pub(crate) fn cells(binding: &Value, now: Timestamp) -> Vec<Value> {
    let role = format!("{}/{}", text(binding, "/roleRef/kind"), text(binding, "/roleRef/name"));
    let subjects = |kind: &str| {
        let wanted = items(binding, "/subjects").filter(|s| text(s, "/kind") == kind);
        let shown = wanted.map(|s| match kind {
            "ServiceAccount" => format!("{}/{}", text(s, "/namespace"), text(s, "/name")),
            _ => text(s, "/name").to_owned(),
        });
        json!(shown.collect::<Vec<_>>().join(", "))
    };
    vec![
        name(binding),
        json!(role),
        age(binding, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}
