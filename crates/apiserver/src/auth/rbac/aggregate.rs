//! Aggregated `ClusterRoles`: their rules are those of all roles that their selectors choose.

use konzert_api::meta;
use konzert_api::selector::LabelSelector;
use serde_json::Value;

/// The rules that an aggregated role should have, given all `ClusterRoles` ordered by name; `None` when it is not an
/// aggregated role, or one whose rules are right already.
pub(crate) fn due(role: &Value, all: &[Value]) -> Option<Value> {
    let selectors = role.pointer("/aggregationRule/clusterRoleSelectors")?.as_array()?;
    let mut rules: Vec<&Value> = Vec::new();
    for selector in selectors.iter().filter_map(|s| LabelSelector::from_json(s).ok()) {
        for other in all {
            if meta::name(other) == meta::name(role) || !selector.matches_object(other) {
                continue;
            }
            for rule in other.get("rules").and_then(Value::as_array).into_iter().flatten() {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    let present = role.get("rules").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let same = present.len() == rules.len() && present.iter().zip(&rules).all(|(a, b)| a == *b);
    (!same).then(|| Value::Array(rules.into_iter().cloned().collect()))
}

/// Brings all aggregated roles of a list up to date; roles may aggregate aggregated roles.
pub(crate) fn settle(roles: &mut [Value]) {
    // A chain cannot be longer than the list; a circle ends because rules are only ever added.
    for _ in 0..roles.len() {
        let mut changed = false;
        for index in 0..roles.len() {
            if let Some(rules) = due(&roles[index], roles) {
                roles[index]["rules"] = rules;
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}
