//! Taking over a pod after a restart of the main process (or of the host): what the API says of it, overlaid with
//! what the runtime still has.
//!
//! A container that runs is adopted with its readiness as the API shows it; nothing is restarted. One that is gone
//! without a recorded end counts as ended with code 137. Without a sandbox the init containers run again.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};

use crate::backoff::{BackOff, after};
use crate::container::{ContainerState, Hook, Run, Termination, TerminationReason};
use crate::order::{Declared, Role, declared};
use crate::probe::{ProbeKind, ProbeRules, ProbeState};
use crate::state::{ContainerRecord, Grave, PodState, SandboxState, Turn};
use crate::status::{parse_terminated, since};

/// What the runtime and the network still have of a pod.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Addresses when the sandbox is there (empty on the host network); `None` when there is none.
    pub sandbox_ips: Option<Vec<String>>,
    /// Containers with the pod's uid.
    pub containers: Vec<FoundContainer>,
}

/// A container the runtime still has.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundContainer {
    /// Container name.
    pub name: String,
    /// Instance number.
    pub attempt: u32,
    /// Runtime id.
    pub id: String,
    /// Reference it was started from.
    pub image: String,
    /// Manifest digest it was started from.
    pub image_id: String,
    /// Whether it runs.
    pub state: FoundState,
}

/// Whether a found container runs.
#[derive(Debug, Clone, PartialEq)]
pub enum FoundState {
    /// It runs.
    Running {
        /// Start time.
        started_at: Timestamp,
    },
    /// It ended.
    Exited(Termination),
}

impl PodState {
    /// A pod that is new on this node.
    pub fn new(pod: &Pod, now: Timestamp) -> Self {
        Self::adopt(pod, &Found::default(), now)
    }

    /// A pod as the API and the runtime have it at `now`.
    pub fn adopt(pod: &Pod, found: &Found, now: Timestamp) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let sealed = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        let sandbox = match found.sandbox_ips {
            Some(_) => SandboxState::Ready,
            None => SandboxState::Absent { not_before: None },
        };
        let served_ips = status.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect();
        let containers = declared(pod)
            .into_iter()
            .map(|of| {
                let seat = Seat { of, known: known(&status, of), sandbox: found.sandbox_ips.is_some(), now };
                (of.spec.name.clone(), seat.record(found))
            })
            .collect::<BTreeMap<_, _>>();
        Self {
            sandbox,
            ips: found.sandbox_ips.clone().unwrap_or(served_ips),
            containers,
            started_at: status.start_time.as_ref().map_or(now, |time| time.0),
            verdict: None,
            sealed,
            gone: false,
            sandbox_backoff: BackOff::sandbox(),
            sandbox_trouble: None,
            teardown: Turn::Idle,
            winding_since: None,
            report: Turn::Idle,
            reporting: None,
            reported: pod.status.clone(),
            delete: Turn::Idle,
        }
    }
}

fn known<'a>(status: &'a PodStatus, of: Declared<'_>) -> Option<&'a ContainerStatus> {
    let list = match of.role {
        Role::Main => &status.container_statuses,
        Role::Init | Role::Sidecar => &status.init_container_statuses,
    };
    list.iter().flatten().find(|status| status.name == of.spec.name)
}

/// One container with what is known of it.
struct Seat<'a> {
    of: Declared<'a>,
    known: Option<&'a ContainerStatus>,
    sandbox: bool,
    now: Timestamp,
}

