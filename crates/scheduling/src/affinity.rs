//! Node selectors and node affinity (core/v1 `NodeSelectorTerm`).

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Pod};

use crate::snapshot::NodeState;

/// Whether the node satisfies `nodeSelector` and the required node affinity.
pub(crate) fn admits(pod: &Pod, node: &NodeState) -> bool {
    let Some(spec) = &pod.spec else { return true };
    let selected =
        spec.node_selector.iter().flatten().all(|(key, value)| node.labels.get(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    // Terms are alternatives; a list without terms admits nobody.
    selected
        && required.is_none_or(|required| required.node_selector_terms.iter().any(|term| matches(term, node)))
}

/// The weights of the preferred terms that the node satisfies, summed.
pub(crate) fn preference(pod: &Pod, node: &NodeState) -> i64 {
    let affinity = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.node_affinity.as_ref());
    let preferred =
        affinity.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_ref());
    preferred
        .into_iter()
        .flatten()
        .filter(|term| matches(&term.preference, node))
        .map(|term| i64::from(term.weight))
        .sum()
}

/// All requirements of a term must hold; an empty term matches nothing.
fn matches(term: &NodeSelectorTerm, node: &NodeState) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let field = |key: &str| (key == "metadata.name").then_some(node.name.as_str());
    expressions
        .iter()
        .all(|requirement| holds(requirement, node.labels.get(&requirement.key).map(String::as_str)))
        && fields.iter().all(|requirement| holds(requirement, field(&requirement.key)))
}

fn holds(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |found: &str| values.iter().any(|value| value == found);
    let numbers = || Some((found?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => found.is_some_and(listed),
        "NotIn" => !found.is_some_and(listed),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => numbers().is_some_and(|(found, bound)| found > bound),
        "Lt" => numbers().is_some_and(|(found, bound)| found < bound),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn required_affinity_follows_the_table() {
        let node = NodeState {
            name: "a".to_owned(),
            labels: [("disk".to_owned(), "ssd".to_owned()), ("cores".to_owned(), "8".to_owned())].into(),
            ..NodeState::default()
        };
        let cases = [
            (json!([{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]), true),
            (json!([{"matchExpressions": [{"key": "disk", "operator": "NotIn", "values": ["ssd"]}]}]), false),
            (json!([{"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}]), true),
            (json!([{"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["4"]}]}]), true),
            (json!([{"matchExpressions": [{"key": "cores", "operator": "Lt", "values": ["8"]}]}]), false),
            (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]}]), true),
            (json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}]), false),
            (json!([{}]), false),
            (json!([]), false),
            (json!([{}, {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}]), true),
        ];
        for (terms, expected) in cases {
            let pod = json!({"metadata": {}, "spec": {"containers": [], "affinity": {"nodeAffinity":
                {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}});
            let pod: Pod = serde_json::from_value(pod).unwrap();
            assert_eq!(admits(&pod, &node), expected, "{terms}");
        }
    }
}
