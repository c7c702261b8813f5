//! The status of a pod as users see it, computed from its state. Times are cut to seconds, as the wire has them, so
//! that the same state always gives the same status.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{
    Container, ContainerState as ApiState, ContainerStateRunning, ContainerStateTerminated,
    ContainerStateWaiting, ContainerStatus, HostIP, Pod, PodIP, PodSpec, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::backoff::after;
use crate::conditions::conditions;
use crate::container::{ContainerState, Hold, Hook, Termination, WaitReason};
use crate::decide::{ERR_SHOWN, init_failed, initialized, will_restart};
use crate::order::{Declared, Role, declared};
use crate::probe::{ProbeKind, ProbeState};
use crate::state::{ContainerRecord, PodState, SandboxState};

/// What the status needs to know of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Addresses of the node, first one preferred.
    pub host_ips: Vec<String>,
}

/// Whether the container started: it runs, its hook is done, and its startup probe (if any) passed.
pub fn is_started(spec: &Container, record: &ContainerRecord) -> bool {
    match &record.state {
        ContainerState::Running(run) => run.hook == Hook::Done && passes(spec, record, ProbeKind::Startup),
        _ => false,
    }
}

/// Whether the container is ready: started, and its readiness probe (if any) passes. One that stops is not.
pub fn is_ready(spec: &Container, record: &ContainerRecord) -> bool {
    is_started(spec, record) && passes(spec, record, ProbeKind::Readiness)
}

fn passes(spec: &Container, record: &ContainerRecord, kind: ProbeKind) -> bool {
    kind.of(spec).is_none() || record.probe(kind).is_some_and(ProbeState::is_passing)
}

/// `at` cut to whole seconds.
pub(crate) fn wire_time(at: Timestamp) -> Time {
    Time(Timestamp::from_second(at.as_second()).unwrap_or(at))
}

/// The status of `pod` in `state`.
pub fn pod_status(pod: &Pod, state: &PodState, facts: &NodeFacts, now: Timestamp) -> PodStatus {
    let known = pod.status.clone().unwrap_or_default();
    let empty = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&empty);
    let phase = phase(pod, spec, state);
    let view = View { pod, spec, state, now };
    let all = declared(pod);
    let (mains, inits): (Vec<_>, Vec<_>) = all.into_iter().partition(|of| of.role == Role::Main);
    let statuses =
        |list: Vec<Declared<'_>>| list.into_iter().map(|of| view.container(of)).collect::<Vec<_>>();
    let ips = if spec.host_network == Some(true) { &facts.host_ips } else { &state.ips };
    let failed = state.verdict.as_ref().filter(|_| phase == "Failed");
    PodStatus {
        conditions: Some(conditions(pod, state, phase, now)),
        host_ip: facts.host_ips.first().cloned(),
        host_ips: list(facts.host_ips.iter().map(|ip| HostIP { ip: ip.clone() })),
        pod_ip: ips.first().cloned(),
        pod_ips: list(ips.iter().map(|ip| PodIP { ip: ip.clone() })),
        start_time: Some(wire_time(state.started_at)),
        phase: Some(phase.to_owned()),
        reason: failed.map(|(reason, _)| (*reason).to_owned()),
        message: failed.map(|(_, message)| message.clone()),
        container_statuses: Some(statuses(mains)),
        init_container_statuses: Some(statuses(inits)).filter(|list| !list.is_empty()),
        observed_generation: pod.metadata.generation,
        ..known
    }
}

fn list<T>(items: impl Iterator<Item = T>) -> Option<Vec<T>> {
    Some(items.collect::<Vec<_>>()).filter(|items| !items.is_empty())
}

fn phase(pod: &Pod, spec: &PodSpec, state: &PodState) -> &'static str {
    let settled = !state.containers.values().any(|record| record.state.is_busy());
    let ending = state.gone || pod.metadata.deletion_timestamp.is_some();
    if settled && (state.verdict.is_some() || init_failed(pod, spec, state)) {
        return "Failed";
    }
    let mains: Vec<_> = declared(pod)
        .into_iter()
        .filter(|of| of.role == Role::Main)
        .filter_map(|of| state.containers.get(&of.spec.name).map(|record| (of, record)))
        .collect();
    let over = |(of, record): &(Declared<'_>, &ContainerRecord)| {
        matches!(record.state, ContainerState::Exited(_)) && (ending || !will_restart(spec, *of, record))
    };
    if settled && !mains.is_empty() && mains.iter().all(over) {
        let clean = mains.iter().all(|(_, record)| match &record.state {
            ContainerState::Exited(end) => end.exit_code == 0,
            _ => false,
        });
        return if clean { "Succeeded" } else { "Failed" };
    }
    if settled && ending {
        return "Failed";
    }
    let begun = |(_, record): &(Declared<'_>, &ContainerRecord)| {
        record.state.run().is_some()
            || record.last.is_some()
            || matches!(record.state, ContainerState::Exited(_))
    };
    if !mains.is_empty() && mains.iter().all(begun) && inits_done(pod, state) { "Running" } else { "Pending" }
}

/// Whether all plain init containers are done; a sidecar that restarts does not make the pod pending.
fn inits_done(pod: &Pod, state: &PodState) -> bool {
    declared(pod).into_iter().filter(|of| of.role == Role::Init).all(|of| {
        state.containers.get(&of.spec.name).is_some_and(|record| match &record.state {
            ContainerState::Exited(end) => end.exit_code == 0,
            _ => false,
        })
    })
}

struct View<'a> {
    pod: &'a Pod,
    spec: &'a PodSpec,
    state: &'a PodState,
    now: Timestamp,
}

