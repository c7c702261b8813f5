//! Taking a pod away: order of the kills, deadlines, removal, teardown, deletion of the object.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::PodSpec;

use crate::action::{Action, KillReason};
use crate::backoff::{after, seconds};
use crate::container::{ContainerState, Run, Stop};
use crate::decide::{Pass, record, report};
use crate::order::{Role, declared};
use crate::state::SandboxState;
use crate::status::NodeFacts;

/// SIGKILL is repeated this often while a container does not end.
const FORCE_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// What a sidecar gets when the others used up the grace.
const LEAST_GRACE: SignedDuration = SignedDuration::from_secs(2);

/// `terminationGracePeriodSeconds`.
pub(crate) fn own_grace(spec: &PodSpec) -> SignedDuration {
    seconds(spec.termination_grace_period_seconds.unwrap_or(30))
}

/// The object is gone without us: kill at once, clean up, be done.
pub(crate) fn vanish(pass: &mut Pass<'_>) {
    if !stop_all(pass, &KillReason::PodDeleted, SignedDuration::ZERO) {
        return;
    }
    remove_exited(pass);
    if no_graves(pass) && teardown(pass) {
        pass.plan.done = true;
    }
}

/// The pod is deleted or over: stop in order, report, remove, tear down, and delete the object if that was asked.
pub(crate) fn wind_down(pass: &mut Pass<'_>, reason: &KillReason, facts: &NodeFacts) {
    let deleting = *reason == KillReason::PodDeleted;
    let asked = pass.pod.metadata.deletion_grace_period_seconds.filter(|_| deleting).map(seconds);
    let stopped = stop_all(pass, reason, asked.unwrap_or_else(|| own_grace(pass.spec)));
    let reported = report(pass, facts);
    if !(stopped && reported && no_graves(pass) && teardown(pass)) {
        return;
    }
    if deleting {
        match pass.state.delete.ready(pass.now) {
            Ok(()) => pass.act(Action::DeletePodObject),
            Err(Some(at)) => pass.wake(at),
            Err(None) => {}
        }
    }
}

/// Stops everything in order: main and init containers together, then sidecars, last one first. Answers whether
/// nothing is alive and no effect on a container is in flight.
fn stop_all(pass: &mut Pass<'_>, reason: &KillReason, grace: SignedDuration) -> bool {
    let since = pass.state.winding_since.unwrap_or(pass.now);
    let deadline = after(since, grace);
    let all = declared(pass.pod);
    let (sidecars, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|of| of.role == Role::Sidecar);
    let mut busy = false;
    for of in others {
        busy |= stop_one(pass, &of.spec.name, reason, deadline);
    }
    let least = if grace.is_zero() { pass.now } else { after(pass.now, LEAST_GRACE) };
    for of in sidecars.into_iter().rev() {
        if busy {
            return false;
        }
        busy |= stop_one(pass, &of.spec.name, reason, deadline.max(least));
    }
    !busy
}

/// Stops one container. Answers whether it is still busy.
fn stop_one(pass: &mut Pass<'_>, name: &str, reason: &KillReason, deadline: Timestamp) -> bool {
    let state = pass.state;
    let Some(record) = record(state, name) else { return false };
    match &record.state {
        ContainerState::Running(run) => {
            let grace = deadline.duration_since(pass.now).max(SignedDuration::ZERO);
            let reason = reason.clone();
            pass.act(Action::Kill { name: name.to_owned(), attempt: run.attempt, grace, reason });
        }
        ContainerState::Stopping { run, stop } => escalate(pass, name, run, stop, Some(deadline)),
        _ => {}
    }
    record.state.is_busy()
}

/// SIGKILL at the deadline, and again while the container does not end. `limit` may only shorten the deadline.
pub(crate) fn escalate(pass: &mut Pass<'_>, name: &str, run: &Run, stop: &Stop, limit: Option<Timestamp>) {
    let deadline = limit.map_or(stop.deadline, |limit| limit.min(stop.deadline));
    let due = stop.forced_at.map_or(deadline, |at| after(at, FORCE_AGAIN));
    if pass.now >= due {
        pass.act(Action::ForceKill { name: name.to_owned(), attempt: run.attempt });
    } else {
        pass.wake(due);
    }
}

/// Removes exited instances from the runtime.
pub(crate) fn remove_exited(pass: &mut Pass<'_>) {
    let state = pass.state;
    for (name, record) in &state.containers {
        for (attempt, grave) in &record.graves {
            match grave.turn.ready(pass.now) {
                Ok(()) => pass.act(Action::RemoveContainer {
                    name: name.clone(),
                    attempt: *attempt,
                    id: grave.id.clone(),
                }),
                Err(Some(at)) => pass.wake(at),
                Err(None) => {}
            }
        }
    }
}

fn no_graves(pass: &Pass<'_>) -> bool {
    pass.state.containers.values().all(|record| record.graves.is_empty())
}

/// Tears the sandbox down. Answers whether it is gone. A sandbox that was never made is torn down too: a failed
/// attempt may have left parts behind.
fn teardown(pass: &mut Pass<'_>) -> bool {
    match pass.state.sandbox {
        SandboxState::Gone => return true,
        SandboxState::Preparing => {}
        SandboxState::Absent { .. } | SandboxState::Ready => pass.act(Action::TeardownSandbox),
        SandboxState::TearingDown => match pass.state.teardown.ready(pass.now) {
            Ok(()) => pass.act(Action::TeardownSandbox),
            Err(Some(at)) => pass.wake(at),
            Err(None) => {}
        },
    }
    false
}
