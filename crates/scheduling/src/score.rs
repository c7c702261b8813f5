//! Which of the nodes that will do is best.
//!
//! Weights follow the default profile: soft taints 3, preferred node affinity 2, free share of cpu and memory 1. Ties go to
//! fewer pods, then to the name, so that the same input gives the same node.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;

use crate::affinity;
use crate::demand::{CPU, Demand, MEMORY};
use crate::filters::{tolerates_all, tolerations};
use crate::snapshot::NodeState;

/// The best of the nodes; `None` when there is none.
pub(crate) fn best<'n>(pod: &Pod, demand: &Demand, nodes: &[&'n NodeState]) -> Option<&'n NodeState> {
    let preferences: Vec<i64> = nodes.iter().map(|node| affinity::preference(pod, node)).collect();
    let soft: Vec<i64> = nodes.iter().map(|node| soft_taints(pod, node)).collect();
    let most_preferred = preferences.iter().max().copied().unwrap_or_default();
    let most_soft = soft.iter().max().copied().unwrap_or_default();
    let scored = nodes.iter().enumerate().map(|(index, node)| {
        let preference = share(preferences[index], most_preferred);
        let taints = if most_soft == 0 { 100 } else { 100 - share(soft[index], most_soft) };
        (free_share(demand, node) + 2 * preference + 3 * taints, *node)
    });
    scored
        .max_by_key(|(score, node)| (*score, Reverse(node.pods.len()), Reverse(node.name.clone())))
        .map(|(_, node)| node)
}

fn share(part: i64, whole: i64) -> i64 {
    if whole <= 0 { 0 } else { part.saturating_mul(100) / whole }
}

/// The mean of the free shares of cpu and memory after the pod, in percent.
fn free_share(demand: &Demand, node: &NodeState) -> i64 {
    let free = |name: &str| {
        let capacity = node.allocatable.get(name);
        let taken = node.weight.get(name).saturating_add(demand.weight.get(name));
        share(capacity.saturating_sub(taken).max(0), capacity)
    };
    i64::midpoint(free(CPU), free(MEMORY))
}

fn soft_taints(pod: &Pod, node: &NodeState) -> i64 {
    let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
    let bothering = soft.filter(|taint| !tolerates_all(tolerations(pod), taint)).count();
    i64::try_from(bothering).unwrap_or(i64::MAX)
}
