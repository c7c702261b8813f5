//! Defaults of `ValidatingAdmissionPolicies`, `MutatingAdmissionPolicies` and their bindings.

use serde_json::{Map, Value, json};

use super::{object, objects, set, spec_mut};

pub(crate) fn policy(policy: &mut Value) {
    let Some(spec) = spec_mut(policy) else { return };
    set(spec, "failurePolicy", "Fail");
    match_resources(object(spec, "matchConstraints"));
}

pub(crate) fn binding(binding: &mut Value) {
    let Some(spec) = spec_mut(binding) else { return };
    match_resources(object(spec, "matchResources"));
}

fn match_resources(found: Option<&mut Map<String, Value>>) {
    let Some(found) = found else { return };
    set(found, "matchPolicy", "Equivalent");
    set(found, "namespaceSelector", json!({}));
    set(found, "objectSelector", json!({}));
    for list in ["resourceRules", "excludeResourceRules"] {
        for rule in objects(found, list) {
            set(rule, "scope", "*");
        }
    }
}
