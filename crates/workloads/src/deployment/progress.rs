//! Status and conditions: Available, Progressing, `ReplicaFailure`, and the progress deadline.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Pass;
use super::sets::sum;
use crate::action::{FailedAction, Plan};
use crate::pods::{after, name, stamp};
use crate::replicaset::shown;

const NEW_SET_AVAILABLE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";

/// The conditions of one Deployment while a pass works on them.
pub(crate) struct Conditions(Vec<DeploymentCondition>);

/// One condition about to be set.
struct Verdict {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

impl Verdict {
    fn progressing(status: &'static str, reason: &'static str, message: String) -> Self {
        Self { kind: "Progressing", status, reason: reason.to_owned(), message }
    }
}

impl Conditions {
    pub(crate) fn of(deployment: &Deployment) -> Self {
        Self(deployment.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default())
    }

    fn get(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.0.iter().find(|condition| condition.type_.as_deref() == Some(kind))
    }

    fn progressing_reason(&self) -> Option<&str> {
        self.get("Progressing")?.reason.as_deref()
    }

    fn remove(&mut self, kind: &str) {
        self.0.retain(|condition| condition.type_.as_deref() != Some(kind));
    }

    /// Sets a condition. The same status with the same reason stays as it is; the same status keeps its transition time.
    fn set(&mut self, verdict: Verdict, now: &Time) {
        let old = self.get(verdict.kind);
        let same_status = |old: &&DeploymentCondition| old.status.as_deref() == Some(verdict.status);
        let unchanged = |old: &&DeploymentCondition| old.reason.as_deref() == Some(verdict.reason.as_str());
        if old.filter(same_status).as_ref().is_some_and(unchanged) {
            return;
        }
        let since = old.filter(same_status).and_then(|old| old.last_transition_time.clone());
        self.remove(verdict.kind);
        self.0.push(DeploymentCondition {
            type_: Some(verdict.kind.to_owned()),
            status: Some(verdict.status.to_owned()),
            reason: Some(verdict.reason),
            message: Some(verdict.message),
            last_update_time: Some(now.clone()),
            last_transition_time: Some(since.unwrap_or_else(|| now.clone())),
        });
    }

    /// Like `set`, but counts as a sign of life even when nothing but the time changes.
    fn renew(&mut self, verdict: Verdict, now: &Time) {
        let since = self
            .get(verdict.kind)
            .filter(|old| old.status.as_deref() == Some(verdict.status))
            .and_then(|old| old.last_transition_time.clone());
        self.remove(verdict.kind);
        self.set(verdict, now);
        if let (Some(since), Some(last)) = (since, self.0.last_mut()) {
            last.last_transition_time = Some(since);
        }
    }

    pub(crate) fn note_created(&mut self, deployment: &Deployment, set: &ReplicaSet, now: &Time) {
        if deadline(deployment).is_some() {
            let message = format!("Created new replica set {:?}", name(&set.metadata));
            self.renew(Verdict::progressing("True", "NewReplicaSetCreated", message), now);
        }
    }

    pub(crate) fn note_found(&mut self, deployment: &Deployment, set: &ReplicaSet, now: &Time) {
        if deadline(deployment).is_some() && self.get("Progressing").is_none() {
            let message = format!("Found new replica set {:?}", name(&set.metadata));
            self.set(Verdict::progressing("True", "FoundNewReplicaSet", message), now);
        }
    }

    /// A pause stops the progress clock; a resumed Deployment starts it anew.
    pub(crate) fn note_pause(&mut self, deployment: &Deployment, now: &Time) {
        if deadline(deployment).is_none() || self.progressing_reason() == Some(TIMED_OUT) {
            return;
        }
        let marked = self.progressing_reason() == Some("DeploymentPaused");
        match (deployment.spec.paused == Some(true), marked) {
            (true, false) => {
                let message = "Deployment is paused".to_owned();
                self.set(Verdict::progressing("Unknown", "DeploymentPaused", message), now);
            }
            (false, true) => {
                let message = "Deployment is resumed".to_owned();
                self.set(Verdict::progressing("Unknown", "DeploymentResumed", message), now);
            }
            _ => {}
        }
    }
}

impl Pass<'_> {
    /// All replicas are of the new template and available, and nothing old is left.
    pub(crate) fn is_complete(&self) -> bool {
        let counts = self.counts();
        let desired = self.desired();
        counts.updated == desired && counts.replicas == desired && counts.available == desired
    }

    fn counts(&self) -> Counts {
        let total = |of: fn(&ReplicaSet) -> i32| sum(self.sets.all(), of);
        let status_of = |set: &Arc<ReplicaSet>| set.status.as_ref().map_or(0, |status| status.replicas);
        Counts {
            replicas: total(|set| set.status.as_ref().map_or(0, |status| status.replicas)),
            updated: self.sets.new.as_ref().map_or(0, status_of),
            ready: total(|set| {
                set.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default()
            }),
            available: total(|set| {
                set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
            }),
            terminating: total(|set| {
                set.status.as_ref().and_then(|status| status.terminating_replicas).unwrap_or_default()
            }),
        }
    }

