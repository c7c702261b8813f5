//! The decision: what to do now for a pod in this state.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::action::{Action, KillReason, Plan};
use crate::backoff::{after, seconds};
use crate::container::{ContainerState, Hook, Run};
use crate::order::{Declared, Role, declared, restarts};
use crate::probe::{ProbeKind, ProbeState, ProbeVerdict};
use crate::state::{ContainerRecord, PodState, SandboxState};
use crate::status::{NodeFacts, is_started, pod_status};
use crate::stop;

/// Between the first look for a missing image and the word `ImagePullBackOff` in the status.
pub(crate) const ERR_SHOWN: SignedDuration = SignedDuration::from_secs(2);

/// One decision in the making.
pub(crate) struct Pass<'a> {
    pub(crate) pod: &'a Pod,
    pub(crate) spec: &'a PodSpec,
    pub(crate) state: &'a PodState,
    pub(crate) now: Timestamp,
    pub(crate) plan: Plan,
}

/// What to do now for `pod`. Note every action with [`PodState::begin`] and ask again until the plan is empty; then
/// wait for an event or for `wake_at`.
pub fn decide(pod: &Pod, state: &PodState, facts: &NodeFacts, now: Timestamp) -> Plan {
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let mut pass = Pass { pod, spec, state, now, plan: Plan::default() };
    if state.gone {
        stop::vanish(&mut pass);
        return pass.plan;
    }
    let deleting = pod.metadata.deletion_timestamp.is_some();
    if deleting || is_over(pod, spec, state) {
        let reason = if deleting { KillReason::PodDeleted } else { KillReason::PodFinished };
        stop::wind_down(&mut pass, &reason, facts);
        return pass.plan;
    }
    if let Some(message) = deadline_passed(&mut pass) {
        pass.plan.actions.push(Action::FailPod { reason: "DeadlineExceeded", message });
        return pass.plan;
    }
    run(&mut pass);
    report(&mut pass, facts);
    pass.plan
}

impl Pass<'_> {
    pub(crate) fn act(&mut self, action: Action) {
        self.plan.actions.push(action);
    }

    pub(crate) fn wake(&mut self, at: Timestamp) {
        if at > self.now {
            self.plan.wake_at = Some(self.plan.wake_at.map_or(at, |other| other.min(at)));
        }
    }
}

/// The record of a container, an untouched one when nothing is known.
pub(crate) fn record<'a>(state: &'a PodState, name: &str) -> Option<&'a ContainerRecord> {
    state.containers.get(name)
}

/// Whether an exited container is started again.
pub(crate) fn will_restart(spec: &PodSpec, of: Declared<'_>, record: &ContainerRecord) -> bool {
    match &record.state {
        ContainerState::Exited(end) => record.must_restart || restarts(spec, of, end.exit_code),
        _ => false,
    }
}

/// Whether the pod ran to its end: given up, sealed, an init container failed for good, or all main ones are done.
pub(crate) fn is_over(pod: &Pod, spec: &PodSpec, state: &PodState) -> bool {
    state.sealed || state.verdict.is_some() || init_failed(pod, spec, state) || mains_done(pod, spec, state)
}

pub(crate) fn init_failed(pod: &Pod, spec: &PodSpec, state: &PodState) -> bool {
    declared(pod).into_iter().filter(|of| of.role == Role::Init).any(|of| {
        record(state, &of.spec.name).is_some_and(|record| match &record.state {
            ContainerState::Exited(end) => end.exit_code != 0 && !will_restart(spec, of, record),
            _ => false,
        })
    })
}

fn mains_done(pod: &Pod, spec: &PodSpec, state: &PodState) -> bool {
    declared(pod).into_iter().filter(|of| of.role == Role::Main).all(|of| {
        record(state, &of.spec.name).is_some_and(|record| {
            matches!(record.state, ContainerState::Exited(_)) && !will_restart(spec, of, record)
        })
    })
}

fn deadline_passed(pass: &mut Pass<'_>) -> Option<String> {
    let limit = pass.spec.active_deadline_seconds?;
    let deadline = after(pass.state.started_at, seconds(limit));
    if pass.now >= deadline {
        return Some("Pod was active on the node longer than the specified deadline".to_owned());
    }
    pass.wake(deadline);
    None
}

/// Whether all init containers are done and all sidecars have started.
pub(crate) fn initialized(pod: &Pod, state: &PodState) -> bool {
    declared(pod).into_iter().all(|of| init_passed(state, of))
}

/// Whether this container no longer holds up the ones after it.
pub(crate) fn init_passed(state: &PodState, of: Declared<'_>) -> bool {
    let Some(record) = record(state, &of.spec.name) else { return of.role == Role::Main };
    match of.role {
        Role::Main => true,
        Role::Init => matches!(&record.state, ContainerState::Exited(end) if end.exit_code == 0),
        Role::Sidecar => is_started(of.spec, record),
    }
}

fn run(pass: &mut Pass<'_>) {
    ensure_sandbox(pass);
    let all = declared(pass.pod);
    let mut blocked = false;
    let past_init = past_init(&all, pass.state);
    for of in all {
        let passed = init_passed(pass.state, of);
        if blocked && !(past_init && of.role != Role::Init) {
            break;
        }
        if of.role != Role::Init || !passed {
            drive(pass, of);
        }
        blocked |= !passed;
    }
}

