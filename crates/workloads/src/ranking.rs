//! Which pods go first when there are too many (the order of Kubernetes' `ActivePodsWithRanks`).
//!
//! Earlier in the order means deleted earlier: not assigned before assigned; Pending before Unknown before Running; not ready
//! before ready; lower `controller.kubernetes.io/pod-deletion-cost`; more siblings on the same node; ready for a shorter
//! time; more restarts; younger.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::pods::{created, name, phase, ready_since, restarts};

const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The pods in the order in which they may be deleted.
pub(crate) fn deletion_order(pods: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    let mut siblings: HashMap<&str, usize> = HashMap::new();
    for pod in pods {
        if let Some(node) = node(pod) {
            *siblings.entry(node).or_default() += 1;
        }
    }
    let mut order: Vec<Arc<Pod>> = pods.to_vec();
    order.sort_by_cached_key(|pod| {
        let ready = ready_since(pod);
        (
            node(pod).is_some(),
            phase_rank(pod),
            ready.is_some(),
            deletion_cost(pod),
            Reverse(node(pod).and_then(|node| siblings.get(node)).copied().unwrap_or_default()),
            Reverse(ready.unwrap_or(Timestamp::UNIX_EPOCH)),
            Reverse(restarts(pod)),
            Reverse(created(&pod.metadata)),
            name(&pod.metadata).to_owned(),
        )
    });
    order
}

fn node(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

fn phase_rank(pod: &Pod) -> u8 {
    match phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    }
}

fn deletion_cost(pod: &Pod) -> i32 {
    let text = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(DELETION_COST));
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}