impl Seat<'_> {
    fn record(&self, found: &Found) -> ContainerRecord {
        let mut instances: Vec<_> =
            found.containers.iter().filter(|container| container.name == self.of.spec.name).collect();
        instances.sort_by_key(|container| container.attempt);
        let mut record = self.served();
        if let Some(newest) = instances.pop() {
            self.overlay(&mut record, newest);
        }
        // Older instances only wait for removal, which also kills them should one be alive.
        for old in instances {
            record.graves.insert(old.attempt, Grave { id: old.id.clone(), turn: Turn::Idle });
        }
        record
    }

    fn served(&self) -> ContainerRecord {
        let mut record = ContainerRecord::default();
        let Some(known) = self.known else { return record };
        let restarts = known.restart_count.max(0).unsigned_abs();
        record.restarts = restarts;
        record.image_id = Some(known.image_id.clone()).filter(|id| !id.is_empty());
        record.crash = BackOff::crash().resumed(restarts);
        record.last = parse_terminated(known.last_state.as_ref(), restarts.saturating_sub(1));
        let ended = parse_terminated(known.state.as_ref(), restarts);
        let ran = known.state.as_ref().is_some_and(|state| state.running.is_some());
        if self.of.role == Role::Init && !self.sandbox && (ran || ended.is_some()) {
            record.last = ended.or(record.last);
            record.restarts += 1;
            return record;
        }
        if let Some(end) = ended {
            Self::exited(&mut record, end);
        } else if ran {
            let end = self.lost(known, restarts);
            Self::exited(&mut record, end);
        } else if let Some(end) = record.last.take() {
            // It waited for its next start: the instance that ended last is the present one.
            let end = Termination { attempt: restarts, ..end };
            Self::exited(&mut record, end);
        }
        record
    }

    fn exited(record: &mut ContainerRecord, end: Termination) {
        let ran = end.started_at.map_or(jiff::SignedDuration::ZERO, |start| since(start, end.finished_at));
        record.restart_at = Some(after(end.finished_at, record.crash.step_after(ran)));
        record.state = ContainerState::Exited(end);
    }

    fn lost(&self, known: &ContainerStatus, attempt: u32) -> Termination {
        let running = known.state.as_ref().and_then(|state| state.running.as_ref());
        let id = known.container_id.as_deref().unwrap_or_default();
        Termination {
            attempt,
            id: id.strip_prefix("konzert://").unwrap_or(id).to_owned(),
            exit_code: 137,
            signal: None,
            reason: TerminationReason::ContainerStatusUnknown,
            message: Some("The container could not be located when the node came back".to_owned()),
            started_at: running.and_then(|running| running.started_at.as_ref()).map(|time| time.0),
            finished_at: self.now,
        }
    }

    fn overlay(&self, record: &mut ContainerRecord, found: &FoundContainer) {
        // The API may be one instance behind: what it calls present is then the one before.
        if let ContainerState::Exited(end) = &record.state
            && found.attempt > record.restarts
        {
            record.last = Some(end.clone());
        }
        let fresh = found.attempt > record.restarts || self.known.is_none();
        record.restarts = found.attempt;
        record.image_id = Some(found.image_id.clone());
        record.restart_at = None;
        match &found.state {
            FoundState::Running { started_at } => {
                record.crash = BackOff::crash().resumed(found.attempt);
                record.state = ContainerState::Running(Run {
                    id: found.id.clone(),
                    attempt: found.attempt,
                    image: found.image.clone(),
                    image_id: found.image_id.clone(),
                    started_at: *started_at,
                    hook: Hook::Done,
                });
                if !fresh {
                    self.seed_probes(record, *started_at);
                }
            }
            FoundState::Exited(end) => {
                record.crash = BackOff::crash().resumed(found.attempt);
                Self::exited(record, end.clone());
                let grave = Grave { id: found.id.clone(), turn: Turn::Idle };
                record.graves.insert(found.attempt, grave);
            }
        }
    }

    /// What passed before passes until it is disproved.
    fn seed_probes(&self, record: &mut ContainerRecord, started_at: Timestamp) {
        let Some(known) = self.known else { return };
        let mut seed = |kind: ProbeKind, passed: bool| {
            if let Some(probe) = kind.of(self.of.spec).filter(|_| passed) {
                let state = ProbeState::passed_before(ProbeRules::of(probe), started_at, self.now);
                record.probes.insert(kind, state);
            }
        };
        seed(ProbeKind::Startup, known.started == Some(true));
        seed(ProbeKind::Readiness, known.ready);
    }
}
