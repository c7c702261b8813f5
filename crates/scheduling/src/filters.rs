//! Reasons against a node. The first filter that objects speaks for the node, as in Kubernetes.

use k8s_openapi::api::core::v1::{Pod, Taint, Toleration};

use crate::affinity;
use crate::demand::Demand;
use crate::interpod::Neighbours;
use crate::snapshot::{NodeState, PODS};

/// What the filters need to know about the pod.
pub(crate) struct Candidate<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) demand: &'a Demand,
    pub(crate) neighbours: &'a Neighbours<'a>,
}

/// The reasons against the node; empty when it will do.
pub(crate) fn refuse(candidate: &Candidate<'_>, node: &NodeState) -> Vec<String> {
    let one = |reason: &str| vec![reason.to_owned()];
    let tolerations = tolerations(candidate.pod);
    if node.unschedulable && !tolerates_all(tolerations, &cordon()) {
        return one("node(s) were unschedulable");
    }
    let hard = node.taints.iter().filter(|taint| matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute"));
    if let Some(taint) = hard.into_iter().find(|taint| !tolerates_all(tolerations, taint)) {
        let value = taint.value.as_deref().unwrap_or_default();
        return vec![format!("node(s) had untolerated taint {{{}: {value}}}", taint.key)];
    }
    if !affinity::admits(candidate.pod, node) {
        return one("node(s) didn't match Pod's node affinity/selector");
    }
    if candidate.demand.ports.iter().any(|port| node.takes_port(port)) {
        return one("node(s) didn't have free ports for the requested pod ports");
    }
    let short = shortages(candidate.demand, node);
    if !short.is_empty() {
        return short;
    }
    candidate.neighbours.refuse(node).map(one).unwrap_or_default()
}

fn shortages(demand: &Demand, node: &NodeState) -> Vec<String> {
    let mut short = Vec::new();
    let most = usize::try_from(node.allocatable.get(PODS)).unwrap_or_default();
    if node.pods.len() + 1 > most {
        short.push("Too many pods".to_owned());
    }
    for (name, wanted) in demand.requests.iter().filter(|(_, wanted)| *wanted > 0) {
        let free = node.allocatable.get(name).saturating_sub(node.used.get(name));
        if wanted > free {
            short.push(format!("Insufficient {name}"));
        }
    }
    short
}

/// A closed node is a taint that a pod may tolerate.
fn cordon() -> Taint {
    Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    }
}

pub(crate) fn tolerations(pod: &Pod) -> &[Toleration] {
    pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default()
}

pub(crate) fn tolerates_all(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let set = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(str::to_owned);
    if set(&toleration.effect).is_some_and(|effect| effect != taint.effect) {
        return false;
    }
    let exists = toleration.operator.as_deref() == Some("Exists");
    match set(&toleration.key) {
        // No key with Exists tolerates everything; no key otherwise tolerates nothing.
        None => exists,
        Some(key) if key != taint.key => false,
        Some(_) if exists => true,
        Some(_) => compare(toleration, taint.value.as_deref().unwrap_or_default()),
    }
}

fn compare(toleration: &Toleration, found: &str) -> bool {
    let wanted = toleration.value.as_deref().unwrap_or_default();
    let numbers = || Some((found.parse::<i64>().ok()?, wanted.parse::<i64>().ok()?));
    match toleration.operator.as_deref().unwrap_or("Equal") {
        "" | "Equal" => wanted == found,
        "Gt" => numbers().is_some_and(|(found, wanted)| found > wanted),
        "Lt" => numbers().is_some_and(|(found, wanted)| found < wanted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn tolerations_follow_the_table() {
        let taint: Taint =
            serde_json::from_value(json!({"key": "a", "value": "1", "effect": "NoSchedule"})).unwrap();
        let cases = [
            (json!({"operator": "Exists"}), true),
            (json!({}), false),
            (json!({"key": "a", "operator": "Exists"}), true),
            (json!({"key": "a", "operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"key": "a", "value": "1"}), true),
            (json!({"key": "a", "value": "1", "effect": "NoSchedule"}), true),
            (json!({"key": "a", "value": "2"}), false),
            (json!({"key": "b", "operator": "Exists"}), false),
        ];
        for (toleration, expected) in cases {
            let parsed: Toleration = serde_json::from_value(toleration.clone()).unwrap();
            assert_eq!(tolerates(&parsed, &taint), expected, "{toleration}");
        }
    }
}
