//! `ReplicaSets`: gathers the pods that the decision looks at.

use std::sync::Arc;

use futures::future::BoxFuture;
use konzert_workloads::Plan;
use konzert_workloads::replicaset::{Observed, decide};

use crate::controller::{Attempt, Controller, ready};
use crate::world::World;

/// Keys are namespace and name of a `ReplicaSet`.
pub(crate) struct ReplicaSets(pub(crate) Arc<World>);

impl Controller for ReplicaSets {
    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn plan<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        attempt: Attempt,
    ) -> BoxFuture<'a, Result<Plan, kube::Error>> {
        let Some(replica_set) = self.0.replica_sets.get(namespace, name) else {
            return ready(Plan::nothing());
        };
        let uid = replica_set.metadata.uid.as_deref().unwrap_or_default();
        let mut pods = self.0.pods.controlled_by(namespace, uid);
        pods.extend(self.0.pods.controlled_by(namespace, ""));
        let observed = Observed { replica_set, pods, failure: attempt.failure, seed: attempt.seed };
        ready(decide(&observed, attempt.now))
    }
}