impl View<'_> {
    fn container(&self, of: Declared<'_>) -> ContainerStatus {
        let untouched = ContainerRecord::default();
        let record = self.state.containers.get(&of.spec.name).unwrap_or(&untouched);
        let (shown, last) = self.shown(of, record);
        let id = record.state.run().map(|run| run.id.as_str()).or_else(|| match &record.state {
            ContainerState::Exited(end) => Some(end.id.as_str()),
            _ => record.last.as_ref().map(|end| end.id.as_str()),
        });
        let image = record.state.run().map(|run| run.image.clone());
        let ready = match (&record.state, of.role) {
            (ContainerState::Exited(end), Role::Init) => end.exit_code == 0,
            (_, Role::Init) => false,
            _ => is_ready(of.spec, record),
        };
        ContainerStatus {
            name: of.spec.name.clone(),
            image: image.or_else(|| of.spec.image.clone()).unwrap_or_default(),
            image_id: record.image_id.clone().unwrap_or_default(),
            container_id: id.filter(|id| !id.is_empty()).map(|id| format!("konzert://{id}")),
            restart_count: i32::try_from(record.restarts).unwrap_or(i32::MAX),
            ready,
            started: Some(is_started(of.spec, record)),
            state: Some(shown),
            last_state: Some(last.map(terminated).unwrap_or_default()),
            ..ContainerStatus::default()
        }
    }

    /// The present state and the end of the instance before it.
    fn shown<'r>(
        &self,
        of: Declared<'_>,
        record: &'r ContainerRecord,
    ) -> (ApiState, Option<&'r Termination>) {
        let last = record.last.as_ref();
        match &record.state {
            ContainerState::Running(run) | ContainerState::Stopping { run, .. } => {
                let running = ContainerStateRunning { started_at: Some(wire_time(run.started_at)) };
                (ApiState { running: Some(running), ..ApiState::default() }, last)
            }
            ContainerState::Exited(end) => match record.restart_at.filter(|at| self.waits(of, record, *at)) {
                Some(at) => (self.crash_loop(of, end, at), Some(end)),
                None => (terminated(end), last),
            },
            ContainerState::Waiting { hold: Some(hold) } => (held(hold, self.now), last),
            _ => match last {
                // Between two instances nothing is said that the next write takes back at once.
                Some(end) if end.reason != crate::TerminationReason::ContainerStatusUnknown => {
                    (terminated(end), None)
                }
                _ => (waiting(self.first_reason(of), None), last),
            },
        }
    }

    fn waits(&self, of: Declared<'_>, record: &ContainerRecord, restart_at: Timestamp) -> bool {
        let stays = self.state.verdict.is_none() && self.pod.metadata.deletion_timestamp.is_none();
        stays
            && !record.must_restart
            && self.now < restart_at
            && self.state.sandbox != SandboxState::Gone
            && will_restart(self.spec, of, record)
    }

    fn crash_loop(&self, of: Declared<'_>, end: &Termination, restart_at: Timestamp) -> ApiState {
        let delay = restart_at.duration_since(end.finished_at).as_secs();
        let pod = self.pod.metadata.name.as_deref().unwrap_or_default();
        let namespace = self.pod.metadata.namespace.as_deref().unwrap_or_default();
        let name = &of.spec.name;
        let message = format!("back-off {delay}s restarting failed container={name} pod={pod}_{namespace}");
        waiting("CrashLoopBackOff", Some(message))
    }

    fn first_reason(&self, of: Declared<'_>) -> &'static str {
        let has_init = self.spec.init_containers.as_ref().is_some_and(|list| !list.is_empty());
        let its_turn = of.role == Role::Main && initialized(self.pod, self.state);
        if has_init && !its_turn { "PodInitializing" } else { "ContainerCreating" }
    }
}

fn held(hold: &Hold, now: Timestamp) -> ApiState {
    let backing_off = hold.reason == WaitReason::ErrImagePull && now >= after(hold.since, ERR_SHOWN);
    let reason = if backing_off { WaitReason::ImagePullBackOff } else { hold.reason };
    let message = if backing_off {
        format!("Back-off pulling image \"{}\": {}: {}", hold.image, hold.reason.as_str(), hold.message)
    } else {
        hold.message.clone()
    };
    waiting(reason.as_str(), Some(message))
}

fn waiting(reason: &str, message: Option<String>) -> ApiState {
    let waiting = ContainerStateWaiting { reason: Some(reason.to_owned()), message };
    ApiState { waiting: Some(waiting), ..ApiState::default() }
}

fn terminated(end: &Termination) -> ApiState {
    let terminated = ContainerStateTerminated {
        container_id: Some(end.id.clone()).filter(|id| !id.is_empty()).map(|id| format!("konzert://{id}")),
        exit_code: end.exit_code,
        signal: end.signal,
        reason: Some(end.reason.as_str().to_owned()),
        message: end.message.clone(),
        started_at: end.started_at.map(wire_time),
        finished_at: Some(wire_time(end.finished_at)),
    };
    ApiState { terminated: Some(terminated), ..ApiState::default() }
}

/// The termination in a stored status, when there is one. `attempt` is its instance number.
pub(crate) fn parse_terminated(state: Option<&ApiState>, attempt: u32) -> Option<Termination> {
    let end = state?.terminated.as_ref()?;
    let id = end.container_id.as_deref().unwrap_or_default();
    Some(Termination {
        attempt,
        id: id.strip_prefix("konzert://").unwrap_or(id).to_owned(),
        exit_code: end.exit_code,
        signal: end.signal,
        reason: crate::TerminationReason::parse(end.reason.as_deref().unwrap_or_default()),
        message: end.message.clone(),
        started_at: end.started_at.as_ref().map(|time| time.0),
        finished_at: end.finished_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0),
    })
}

/// How long ago `then` was, never negative.
pub(crate) fn since(then: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(then).max(SignedDuration::ZERO)
}
