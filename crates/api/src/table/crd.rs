//! `CustomResourceDefinitions` in tables. Custom objects are printed by [`crate::crd`].

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, NAME, name, text};
use crate::crd::is_established;

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("Scope", "string", "Cluster/Namespaced"),
    Column::new("Versions", "string", "Served versions"),
    Column::new("Created At", "date", "When the object was created."),
    Column::wide("Group", "string", "API group"),
    Column::wide("Kind", "string", "CustomResource kind"),
    Column::wide("ShortNames", "string", "Short names"),
    Column::wide("Established", "boolean", "Established status"),
];

fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The served versions, sorted.
fn versions(object: &Value) -> String {
    let is = |version: &Value, key: &str| version.get(key) == Some(&Value::Bool(true));
    let mut names: Vec<String> = list(object, "/spec/versions")
        .iter()
        .filter(|version| is(version, "served"))
        .map(|version| {
            let mark = if is(version, "storage") { "(storage)" } else { "" };
            format!("{}{mark}", text(version, "/name"))
        })
        .collect();
    names.sort();
    names.join(",")
}

pub(crate) fn cells(object: &Value, _now: Timestamp) -> Vec<Value> {
    let short: Vec<&str> = list(object, "/spec/names/shortNames").iter().filter_map(Value::as_str).collect();
    vec![
        name(object),
        json!(text(object, "/spec/scope")),
        json!(versions(object)),
        json!(text(object, "/metadata/creationTimestamp")),
        json!(text(object, "/spec/group")),
        json!(text(object, "/spec/names/kind")),
        json!(short.join(",")),
        json!(is_established(object)),
    ]
}
