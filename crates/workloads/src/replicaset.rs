//! `ReplicaSet`: keeps as many pods of one template as it was told.
//!
//! Contract: `decide` sees the pods that match the selector or that the `ReplicaSet` controls; it adopts and releases, creates
//! what is missing (at most [`BURST`] a pass, in batches that double), deletes what is too many in the order of
//! `ranking`, and reports. It never rolls out anything; that is the Deployment's business.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition, ReplicaSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};

use crate::action::{
    Action, EventNote, FailedAction, Failure, POD, Plan, REPLICA_SET, reference, with_header,
};
use crate::claim::Claimant;
use crate::pods::{available_at, is_active, is_available, is_deleting, is_ready, is_terminal, name, stamp};
use crate::ranking::deletion_order;
use crate::selector;
use crate::template::{self, naming};

/// Most pods created or deleted in one pass.
pub const BURST: usize = 500;

/// What the controller sees.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The `ReplicaSet` itself.
    pub replica_set: Arc<ReplicaSet>,
    /// Pods of its namespace that it controls, or that have no controller.
    pub pods: Vec<Arc<Pod>>,
    /// What went wrong last time.
    pub failure: Option<Failure>,
    /// Drawn for this pass; names come from it.
    pub seed: u64,
}

/// Decides one pass.
pub fn decide(observed: &Observed, now: Timestamp) -> Plan {
    let set = observed.replica_set.as_ref();
    let spec = &set.spec;
    let mut plan = Plan::nothing();
    if selector::is_empty(&spec.selector) {
        return plan;
    }
    let claimant = Claimant { resource: &REPLICA_SET, meta: &set.metadata, selector: &spec.selector };
    let owned = claimant.claim(&POD, &observed.pods, |pod| &pod.metadata, &mut plan);
    let active: Vec<Arc<Pod>> =
        owned.iter().filter(|pod| is_active(pod)).map(|pod| Arc::clone(pod)).collect();
    let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or_default();

    let doomed = if is_deleting(&set.metadata) { Vec::new() } else { doomed(&active, wanted) };
    let mut staying = active.clone();
    staying.retain(|pod| !doomed.iter().any(|gone| Arc::ptr_eq(gone, pod)));
    let status = status(set, &owned, &staying, observed.failure.as_ref(), now);
    let changed = set.status.as_ref() != Some(&status);
    let report = changed.then(|| {
        let updated = ReplicaSet { status: Some(status.clone()), ..set.clone() };
        Action::UpdateStatus { resource: REPLICA_SET, object: with_header(&REPLICA_SET, &updated) }
    });
    // A refusal must become visible even when the next try is refused as well; and pods about to go must not be reported as
    // available for a moment longer, or a Deployment would take others away on the strength of them.
    let report_first = observed.failure.is_some() || !doomed.is_empty();
    let (first, last) = if report_first { (report, None) } else { (None, report) };
    plan.actions.extend(first);
    if !is_deleting(&set.metadata) {
        create(set, wanted.saturating_sub(active.len()), observed.seed, &mut plan);
        delete(set, &doomed, &mut plan);
    }
    plan.actions.extend(last);

    let min_ready = spec.min_ready_seconds.unwrap_or_default();
    for at in active.iter().filter_map(|pod| available_at(pod, min_ready)).filter(|at| *at > now) {
        plan.requeue(at);
    }
    plan
}

/// The pods that are too many, at most [`BURST`].
fn doomed(active: &[Arc<Pod>], wanted: usize) -> Vec<Arc<Pod>> {
    let surplus = active.len().saturating_sub(wanted).min(BURST);
    let mut order = if surplus == 0 { Vec::new() } else { deletion_order(active) };
    order.truncate(surplus);
    order
}

