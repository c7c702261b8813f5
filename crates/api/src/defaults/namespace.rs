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
    let mut finalizers = match map.get("spec").and_then(|spec| spec.get("finalizers")) {
        Some(Value::Array(given)) => given.clone(),
        _ => Vec::new(),
    };
    if !finalizers.iter().any(|finalizer| finalizer == "kubernetes") {
        finalizers.push("kubernetes".into());
    }
    map.insert("spec".to_owned(), json!({ "finalizers": finalizers }));
    map.insert("status".to_owned(), json!({ "phase": "Active" }));
}

/// Finalizers of a namespace change through `/finalize` only.
pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    meta::copy_member(old, new, "spec");
}

/// A change through `/finalize`: everything but the finalizers stays.
pub(crate) fn only_finalizers(old: &Value, new: &mut Value) {
    let finalizers = new.pointer("/spec/finalizers").cloned();
    new.clone_from(old);
    if let Some(spec) = new.get_mut("spec").and_then(Value::as_object_mut) {
        match finalizers {
            Some(list) => spec.insert("finalizers".to_owned(), list),
            None => spec.remove("finalizers"),
        };
    }
}
