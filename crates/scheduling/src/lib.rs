//! Which node a pod goes to: a snapshot of the nodes and one pod in, a node or the reasons against all of them out.
//!
//! Filters and words follow the default profile of Kubernetes 1.37: unschedulable, taints, node selector and required node
//! affinity, host ports, resources, topology spread, inter-pod affinity; then the least allocated node wins, corrected by
//! preferred affinity and soft taints. Deliberately absent: preemption, volumes (there are none that bind to nodes), extenders.
//!
//! Invariant: placing a pod and entering it into the snapshot never exceeds what a node can give.
#![forbid(unsafe_code)]

mod affinity;
mod demand;
mod filters;
mod interpod;
mod place;
mod score;
mod snapshot;

pub use demand::{Amounts, Demand, HostPort};
pub use place::{Placement, Refusals, place};
pub use snapshot::{NodeState, Snapshot};