fn create(set: &ReplicaSet, missing: usize, seed: u64, plan: &mut Plan) {
    if missing == 0 {
        return;
    }
    let template = pod_template(set);
    let naming = naming(&set.metadata, seed);
    let objects = (0..missing.min(BURST))
        .map(|index| {
            let pod = template::pod(&template, &REPLICA_SET, &set.metadata, &naming, index);
            let note = EventNote::normal("SuccessfulCreate", format!("Created pod: {}", name(&pod.metadata)));
            (with_header(&POD, &pod), note)
        })
        .collect();
    let regarding = Box::new(reference(&REPLICA_SET, &set.metadata));
    plan.actions.push(Action::CreateBatch { resource: POD, objects, regarding });
}

fn delete(set: &ReplicaSet, doomed: &[Arc<Pod>], plan: &mut Plan) {
    for pod in doomed {
        plan.delete(&POD, &pod.metadata, None);
    }
    for pod in doomed {
        let message = format!("Deleted pod: {}", name(&pod.metadata));
        let about = reference(&REPLICA_SET, &set.metadata);
        plan.event(about, EventNote::normal("SuccessfulDelete", message));
    }
}

fn pod_template(set: &ReplicaSet) -> PodTemplateSpec {
    set.spec.template.clone().unwrap_or_default()
}

fn status(
    set: &ReplicaSet,
    owned: &[&Arc<Pod>],
    active: &[Arc<Pod>],
    failure: Option<&Failure>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let min_ready = set.spec.min_ready_seconds.unwrap_or_default();
    let template = set.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
    let template_labels = template.and_then(|meta| meta.labels.clone()).unwrap_or_default();
    let fully_labeled = |pod: &&Arc<Pod>| {
        let labels = pod.metadata.labels.as_ref();
        template_labels.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    };
    let terminating = owned.iter().filter(|pod| is_deleting(&pod.metadata) && !is_terminal(pod)).count();
    ReplicaSetStatus {
        replicas: count(active.len()),
        fully_labeled_replicas: shown(count(active.iter().filter(fully_labeled).count())),
        ready_replicas: shown(count(active.iter().filter(|pod| is_ready(pod)).count())),
        available_replicas: shown(count(
            active.iter().filter(|pod| is_available(pod, min_ready, now)).count(),
        )),
        terminating_replicas: Some(count(terminating)),
        observed_generation: set.metadata.generation,
        conditions: conditions(set, failure, now),
    }
}

/// `ReplicaFailure` says what refused the last try and disappears when a try went well.
fn conditions(
    set: &ReplicaSet,
    failure: Option<&Failure>,
    now: Timestamp,
) -> Option<Vec<ReplicaSetCondition>> {
    let old = set.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let is_failure = |condition: &&ReplicaSetCondition| condition.type_.as_deref() == Some("ReplicaFailure");
    let mut kept: Vec<_> = old.iter().filter(|condition| !is_failure(condition)).cloned().collect();
    let reason = failure.and_then(|failure| match failure.action {
        FailedAction::Create => Some(("FailedCreate", &failure.message)),
        FailedAction::Delete => Some(("FailedDelete", &failure.message)),
        FailedAction::Write => None,
    });
    if let Some((reason, message)) = reason {
        let same =
            old.iter().filter(is_failure).find(|condition| condition.reason.as_deref() == Some(reason));
        kept.push(ReplicaSetCondition {
            type_: Some("ReplicaFailure".to_owned()),
            status: Some("True".to_owned()),
            reason: Some(reason.to_owned()),
            message: Some(message.clone()),
            last_transition_time: same
                .and_then(|condition| condition.last_transition_time.clone())
                .or_else(|| Some(stamp(now))),
        });
    }
    (!kept.is_empty()).then_some(kept)
}

/// Counts in the API are 32-bit.
pub(crate) fn count(pods: usize) -> i32 {
    i32::try_from(pods).unwrap_or(i32::MAX)
}

/// The API leaves out counts that are zero; so do we, or every comparison with what it stores would differ.
pub(crate) fn shown(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}

#[cfg(test)]
mod tests;
