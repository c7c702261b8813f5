//! Jobs: gathers the pods that the decision looks at, and frees pods whose Job is gone.

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Pod;
use konzert_workloads::Plan;
use konzert_workloads::job::{Observed, decide, release_pods};
use konzert_workloads::pods::controller_of;

use crate::controller::{Attempt, Controller, ready};
use crate::world::World;

/// Keys are namespace and name of a Job.
pub(crate) struct Jobs(pub(crate) Arc<World>);

impl Controller for Jobs {
    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn plan<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        attempt: Attempt,
    ) -> BoxFuture<'a, Result<Plan, kube::Error>> {
        let job = self.0.jobs.get(namespace, name);
        let uid = job.as_ref().and_then(|job| job.metadata.uid.clone());
        let mut plan = release_pods(&self.left_behind(namespace, name, uid.as_deref()));
        let Some(job) = job else { return ready(plan) };
        let mut pods = self.0.pods.controlled_by(namespace, uid.as_deref().unwrap_or_default());
        pods.extend(self.0.pods.controlled_by(namespace, ""));
        let observed = Observed { job, pods, failure: attempt.failure, seed: attempt.seed };
        let decided = decide(&observed, attempt.now);
        plan.actions.extend(decided.actions);
        plan.requeue_at = decided.requeue_at;
        ready(plan)
    }
}

impl Jobs {
    /// Pods of an earlier Job of this name, which nobody else will free of the finalizer.
    fn left_behind(&self, namespace: &str, name: &str, present: Option<&str>) -> Vec<Arc<Pod>> {
        let mut pods = self.0.pods.in_namespace(namespace);
        pods.retain(|pod| {
            controller_of(&pod.metadata).is_some_and(|owner| {
                owner.kind == "Job" && owner.name == name && Some(owner.uid.as_str()) != present
            })
        });
        pods
    }
}
