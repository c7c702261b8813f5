//! Pod conditions. Ours are computed; everybody else's (`PodScheduled`, readiness gates) are carried over untouched.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};

use crate::container::ContainerState;
use crate::decide::init_passed;
use crate::order::{Role, declared};
use crate::state::{PodState, SandboxState};
use crate::status::{is_ready, wire_time};

const OURS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"];

struct Verdict {
    holds: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl Verdict {
    fn yes() -> Self {
        Self { holds: true, reason: None, message: None }
    }

    fn no(reason: &'static str, message: Option<String>) -> Self {
        Self { holds: false, reason: Some(reason), message }
    }
}

/// All conditions of `pod` in `state`.
pub(crate) fn conditions(pod: &Pod, state: &PodState, phase: &str, now: Timestamp) -> Vec<PodCondition> {
    let containers_ready = containers_ready(pod, state, phase);
    let verdicts =
        [sandbox(state), initialized(pod, state, phase), ready(pod, &containers_ready), containers_ready];
    let known = |kind: &str| {
        let written = state.reported.as_ref().and_then(|status| status.conditions.as_ref());
        let served = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
        let of = |list: Option<&Vec<PodCondition>>| list?.iter().find(|c| c.type_ == kind).cloned();
        of(written).or_else(|| of(served))
    };
    let mut all: Vec<PodCondition> = OURS
        .into_iter()
        .zip(verdicts)
        .map(|(kind, verdict)| {
            let status = if verdict.holds { "True" } else { "False" };
            let kept =
                known(kind).filter(|old| old.status == status).and_then(|old| old.last_transition_time);
            PodCondition {
                type_: kind.to_owned(),
                status: status.to_owned(),
                reason: verdict.reason.map(str::to_owned),
                message: verdict.message,
                last_transition_time: kept.or_else(|| Some(wire_time(now))),
                observed_generation: pod.metadata.generation,
                last_probe_time: None,
            }
        })
        .collect();
    let served = pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    all.extend(served.filter(|condition| !OURS.contains(&condition.type_.as_str())).cloned());
    all
}

fn sandbox(state: &PodState) -> Verdict {
    if state.sandbox == SandboxState::Ready {
        Verdict::yes()
    } else {
        let message = state.sandbox_trouble.clone();
        Verdict { holds: false, reason: message.as_ref().map(|_| "SandboxFailed"), message }
    }
}

fn initialized(pod: &Pod, state: &PodState, phase: &str) -> Verdict {
    if phase == "Succeeded" {
        return Verdict { reason: Some("PodCompleted"), ..Verdict::yes() };
    }
    let open: Vec<_> = declared(pod)
        .into_iter()
        .filter(|of| of.role != Role::Main && !init_passed(state, *of))
        .map(|of| of.spec.name.as_str())
        .collect();
    if open.is_empty() {
        Verdict::yes()
    } else {
        let message = format!("containers with incomplete status: [{}]", open.join(" "));
        Verdict::no("ContainersNotInitialized", Some(message))
    }
}

fn containers_ready(pod: &Pod, state: &PodState, phase: &str) -> Verdict {
    match phase {
        "Succeeded" => return Verdict::no("PodCompleted", None),
        "Failed" => return Verdict::no("PodFailed", None),
        _ => {}
    }
    let mut unknown = Vec::new();
    let mut unready = Vec::new();
    for of in declared(pod).into_iter().filter(|of| of.role != Role::Init) {
        let name = of.spec.name.as_str();
        match state.containers.get(name) {
            None => unknown.push(name),
            Some(record) if is_ready(of.spec, record) => {}
            Some(record) if of.role == Role::Sidecar && matches!(record.state, ContainerState::Exited(_)) => {
                unready.push(name);
            }
            Some(_) => unready.push(name),
        }
    }
    let mut said = Vec::new();
    for (word, names) in [("unknown", unknown), ("unready", unready)] {
        if !names.is_empty() {
            said.push(format!("containers with {word} status: [{}]", names.join(" ")));
        }
    }
    if said.is_empty() { Verdict::yes() } else { Verdict::no("ContainersNotReady", Some(said.join(", "))) }
}

fn ready(pod: &Pod, containers: &Verdict) -> Verdict {
    if !containers.holds {
        return Verdict { holds: false, reason: containers.reason, message: containers.message.clone() };
    }
    let served = || pod.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    let gates = pod.spec.iter().filter_map(|spec| spec.readiness_gates.as_ref()).flatten();
    let mut said = Vec::new();
    for gate in gates {
        match served().find(|condition| condition.type_ == gate.condition_type) {
            None => said.push(format!(
                "corresponding condition of pod readiness gate \"{}\" does not exist.",
                gate.condition_type
            )),
            Some(condition) if condition.status != "True" => said.push(format!(
                "the status of pod readiness gate \"{}\" is not \"True\", but {}",
                gate.condition_type, condition.status
            )),
            Some(_) => {}
        }
    }
    if said.is_empty() {
        Verdict::yes()
    } else {
        Verdict::no("ReadinessGatesNotReady", Some(said.join(", ")))
    }
}
