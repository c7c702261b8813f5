//! Job: runs pods of one template until enough of them have succeeded.
//!
//! Counting survives the pods. Every pod carries the finalizer [`TRACKING`]; a pod that has ended is first written into
//! `status.uncountedTerminatedPods`, then loses the finalizer, and only when that is visible does it move into the counters. A crash
//! between any two writes neither loses nor doubles a pod.
//!
//! Conditions come in two steps, as in Kubernetes since 1.31: `SuccessCriteriaMet` or `FailureTarget` when the outcome is known,
//! `Complete` or `Failed` when no pod runs any more.
//!
//! Not done here: `podFailurePolicy`, `successPolicy` and `backoffLimitPerIndex`; a Job with one of them fails and says so.
//! Jobs that name another `managedBy` are left
//! alone. The back-off between failed pods is read from the pods still present, so deleting failed pods shortens it.

mod accounting;
mod indexes;
mod outcome;
mod pods;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use crate::action::{Action, EventNote, Failure, JOB, POD, Plan, Propagation, reference, with_header};
use crate::claim::{Claimant, remove_finalizer};
use crate::pods::{after, is_deleting, stamp, uid};

use accounting::Ledger;
use outcome::Outcome;

/// Finalizer that keeps a pod until the Job has counted it.
pub const TRACKING: &str = "batch.kubernetes.io/job-tracking";
/// Label and annotation with the index of a pod of an Indexed Job.
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// The value of `spec.managedBy` that means us.
const OUR_NAME: &str = "kubernetes.io/job-controller";

/// What the controller sees.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The Job itself.
    pub job: Arc<Job>,
    /// Pods of its namespace that it controls, or that have no controller.
    pub pods: Vec<Arc<Pod>>,
    /// What went wrong last time.
    pub failure: Option<Failure>,
    /// Drawn for this pass; names come from it.
    pub seed: u64,
}

/// Decides one pass.
pub fn decide(observed: &Observed, now: Timestamp) -> Plan {
    let job = observed.job.as_ref();
    let mut plan = Plan::nothing();
    if job.spec.as_ref().and_then(|spec| spec.managed_by.as_deref()).is_some_and(|name| name != OUR_NAME) {
        return plan;
    }
    let Some(selector) = job.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { return plan };
    if is_deleting(&job.metadata) {
        return release_pods(&observed.pods);
    }
    if let Some(finished) = outcome::finished_at(job) {
        plan = release_pods(&observed.pods);
        expire(job, finished, now, &mut plan);
        return plan;
    }
    let claimant = Claimant { resource: &JOB, meta: &job.metadata, selector };
    let owned = claimant.claim(&POD, &observed.pods, |pod| &pod.metadata, &mut plan);
    let owned: Vec<Arc<Pod>> = owned.into_iter().cloned().collect();
    Pass::new(observed, &owned, now).run(&mut plan);
    plan
}

/// Pods whose Job is gone (or done) must not be held by our finalizer.
pub fn release_pods(pods: &[Arc<Pod>]) -> Plan {
    let mut plan = Plan::nothing();
    for pod in pods {
        let operations = remove_finalizer(&pod.metadata, TRACKING);
        if !operations.is_empty() {
            plan.patch(&POD, &pod.metadata, operations);
        }
    }
    plan
}

/// `ttlSecondsAfterFinished`.
fn expire(job: &Job, finished: Timestamp, now: Timestamp, plan: &mut Plan) {
    let Some(ttl) = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished) else { return };
    let at = after(finished, i64::from(ttl));
    if at > now {
        plan.requeue(at);
    } else {
        plan.delete(&JOB, &job.metadata, Some(Propagation::Foreground));
    }
}

/// One pass over a Job that is not finished.
struct Pass<'a> {
    job: &'a Job,
    observed: &'a Observed,
    ledger: Ledger,
    now: Timestamp,
}

impl<'a> Pass<'a> {
    fn new(observed: &'a Observed, owned: &[Arc<Pod>], now: Timestamp) -> Self {
        let job = observed.job.as_ref();
        Self { job, observed, ledger: Ledger::take(job, owned), now }
    }

    fn run(mut self, plan: &mut Plan) {
        let mut status = self.job.status.clone().unwrap_or_default();
        self.start(&mut status, plan);
        let outcome = self.outcome(&status, plan);
        let mut work = Plan::nothing();
        match &outcome {
            Outcome::Running => self.manage(&status, &mut work),
            // Pods taken back by a suspension count as nothing; those of a decided Job count as failed, as in Kubernetes.
            Outcome::Suspended => self.discard(&self.ledger.active, &mut work),
            Outcome::Succeeded | Outcome::Failed { .. } => self.delete(&self.ledger.active, &mut work),
        }
        self.settle(outcome, &mut status, plan);
        self.ledger.write_counts(&mut status);
        let report = self.report(status);
        let held = self.ledger.pods_to_release();
        // A refused create must not keep finished pods from being counted.
        if self.observed.failure.is_some() {
            plan.actions.extend(report);
            release(&held, plan);
            merge(plan, work);
        } else {
            merge(plan, work);
            plan.actions.extend(report);
            release(&held, plan);
        }
    }

    /// Start time, and the marks of being suspended and resumed.
    fn start(&self, status: &mut JobStatus, plan: &mut Plan) {
        let about = reference(&JOB, &self.job.metadata);
        let now = stamp(self.now);
        if self.suspended() {
            if outcome::set_condition(status, "Suspended", "True", ("JobSuspended", "Job suspended"), &now) {
                plan.event(about, EventNote::normal("Suspended", "Job suspended"));
            }
            status.start_time = None;
            return;
        }
        let marked = outcome::is_true(status, "Suspended");
        if marked {
            outcome::set_condition(status, "Suspended", "False", ("JobResumed", "Job resumed"), &now);
            plan.event(about, EventNote::normal("Resumed", "Job resumed"));
        }
        if status.start_time.is_none() {
            status.start_time = Some(now);
        }
    }

    fn suspended(&self) -> bool {
        self.job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true)
    }

    fn report(&self, status: JobStatus) -> Option<Action> {
        if self.job.status.as_ref() == Some(&status) {
            return None;
        }
        let updated = Job { status: Some(status), ..self.job.clone() };
        Some(Action::UpdateStatus { resource: JOB, object: with_header(&JOB, &updated) })
    }

    /// Deletes pods so that they are not counted: the finalizer goes first.
    fn discard(&self, pods: &[Arc<Pod>], work: &mut Plan) {
        merge(work, release_pods(pods));
        self.delete(pods, work);
    }

    fn delete(&self, pods: &[Arc<Pod>], work: &mut Plan) {
        for pod in pods {
            work.delete(&POD, &pod.metadata, None);
        }
        for pod in pods {
            let message = format!("Deleted pod: {}", crate::pods::name(&pod.metadata));
            work.event(reference(&JOB, &self.job.metadata), EventNote::normal("SuccessfulDelete", message));
        }
    }
}

fn release(pods: &[Arc<Pod>], plan: &mut Plan) {
    for pod in pods {
        plan.patch(&POD, &pod.metadata, remove_finalizer(&pod.metadata, TRACKING));
    }
}

fn merge(plan: &mut Plan, work: Plan) {
    plan.actions.extend(work.actions);
    if let Some(at) = work.requeue_at {
        plan.requeue(at);
    }
}

/// Whether the pod is held for counting.
fn is_tracked(pod: &Pod) -> bool {
    pod.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == TRACKING)
}

fn pod_uid(pod: &Pod) -> String {
    uid(&pod.metadata).to_owned()
}

#[cfg(test)]
mod tests;
