//! Whether a Job goes on, has reached its goal or has failed, and the conditions that say so.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobSpec, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Pass;
use crate::action::{EventNote, JOB, Plan, reference};
use crate::pods::{after, phase, restarts, stamp};

/// Where a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Goes on.
    Running,
    /// Told to hold.
    Suspended,
    /// Has what it wanted.
    Succeeded,
    /// Cannot succeed any more.
    Failed { reason: String, message: String },
}

/// The instant at which the Job finished, when it has.
pub(crate) fn finished_at(job: &Job) -> Option<Timestamp> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let last = conditions.iter().find(|condition| {
        matches!(condition.type_.as_str(), "Complete" | "Failed") && condition.status == "True"
    })?;
    Some(last.last_transition_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0))
}

/// A field that would change how the Job ends and that nothing here honours. Such a Job fails in words, not in silence.
fn unsupported(spec: &JobSpec) -> Option<&'static str> {
    let given = [
        ("podFailurePolicy", spec.pod_failure_policy.is_some()),
        ("successPolicy", spec.success_policy.is_some()),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index.is_some()),
    ];
    given.iter().find(|(_, given)| *given).map(|(field, _)| *field)
}

/// Whether the condition is there and true.
pub(crate) fn is_true(status: &JobStatus, kind: &str) -> bool {
    status.conditions.iter().flatten().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// Sets a condition; true when its status changed.
pub(crate) fn set_condition(
    status: &mut JobStatus,
    kind: &str,
    value: &str,
    (reason, message): (&str, &str),
    now: &Time,
) -> bool {
    let conditions = status.conditions.get_or_insert_default();
    if conditions.iter().any(|condition| condition.type_ == kind && condition.status == value) {
        return false;
    }
    conditions.retain(|condition| condition.type_ != kind);
    conditions.push(JobCondition {
        type_: kind.to_owned(),
        status: value.to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        last_probe_time: Some(now.clone()),
        last_transition_time: Some(now.clone()),
    });
    true
}

impl Pass<'_> {
    pub(crate) fn outcome(&self, status: &JobStatus, plan: &mut Plan) -> Outcome {
        if is_true(status, "SuccessCriteriaMet") {
            return Outcome::Succeeded;
        }
        let target = status.conditions.iter().flatten().find(|condition| condition.type_ == "FailureTarget");
        if let Some(target) = target {
            return Outcome::Failed {
                reason: target.reason.clone().unwrap_or_default(),
                message: target.message.clone().unwrap_or_default(),
            };
        }
        if let Some(failed) = self.failure(status, plan) {
            return failed;
        }
        if self.has_succeeded() {
            return Outcome::Succeeded;
        }
        if self.suspended() { Outcome::Suspended } else { Outcome::Running }
    }

    fn failure(&self, status: &JobStatus, plan: &mut Plan) -> Option<Outcome> {
        let spec = self.job.spec.as_ref()?;
        if let Some(field) = unsupported(spec) {
            return Some(Outcome::Failed {
                reason: "UnsupportedField".to_owned(),
                message: format!("spec.{field} is not supported"),
            });
        }
        let limit = spec.backoff_limit.unwrap_or(6);
        if self.ledger.failed() > limit || self.restarts_exceed(limit) {
            return Some(Outcome::Failed {
                reason: "BackoffLimitExceeded".to_owned(),
                message: "Job has reached the specified backoff limit".to_owned(),
            });
        }
        let start = status.start_time.as_ref()?.0;
        let deadline = after(start, spec.active_deadline_seconds?);
        if deadline > self.now {
            plan.requeue(deadline);
            return None;
        }
        Some(Outcome::Failed {
            reason: "DeadlineExceeded".to_owned(),
            message: "Job was active longer than specified deadline".to_owned(),
        })
    }

    /// With `restartPolicy: OnFailure` the containers fail in place, so their restarts count.
    fn restarts_exceed(&self, limit: i32) -> bool {
        let template = self.job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        if template.and_then(|pod| pod.restart_policy.as_deref()) != Some("OnFailure") {
            return false;
        }
        let total: i64 = self
            .ledger
            .active
            .iter()
            .filter(|pod| matches!(phase(pod), "Running" | "Pending"))
            .map(|pod: &Arc<Pod>| restarts(pod))
            .sum();
        if limit == 0 { total > 0 } else { total >= i64::from(limit) }
    }

    /// With `completions`: that many. Without: one success, and everybody else has ended.
    fn has_succeeded(&self) -> bool {
        let succeeded = self.ledger.succeeded();
        match self.job.spec.as_ref().and_then(|spec| spec.completions) {
            Some(completions) => succeeded >= completions,
            None => succeeded > 0 && self.ledger.active.is_empty(),
        }
    }

    /// Writes the conditions that belong to the outcome. The last one waits until no pod runs and all are counted.
    pub(crate) fn settle(&mut self, outcome: Outcome, status: &mut JobStatus, plan: &mut Plan) {
        let now = stamp(self.now);
        let (interim, last, reason, message) = match outcome {
            Outcome::Running | Outcome::Suspended => return,
            Outcome::Succeeded => (
                "SuccessCriteriaMet",
                "Complete",
                "CompletionsReached".to_owned(),
                "Reached expected number of succeeded pods".to_owned(),
            ),
            Outcome::Failed { reason, message } => ("FailureTarget", "Failed", reason, message),
        };
        set_condition(status, interim, "True", (&reason, &message), &now);
        let quiet = self.ledger.active.is_empty() && self.ledger.terminating == 0 && self.ledger.is_settled();
        if !quiet || !set_condition(status, last, "True", (&reason, &message), &now) {
            return;
        }
        let about = reference(&JOB, &self.job.metadata);
        if last == "Complete" {
            status.completion_time = Some(now);
            plan.event(about, EventNote::normal("Completed", "Job completed"));
        } else {
            let note = EventNote { reason: reason.into(), ..EventNote::warning("", message) };
            plan.event(about, note);
        }
    }
}
