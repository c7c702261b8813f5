//! The decision: filter, score, choose.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::Pod;

use crate::demand::Demand;
use crate::filters::{Candidate, refuse};
use crate::interpod::Neighbours;
use crate::score::best;
use crate::snapshot::Snapshot;

/// Where a pod goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// To this node.
    Node(String),
    /// Nowhere, for these reasons.
    Unschedulable(Refusals),
}

/// Why no node will do. Displays as Kubernetes words it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// How many nodes there are.
    pub nodes: usize,
    /// How many nodes gave each reason; one node may give several.
    pub reasons: BTreeMap<String, usize>,
}

impl fmt::Display for Refusals {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes == 0 {
            return out.write_str("no nodes available to schedule pods");
        }
        let mut lines: Vec<String> =
            self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        lines.sort();
        write!(out, "0/{} nodes are available: {}.", self.nodes, lines.join(", "))
    }
}

/// Finds a node for the pod. The snapshot must not contain the pod itself.
pub fn place(snapshot: &Snapshot, pod: &Pod) -> Placement {
    let demand = Demand::of(pod);
    let neighbours = Neighbours::of(pod, snapshot);
    let candidate = Candidate { pod, demand: &demand, neighbours: &neighbours };
    let mut refusals = Refusals { nodes: snapshot.nodes().len(), ..Refusals::default() };
    let mut fitting = Vec::new();
    for node in snapshot.nodes() {
        let reasons = refuse(&candidate, node);
        if reasons.is_empty() {
            fitting.push(node);
        }
        for reason in reasons {
            *refusals.reasons.entry(reason).or_default() += 1;
        }
    }
    match best(pod, &demand, &fitting) {
        Some(node) => Placement::Node(node.name.clone()),
        None => Placement::Unschedulable(refusals),
    }
}

#[cfg(test)]
mod tests;
