//! Who has ended and who has been counted: the two-step ledger of `status.uncountedTerminatedPods`.
//!
//! Invariant: a pod is in at most one of the counters, the uncounted lists, or the world; the number of successes and failures
//! (counter, uncounted and newly ended together) never goes down while pods disappear.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use k8s_openapi::api::batch::v1::{Job, JobStatus, UncountedTerminatedPods};
use k8s_openapi::api::core::v1::Pod;

use super::{indexes, is_tracked, pod_uid};
use crate::pods::{is_active, is_deleting, is_ready, is_terminal, phase};
use crate::replicaset::{count, shown};

/// Most pods written into the uncounted lists of one status, so that the object stays small.
const MAX_UNCOUNTED: usize = 500;

/// What one pass knows about the pods of the Job.
pub(crate) struct Ledger {
    /// Pods that run or will run.
    pub(crate) active: Vec<Arc<Pod>>,
    /// Failed pods still present, counted or not.
    pub(crate) failed_present: Vec<Arc<Pod>>,
    /// Succeeded pods still present, counted or not.
    pub(crate) succeeded_present: Vec<Arc<Pod>>,
    /// Pods on their way out that have not ended yet.
    pub(crate) terminating: usize,
    /// Indexes done, for Indexed Jobs.
    pub(crate) completed: Option<BTreeSet<i32>>,
    completions: i32,
    succeeded_counter: i32,
    failed_counter: i32,
    uncounted_succeeded: Vec<String>,
    uncounted_failed: Vec<String>,
    to_release: Vec<Arc<Pod>>,
}

impl Ledger {
    pub(crate) fn take(job: &Job, owned: &[Arc<Pod>]) -> Self {
        let status = job.status.clone().unwrap_or_default();
        let uncounted = status.uncounted_terminated_pods.unwrap_or_default();
        let held: HashSet<String> =
            owned.iter().filter(|pod| is_tracked(pod)).map(|pod| pod_uid(pod)).collect();
        // What no longer carries the finalizer was seen to be written down: it moves into the counters.
        let (waiting_succeeded, counted_succeeded) = split(uncounted.succeeded, &held);
        let (waiting_failed, counted_failed) = split(uncounted.failed, &held);
        let mut ledger = Self {
            active: Vec::new(),
            failed_present: Vec::new(),
            succeeded_present: Vec::new(),
            terminating: 0,
            completed: completed_indexes(job),
            completions: job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or_default(),
            succeeded_counter: status.succeeded.unwrap_or_default().saturating_add(counted_succeeded),
            failed_counter: status.failed.unwrap_or_default().saturating_add(counted_failed),
            uncounted_succeeded: waiting_succeeded,
            uncounted_failed: waiting_failed,
            to_release: Vec::new(),
        };
        let replace_when_failed = replaces_when_failed(job);
        for pod in owned {
            ledger.enter(pod, replace_when_failed);
        }
        ledger
    }

    fn enter(&mut self, pod: &Arc<Pod>, replace_when_failed: bool) {
        if is_active(pod) {
            self.active.push(Arc::clone(pod));
            return;
        }
        let deleting = is_deleting(&pod.metadata);
        if deleting && !is_terminal(pod) {
            self.terminating += 1;
        }
        let succeeded = phase(pod) == "Succeeded";
        let failed = phase(pod) == "Failed" || (deleting && !succeeded && !replace_when_failed);
        if !is_tracked(pod) && !is_terminal(pod) {
            // Deleted by us as surplus: its finalizer went first so that it counts as nothing.
            return;
        }
        let id = pod_uid(pod);
        // What was written down once stays as it was, also when a pod that was told to go has ended well after all.
        let was_failed = self.uncounted_failed.contains(&id);
        let known = was_failed || self.uncounted_succeeded.contains(&id);
        let (present, uncounted) = if succeeded {
            (&mut self.succeeded_present, &mut self.uncounted_succeeded)
        } else if failed {
            (&mut self.failed_present, &mut self.uncounted_failed)
        } else {
            return;
        };
        present.push(Arc::clone(pod));
        if !is_tracked(pod) {
            return;
        }
        if !known && self.to_release.len() >= MAX_UNCOUNTED {
            return;
        }
        if !known {
            uncounted.push(id);
        }
        let index = indexes::of(pod).filter(|index| succeeded && !was_failed && *index < self.completions);
        if let (Some(index), Some(completed)) = (index, self.completed.as_mut()) {
            completed.insert(index);
        }
        self.to_release.push(Arc::clone(pod));
    }

    /// Successes, counted or about to be. Indexed Jobs count indexes, not pods.
    pub(crate) fn succeeded(&self) -> i32 {
        match &self.completed {
            Some(completed) => count(completed.len()),
            None => self.succeeded_counter.saturating_add(count(self.uncounted_succeeded.len())),
        }
    }

    /// Failures, counted or about to be.
    pub(crate) fn failed(&self) -> i32 {
        self.failed_counter.saturating_add(count(self.uncounted_failed.len()))
    }

    /// Whether every pod that ended is in the counters.
    pub(crate) fn is_settled(&self) -> bool {
        self.uncounted_succeeded.is_empty() && self.uncounted_failed.is_empty()
    }

    /// Pods that may lose the finalizer once the status is written.
    pub(crate) fn pods_to_release(&self) -> Vec<Arc<Pod>> {
        self.to_release.clone()
    }

    pub(crate) fn write_counts(&self, status: &mut JobStatus) {
        status.active = shown(count(self.active.len()));
        status.ready = Some(count(self.active.iter().filter(|pod| is_ready(pod)).count()));
        status.terminating = Some(count(self.terminating));
        status.failed = shown(self.failed_counter);
        status.succeeded = shown(match &self.completed {
            Some(completed) => count(completed.len()),
            None => self.succeeded_counter,
        });
        if let Some(completed) = &self.completed {
            status.completed_indexes = (!completed.is_empty()).then(|| indexes::format(completed));
        }
        let list = |ids: &Vec<String>| (!ids.is_empty()).then(|| ids.clone());
        // An empty object is how Kubernetes says that pods are tracked by finalizers.
        status.uncounted_terminated_pods = Some(UncountedTerminatedPods {
            succeeded: list(&self.uncounted_succeeded),
            failed: list(&self.uncounted_failed),
        });
    }
}

/// Splits the recorded UIDs into those still held by the finalizer and the number of those that are not.
fn split(recorded: Option<Vec<String>>, held: &HashSet<String>) -> (Vec<String>, i32) {
    let (waiting, counted): (Vec<_>, Vec<_>) =
        recorded.unwrap_or_default().into_iter().partition(|id| held.contains(id));
    (waiting, count(counted.len()))
}

fn completed_indexes(job: &Job) -> Option<BTreeSet<i32>> {
    let spec = job.spec.as_ref()?;
    if spec.completion_mode.as_deref() != Some("Indexed") {
        return None;
    }
    let text = job.status.as_ref().and_then(|status| status.completed_indexes.as_deref());
    Some(indexes::parse(text, spec.completions.unwrap_or_default()))
}

/// `podReplacementPolicy: Failed` counts a pod only when it has ended; the default counts it when it starts to go.
pub(crate) fn replaces_when_failed(job: &Job) -> bool {
    let policy = job.spec.as_ref().and_then(|spec| spec.pod_replacement_policy.as_deref());
    policy == Some("Failed")
}