    /// The status of this pass. Asks to come back when the progress deadline would pass.
    pub(crate) fn status(&mut self, plan: &mut Plan) -> DeploymentStatus {
        let counts = self.counts();
        let now = stamp(self.now);
        let enough = counts.available >= self.desired() - self.max_unavailable();
        self.conditions.set(availability(enough), &now);
        self.judge_progress(&counts, &now, plan);
        self.note_failure(&now);
        DeploymentStatus {
            observed_generation: self.deployment.metadata.generation,
            replicas: shown(counts.replicas),
            updated_replicas: shown(counts.updated),
            ready_replicas: shown(counts.ready),
            available_replicas: shown(counts.available),
            unavailable_replicas: shown((self.total_wanted() - counts.available).max(0)),
            terminating_replicas: Some(counts.terminating),
            collision_count: shown(self.collision_count),
            conditions: Some(std::mem::take(&mut self.conditions.0)),
        }
    }

    fn total_wanted(&self) -> i32 {
        sum(self.sets.all(), super::sets::replicas)
    }

    fn judge_progress(&mut self, counts: &Counts, now: &Time, plan: &mut Plan) {
        let Some(limit) = deadline(self.deployment) else {
            self.conditions.remove("Progressing");
            return;
        };
        let done = counts.replicas == counts.updated
            && self.conditions.progressing_reason() == Some(NEW_SET_AVAILABLE);
        if done || self.deployment.spec.paused == Some(true) {
            return;
        }
        let subject = self.sets.new.as_ref().map_or_else(
            || format!("Deployment {:?}", name(&self.deployment.metadata)),
            |set| format!("ReplicaSet {:?}", name(&set.metadata)),
        );
        if self.is_complete() {
            let message = format!("{subject} has successfully progressed.");
            self.conditions.set(Verdict::progressing("True", NEW_SET_AVAILABLE, message), now);
            return;
        }
        if self.has_progressed(counts) {
            let message = format!("{subject} is progressing.");
            self.conditions.renew(Verdict::progressing("True", "ReplicaSetUpdated", message), now);
        }
        let Some(expires) = self.deadline_passes_at(limit) else { return };
        if expires > self.now {
            plan.requeue(expires);
        } else {
            let message = format!("{subject} has timed out progressing.");
            self.conditions.set(Verdict::progressing("False", TIMED_OUT, message), now);
        }
    }

    /// When the last sign of life is older than the deadline; `None` when no clock is running.
    fn deadline_passes_at(&self, limit: i32) -> Option<Timestamp> {
        let condition = self.conditions.get("Progressing")?;
        if matches!(condition.reason.as_deref(), Some(NEW_SET_AVAILABLE | TIMED_OUT)) {
            return None;
        }
        // One second more: stored times have lost their fraction.
        condition.last_update_time.as_ref().map(|time| after(time.0, i64::from(limit) + 1))
    }

    fn has_progressed(&self, counts: &Counts) -> bool {
        let Some(old) = &self.deployment.status else { return counts.updated > 0 };
        let old_updated = old.updated_replicas.unwrap_or_default();
        let old_rest = old.replicas.unwrap_or_default() - old_updated;
        counts.updated > old_updated
            || counts.replicas - counts.updated < old_rest
            || counts.ready > old.ready_replicas.unwrap_or_default()
            || counts.available > old.available_replicas.unwrap_or_default()
    }

    /// A refusal met by a `ReplicaSet`, or by ourselves when creating one.
    fn note_failure(&mut self, now: &Time) {
        let own =
            self.observed.failure.as_ref().filter(|failure| {
                failure.action == FailedAction::Create && failure.reason != "AlreadyExists"
            });
        let sets = self.sets.new.iter().chain(self.sets.old.iter());
        let theirs = sets
            .flat_map(|set| set.status.iter().filter_map(|status| status.conditions.as_ref()).flatten())
            .find(|condition| condition.type_.as_deref() == Some("ReplicaFailure"));
        let (reason, message) = match (own, theirs) {
            (Some(failure), _) => ("ReplicaSetCreateError".to_owned(), failure.message.clone()),
            (None, Some(condition)) => {
                (condition.reason.clone().unwrap_or_default(), condition.message.clone().unwrap_or_default())
            }
            (None, None) => {
                self.conditions.remove("ReplicaFailure");
                return;
            }
        };
        self.conditions.set(Verdict { kind: "ReplicaFailure", status: "True", reason, message }, now);
    }
}

/// Sums over the statuses of the sets.
struct Counts {
    replicas: i32,
    updated: i32,
    ready: i32,
    available: i32,
    terminating: i32,
}

fn availability(enough: bool) -> Verdict {
    let (status, reason, message) = if enough {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    Verdict { kind: "Available", status, reason: reason.to_owned(), message: message.to_owned() }
}

/// The progress deadline in seconds; the largest number means none.
fn deadline(deployment: &Deployment) -> Option<i32> {
    deployment.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
}