/// Once a main container was touched after the init containers, the pod is initialized for good: a sidecar that
/// restarts blocks nobody.
fn past_init(all: &[Declared<'_>], state: &PodState) -> bool {
    let touched = |record: &ContainerRecord| {
        !matches!(record.state, ContainerState::Waiting { hold: None }) || record.restarts > 0
    };
    all.iter().all(|of| of.role != Role::Init || init_passed(state, *of))
        && all.iter().any(|of| of.role == Role::Main && record(state, &of.spec.name).is_some_and(touched))
}

fn ensure_sandbox(pass: &mut Pass<'_>) {
    if let SandboxState::Absent { not_before } = pass.state.sandbox {
        match not_before {
            Some(at) if pass.now < at => pass.wake(at),
            _ => pass.act(Action::EnsureSandbox),
        }
    }
}

fn drive(pass: &mut Pass<'_>, of: Declared<'_>) {
    let name = of.spec.name.clone();
    let image = of.spec.image.clone().unwrap_or_default();
    let untouched = ContainerRecord::default();
    let state = pass.state;
    let record = record(state, &name).unwrap_or(&untouched);
    match &record.state {
        ContainerState::Waiting { hold: Some(hold) } if hold.image == image && pass.now < hold.until => {
            pass.wake(hold.until);
            pass.wake(after(hold.since, ERR_SHOWN));
        }
        ContainerState::Waiting { .. } => {
            pass.act(Action::CheckImage { name, attempt: record.restarts, image });
        }
        ContainerState::ImageReady { attempt, image_id, .. } if pass.state.sandbox == SandboxState::Ready => {
            pass.act(Action::CreateContainer { name, attempt: *attempt, image_id: image_id.clone() });
        }
        ContainerState::Exited(_) if will_restart(pass.spec, of, record) => {
            match record.restart_at.filter(|_| !record.must_restart) {
                Some(at) if pass.now < at => pass.wake(at),
                _ => pass.act(Action::CheckImage { name, attempt: record.restarts + 1, image }),
            }
        }
        ContainerState::Running(run) => tend(pass, of, record, run),
        ContainerState::Stopping { run, stop } => stop::escalate(pass, &name, run, stop, None),
        ContainerState::CheckingImage { .. }
        | ContainerState::ImageReady { .. }
        | ContainerState::Creating { .. }
        | ContainerState::Exited(_) => {}
    }
}

/// A running container: hook, image change, probes.
fn tend(pass: &mut Pass<'_>, of: Declared<'_>, record: &ContainerRecord, run: &Run) {
    let grace = stop::own_grace(pass.spec);
    if let Some(reason) = &record.doomed {
        kill(pass, of, run, grace, reason.clone());
    } else if of.spec.image.as_deref().is_some_and(|image| image != run.image) {
        kill(pass, of, run, grace, KillReason::ImageChanged);
    } else if let Some((reason, grace)) = failed_probe(of, record, grace) {
        kill(pass, of, run, grace, reason);
    } else if run.hook == Hook::Due {
        pass.act(Action::PostStart { name: of.spec.name.clone(), attempt: run.attempt });
    } else {
        probe(pass, of, record, run);
    }
}

fn kill(pass: &mut Pass<'_>, of: Declared<'_>, run: &Run, grace: SignedDuration, reason: KillReason) {
    pass.act(Action::Kill { name: of.spec.name.clone(), attempt: run.attempt, grace, reason });
}

fn failed_probe(
    of: Declared<'_>,
    record: &ContainerRecord,
    grace: SignedDuration,
) -> Option<(KillReason, SignedDuration)> {
    for kind in [ProbeKind::Startup, ProbeKind::Liveness] {
        let Some(ProbeVerdict::Failing(why)) = record.probe(kind).map(ProbeState::verdict) else {
            continue;
        };
        let own = kind.of(of.spec).and_then(|probe| probe.termination_grace_period_seconds).map(seconds);
        let reason = match kind {
            ProbeKind::Startup => KillReason::Startup(why.clone()),
            _ => KillReason::Liveness(why.clone()),
        };
        return Some((reason, own.unwrap_or(grace)));
    }
    None
}

fn probe(pass: &mut Pass<'_>, of: Declared<'_>, record: &ContainerRecord, run: &Run) {
    for (kind, probe) in &record.probes {
        if *kind == ProbeKind::Startup && probe.is_passing() {
            continue;
        }
        match probe.due_at() {
            Some(at) if at > pass.now => pass.wake(at),
            Some(_) => {
                pass.act(Action::RunProbe { name: of.spec.name.clone(), attempt: run.attempt, kind: *kind });
            }
            None => {}
        }
    }
}

/// Reports the status when it differs from what was written last, and removes exited instances it already tells of.
/// Answers whether nothing is left to report.
pub(crate) fn report(pass: &mut Pass<'_>, facts: &NodeFacts) -> bool {
    let settled = pass.state.sealed || {
        let status = pod_status(pass.pod, pass.state, facts, pass.now);
        let same = pass.state.reported.as_ref() == Some(&status);
        match pass.state.report.ready(pass.now) {
            Ok(()) if !same => pass.act(Action::ReportStatus(Box::new(status))),
            Err(Some(at)) => pass.wake(at),
            Ok(()) | Err(None) => {}
        }
        same && pass.state.report.ready(pass.now).is_ok()
    };
    if settled {
        stop::remove_exited(pass);
    }
    settled
}
