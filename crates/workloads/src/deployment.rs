//! Deployment: rolls a set of pods from one template to the next by moving replicas between `ReplicaSets`.
//!
//! Contract: `decide` sees the `ReplicaSets` and (for Recreate) the pods of the namespace. One `ReplicaSet` per template; the one
//! whose template equals the Deployment's is the new one, whatever its age, so going back to an earlier template takes the
//! old `ReplicaSet` into use again under a new revision number.
//!
//! Invariants of a rolling update (a simulation in the tests holds them): at no time fewer than `replicas - maxUnavailable`
//! available pods because of us, and never more than `replicas + maxSurge` replicas in all `ReplicaSets` together.
//!
//! Not done here: pods. Nothing in this file creates or deletes one.

mod history;
mod progress;
mod rollout;
mod scale;
mod sets;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

use crate::action::{Action, DEPLOYMENT, EventNote, Failure, Plan, REPLICA_SET, reference, with_header};
use crate::claim::Claimant;
use crate::pods::{is_deleting, stamp, uid};
use crate::selector;

use progress::Conditions;
use sets::Sets;

/// Annotation with the revision number, on the Deployment and its `ReplicaSets`.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
/// Label with the hash of the template, on `ReplicaSets` and their pods.
pub const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// What the controller sees.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Deployment itself.
    pub deployment: Arc<Deployment>,
    /// `ReplicaSets` of its namespace that it controls, or that have no controller, or whose name it would take.
    pub replica_sets: Vec<Arc<ReplicaSet>>,
    /// Pods controlled by those `ReplicaSets`.
    pub pods: Vec<Arc<Pod>>,
    /// What went wrong last time.
    pub failure: Option<Failure>,
}

/// Decides one pass.
pub fn decide(observed: &Observed, now: Timestamp) -> Plan {
    let deployment = observed.deployment.as_ref();
    let mut plan = Plan::nothing();
    if selector::is_empty(&deployment.spec.selector) {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        plan.event(reference(&DEPLOYMENT, &deployment.metadata), EventNote::warning("SelectingAll", message));
        return plan;
    }
    let claimant =
        Claimant { resource: &DEPLOYMENT, meta: &deployment.metadata, selector: &deployment.spec.selector };
    let owned = claimant.claim(&REPLICA_SET, &observed.replica_sets, |set| &set.metadata, &mut plan);
    if !plan.actions.is_empty() {
        // What we adopt must be ours before replicas move; the patch brings us back at once.
        return plan;
    }
    let owned: Vec<Arc<ReplicaSet>> = owned.into_iter().cloned().collect();
    let mut pass = Pass::new(deployment, Sets::sort(deployment, &owned), observed, now);
    if is_deleting(&deployment.metadata) {
        pass.report(&mut plan);
        return plan;
    }
    pass.move_replicas(&mut plan);
    pass.report(&mut plan);
    plan
}

/// One pass over one Deployment: what it works on and what it has decided so far.
pub(crate) struct Pass<'a> {
    pub(crate) deployment: &'a Deployment,
    pub(crate) sets: Sets,
    pub(crate) observed: &'a Observed,
    pub(crate) now: Timestamp,
    pub(crate) conditions: Conditions,
    pub(crate) collision_count: i32,
}

/// Whether a step moved replicas; if it did, later steps wait until the move is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// At least one `ReplicaSet` was created or scaled.
    Yes,
    /// Nothing to move.
    No,
}

impl<'a> Pass<'a> {
    fn new(deployment: &'a Deployment, sets: Sets, observed: &'a Observed, now: Timestamp) -> Self {
        let status = deployment.status.as_ref();
        Self {
            deployment,
            sets,
            observed,
            now,
            conditions: Conditions::of(deployment),
            collision_count: status.and_then(|status| status.collision_count).unwrap_or_default(),
        }
    }

    fn move_replicas(&mut self, plan: &mut Plan) {
        let paused = self.deployment.spec.paused == Some(true);
        self.conditions.note_pause(self.deployment, &stamp(self.now));
        if paused || self.is_scaling() {
            self.sync_new_set(plan);
            self.scale_all(plan);
            if paused {
                self.clean_up_history(plan);
            }
            return;
        }
        let moved = if self.recreates() { self.recreate(plan) } else { self.roll(plan) };
        if moved == Moved::No && self.is_complete() {
            self.clean_up_history(plan);
        }
    }

    /// The number of pods asked for.
    pub(crate) fn desired(&self) -> i32 {
        self.deployment.spec.replicas.unwrap_or(1)
    }

    pub(crate) fn recreates(&self) -> bool {
        let strategy = self.deployment.spec.strategy.as_ref();
        strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate")
    }

    /// Status last: it describes what was seen, and the writes before it bring the next pass.
    fn report(&mut self, plan: &mut Plan) {
        let status = self.status(plan);
        let deployment = self.deployment;
        if deployment.status.as_ref() != Some(&status) {
            let updated = Deployment { status: Some(status), ..deployment.clone() };
            let object = with_header(&DEPLOYMENT, &updated);
            plan.actions.push(Action::UpdateStatus { resource: DEPLOYMENT, object });
            return;
        }
        // The status write above and this patch would meet on one resourceVersion; this one waits for a quiet pass.
        if let Some(revision) = self.sets.revision_to_publish(deployment) {
            let value = json!(revision.to_string());
            let operation = if deployment.metadata.annotations.is_some() {
                json!({"op": "add", "path": "/metadata/annotations/deployment.kubernetes.io~1revision", "value": value})
            } else {
                json!({"op": "add", "path": "/metadata/annotations", "value": {REVISION: value}})
            };
            plan.patch(&DEPLOYMENT, &deployment.metadata, vec![operation]);
        }
    }

    /// Pods of one `ReplicaSet`.
    pub(crate) fn pods_of<'s>(&'s self, set: &'s ReplicaSet) -> impl Iterator<Item = &'s Arc<Pod>> {
        let owner = uid(&set.metadata).to_owned();
        self.observed.pods.iter().filter(move |pod| crate::pods::is_controlled_by(&pod.metadata, &owner))
    }
}

#[cfg(test)]
mod tests;
