//! Defaults of `NetworkPolicies`.

use serde_json::{Value, json};

use super::{objects, set, spec_mut};

pub(crate) fn apply(policy: &mut Value) {
    let Some(spec) = spec_mut(policy) else { return };
    for direction in ["ingress", "egress"] {
        for rule in objects(spec, direction) {
            for port in objects(rule, "ports") {
                set(port, "protocol", "TCP");
            }
        }
    }
    let filled = |key: &str| spec.get(key).and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    if filled("policyTypes") || spec.get("policyTypes").is_some_and(|types| !types.is_array()) {
        return;
    }
    let types = if filled("egress") { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    spec.insert("policyTypes".to_owned(), types);
}
