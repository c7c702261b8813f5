//! Namespaces: held by `spec.finalizers`, and some may not go at all.

use jiff::Timestamp;
use konzert_api::{ApiError, GroupResource, meta};
use serde_json::{Value, json};

use super::{DEFAULT_DELETION, DeletionRules};

/// Without these the engine cannot work.
const PROTECTED: &[&str] = &["default", "kube-system", "kube-public"];

pub(super) const DELETION: DeletionRules = DeletionRules { holds, may_delete, mark, ..DEFAULT_DELETION };

fn holds(namespace: &Value) -> bool {
    namespace.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

fn may_delete(namespace: &Value) -> Result<(), ApiError> {
    let name = meta::name(namespace);
    if PROTECTED.contains(&name) {
        let resource = GroupResource::new("", "namespaces");
        return Err(ApiError::forbidden(&resource, name, "this namespace may not be deleted"));
    }
    Ok(())
}

fn mark(namespace: &mut Value, _now: Timestamp) {
    if !namespace["status"].is_object() {
        namespace["status"] = json!({});
    }
    namespace["status"]["phase"] = json!("Terminating");
}
