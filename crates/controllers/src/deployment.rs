//! Deployments: gathers the `ReplicaSets` (and, for Recreate, the pods) that the decision looks at.

use std::sync::Arc;

use futures::future::BoxFuture;
use konzert_workloads::Plan;
use konzert_workloads::deployment::{Observed, decide};
use konzert_workloads::pods::{controller_of, is_controlled_by};

use crate::controller::{Attempt, Controller, ready};
use crate::world::World;

/// Keys are namespace and name of a Deployment.
pub(crate) struct Deployments(pub(crate) Arc<World>);

impl Controller for Deployments {
    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn plan<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        attempt: Attempt,
    ) -> BoxFuture<'a, Result<Plan, kube::Error>> {
        let Some(deployment) = self.0.deployments.get(namespace, name) else { return ready(Plan::nothing()) };
        let uid = deployment.metadata.uid.clone().unwrap_or_default();
        let prefix = format!("{name}-");
        let mut replica_sets = self.0.replica_sets.in_namespace(namespace);
        replica_sets.retain(|set| {
            let meta = &set.metadata;
            let takes_our_name = meta.name.as_ref().is_some_and(|name| name.starts_with(&prefix));
            is_controlled_by(meta, &uid) || controller_of(meta).is_none() || takes_our_name
        });
        let strategy = deployment.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref());
        let pods = if strategy == Some("Recreate") {
            let owned = replica_sets.iter().filter(|set| is_controlled_by(&set.metadata, &uid));
            let uids = owned.filter_map(|set| set.metadata.uid.as_deref());
            uids.flat_map(|uid| self.0.pods.controlled_by(namespace, uid)).collect()
        } else {
            Vec::new()
        };
        let observed = Observed { deployment, replica_sets, pods, failure: attempt.failure };
        ready(decide(&observed, attempt.now))
    }
}
