//! The nodes as the scheduler sees them, kept up to date one change at a time.
//!
//! Invariant: `used` of a node is the sum of the demands of the pods entered on it; entering a pod twice counts it once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Taint};

use crate::demand::{Amounts, Demand, HostPort};

/// Name of the resource that limits the number of pods.
pub(crate) const PODS: &str = "pods";

/// One node.
#[derive(Clone, Debug, Default)]
pub struct NodeState {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its taints.
    pub taints: Vec<Taint>,
    /// Closed for new pods.
    pub unschedulable: bool,
    /// What it can give.
    pub allocatable: Amounts,
    pub(crate) used: Amounts,
    pub(crate) weight: Amounts,
    pub(crate) pods: HashMap<String, Arc<Placed>>,
}

/// A pod on a node.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) pod: Arc<Pod>,
    pub(crate) demand: Demand,
}

impl NodeState {
    fn describe(&mut self, node: &Node) {
        let spec = node.spec.as_ref();
        self.name = node.metadata.name.clone().unwrap_or_default();
        self.labels = node.metadata.labels.clone().unwrap_or_default();
        self.taints = spec.and_then(|spec| spec.taints.clone()).unwrap_or_default();
        self.unschedulable = spec.and_then(|spec| spec.unschedulable) == Some(true);
        let status = node.status.as_ref();
        let allocatable = status.and_then(|status| status.allocatable.as_ref().or(status.capacity.as_ref()));
        self.allocatable = Amounts::read(allocatable);
    }

    /// Requests of the pods on it.
    pub fn used(&self) -> &Amounts {
        &self.used
    }

    /// How many pods are on it.
    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    pub(crate) fn takes_port(&self, wanted: &HostPort) -> bool {
        self.pods.values().any(|placed| placed.demand.ports.iter().any(|port| port.conflicts(wanted)))
    }
}

/// All nodes, and which pod is where.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    nodes: BTreeMap<String, NodeState>,
    /// Node by pod UID. Names nodes that are not (or no longer) known as well.
    homes: HashMap<String, String>,
    /// Pods on nodes that are not known yet.
    strays: HashMap<String, Arc<Pod>>,
}

impl Snapshot {
    /// Enters a node or what changed about it.
    pub fn set_node(&mut self, node: &Node) {
        let name = node.metadata.name.clone().unwrap_or_default();
        let fresh = !self.nodes.contains_key(&name);
        self.nodes.entry(name.clone()).or_default().describe(node);
        if fresh {
            let waiting: Vec<Arc<Pod>> = self
                .strays
                .iter()
                .filter(|(uid, _)| self.homes.get(*uid) == Some(&name))
                .map(|(_, pod)| Arc::clone(pod))
                .collect();
            for pod in waiting {
                self.set_pod(&name, &pod);
            }
        }
    }

    /// Takes a node out. Its pods are remembered in case it comes back.
    pub fn remove_node(&mut self, name: &str) {
        if let Some(node) = self.nodes.remove(name) {
            self.strays.extend(node.pods.into_iter().map(|(uid, placed)| (uid, Arc::clone(&placed.pod))));
        }
    }

    /// Enters a pod on a node (or what changed about it).
    pub fn set_pod(&mut self, node: &str, pod: &Arc<Pod>) {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.remove_pod(&uid);
        self.homes.insert(uid.clone(), node.to_owned());
        let Some(state) = self.nodes.get_mut(node) else {
            self.strays.insert(uid, Arc::clone(pod));
            return;
        };
        let demand = Demand::of(pod);
        state.used.add(&demand.requests);
        state.weight.add(&demand.weight);
        state.pods.insert(uid, Arc::new(Placed { pod: Arc::clone(pod), demand }));
    }

    /// Takes a pod out, wherever it is; true when it was somewhere.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        self.strays.remove(uid);
        let Some(home) = self.homes.remove(uid) else { return false };
        if let Some(state) = self.nodes.get_mut(&home)
            && let Some(placed) = state.pods.remove(uid)
        {
            state.used.subtract(&placed.demand.requests);
            state.weight.subtract(&placed.demand.weight);
        }
        true
    }

    /// The node a pod was entered on.
    pub fn home(&self, uid: &str) -> Option<&str> {
        self.homes.get(uid).map(String::as_str)
    }

    /// All nodes, by name.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &NodeState> {
        self.nodes.values()
    }

    /// One node.
    pub fn node(&self, name: &str) -> Option<&NodeState> {
        self.nodes.get(name)
    }
}
