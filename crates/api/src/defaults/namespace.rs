//! Defaults of Namespaces, and what the server keeps: phase and finalizers.

use serde_json::{Value, json};

use crate::catalogue::CreateFacts;
use crate::meta;

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

pub(crate) fn apply(namespace: &mut Value) {
    let name = meta::name(namespace).to_owned();
    if !name.is_empty() {
        meta::set_label(namespace, NAME_LABEL, &name);
    }
}

pub(crate) fn prepare_create(namespace: &mut Value, _facts: &CreateFacts) {
    let Some(map) = namespace.as_object_mut() else { return };
    map.insert("spec".to_owned(), json!({ "finalizers": ["kubernetes"] }));
    map.insert("status".to_owned(), json!({ "phase": "Active" }));
}

/// Finalizers of a namespace change through `/finalize` only.
pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    meta::copy_member(old, new, "spec");
}
