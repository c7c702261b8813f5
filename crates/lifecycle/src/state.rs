//! Everything the node knows of one pod, and how observations and begun actions change it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Pod, PodStatus};

use crate::action::{Action, KillReason};
use crate::backoff::{BackOff, after};
use crate::container::{
    Change, ContainerState, Hold, Hook, Stop, Termination, TerminationReason, TransitionError, WaitReason,
};
use crate::order::{declared, find};
use crate::probe::{ProbeKind, ProbeOutcome, ProbeRules, ProbeState};

/// An effect that failed is tried again after this long when nothing else is said.
const RETRY: SignedDuration = SignedDuration::from_secs(2);

/// The pod's surroundings: directories, volumes, network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxState {
    /// Not there; `not_before` is set after a failure.
    Absent {
        /// Next attempt.
        not_before: Option<Timestamp>,
    },
    /// Being made.
    Preparing,
    /// There.
    Ready,
    /// Being removed.
    TearingDown,
    /// Removed.
    Gone,
}

/// An effect of which one may run at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Idle,
    InFlight,
    Wait(Timestamp),
}

impl Turn {
    pub(crate) fn ready(self, now: Timestamp) -> Result<(), Option<Timestamp>> {
        match self {
            Self::Idle => Ok(()),
            Self::InFlight => Err(None),
            Self::Wait(until) if now >= until => Ok(()),
            Self::Wait(until) => Err(Some(until)),
        }
    }
}

/// An exited instance that is still known to the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grave {
    pub(crate) id: String,
    pub(crate) turn: Turn,
}

/// One container of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRecord {
    /// Where it stands.
    pub state: ContainerState,
    /// Attempt number of the present (or last) instance.
    pub restarts: u32,
    /// How the instance before the present one ended.
    pub last: Option<Termination>,
    /// Manifest digest last used.
    pub image_id: Option<String>,
    /// When an exited container may start again.
    pub restart_at: Option<Timestamp>,
    pub(crate) must_restart: bool,
    pub(crate) doomed: Option<KillReason>,
    pub(crate) crash: BackOff,
    pub(crate) image: BackOff,
    pub(crate) probes: BTreeMap<ProbeKind, ProbeState>,
    pub(crate) graves: BTreeMap<u32, Grave>,
}

impl Default for ContainerRecord {
    fn default() -> Self {
        Self {
            state: ContainerState::Waiting { hold: None },
            restarts: 0,
            last: None,
            image_id: None,
            restart_at: None,
            must_restart: false,
            doomed: None,
            crash: BackOff::crash(),
            image: BackOff::image(),
            probes: BTreeMap::new(),
            graves: BTreeMap::new(),
        }
    }
}

impl ContainerRecord {
    /// The state of one of its probes.
    pub fn probe(&self, kind: ProbeKind) -> Option<&ProbeState> {
        self.probes.get(&kind)
    }
}

/// Everything known of one pod.
#[derive(Debug, Clone, PartialEq)]
pub struct PodState {
    /// Its surroundings.
    pub sandbox: SandboxState,
    /// Its addresses; kept after teardown.
    pub ips: Vec<String>,
    /// Its containers by name.
    pub containers: BTreeMap<String, ContainerRecord>,
    /// `status.startTime`.
    pub started_at: Timestamp,
    /// Reason and message of a pod that was given up.
    pub verdict: Option<(&'static str, String)>,
    /// The API already holds a final phase from an earlier life; the status is not touched again.
    pub sealed: bool,
    /// The API object is gone.
    pub gone: bool,
    pub(crate) sandbox_backoff: BackOff,
    pub(crate) sandbox_trouble: Option<String>,
    pub(crate) teardown: Turn,
    pub(crate) winding_since: Option<Timestamp>,
    pub(crate) report: Turn,
    pub(crate) reporting: Option<PodStatus>,
    pub(crate) reported: Option<PodStatus>,
    pub(crate) delete: Turn,
}

/// Why an image check or a creation failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The container waits with this reason and is tried again.
    Hold(WaitReason, String),
    /// The process could not be started; counts as an exit with code 128.
    Start(String),
}

/// What the node observed.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The sandbox is there, with these addresses (none on the host network).
    SandboxReady {
        /// Pod addresses.
        ips: Vec<String>,
    },
    /// Making the sandbox failed.
    SandboxFailed {
        /// Why; shown in the condition `PodReadyToStartContainers`.
        message: String,
    },
    /// Teardown ended.
    SandboxGone {
        /// Whether everything was removed.
        clean: bool,
    },
    /// The image is there and its root file system prepared.
    ImageReady {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// Manifest digest.
        image_id: String,
    },
    /// Image check or creation failed.
    Failed {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// How.
        failure: Failure,
    },
    /// The process runs.
    Started {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// Runtime id.
        id: String,
        /// Start time.
        started_at: Timestamp,
    },
    /// The postStart hook ended; the error is its message.
    PostStartDone {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// How it ended.
        result: Result<(), String>,
    },
    /// A probe ran.
    Probed {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// Which probe.
        kind: ProbeKind,
        /// Its result.
        outcome: ProbeOutcome,
    },
    /// An instance ended.
    Exited {
        /// Container name.
        name: String,
        /// How.
        end: Termination,
    },
    /// An exited instance was removed, or not.
    Removed {
        /// Container name.
        name: String,
        /// Instance number.
        attempt: u32,
        /// Whether it is gone.
        clean: bool,
    },
    /// The status write ended.
    Reported {
        /// Whether it was taken (an object that is gone counts as taken).
        taken: bool,
    },
    /// The delete call failed.
    DeleteFailed,
    /// The API object is gone.
    PodGone,
    /// Something a waiting container may need changed: an image was loaded, a `ConfigMap` or Secret came or changed.
    SourcesChanged,
}

impl PodState {
    /// Notes that `action` of a plan was begun at `now`. Actions of the present plan always fit; a refusal is a defect.
    pub fn begin(&mut self, action: &Action, now: Timestamp) -> Result<(), TransitionError> {
        match action {
            Action::EnsureSandbox => self.sandbox = SandboxState::Preparing,
            Action::TeardownSandbox => {
                self.sandbox = SandboxState::TearingDown;
                self.teardown = Turn::InFlight;
            }
            Action::FailPod { reason, message } => self.verdict = Some((reason, message.clone())),
            Action::ReportStatus(status) => {
                self.report = Turn::InFlight;
                self.reporting = Some(status.as_ref().clone());
            }
            Action::DeletePodObject => self.delete = Turn::InFlight,
            Action::CheckImage { name, attempt, image } => self.begin_check(name, *attempt, image)?,
            Action::CreateContainer { name, .. } => self.change(name, &Change::Create)?,
            Action::PostStart { name, attempt } => {
                self.change(name, &Change::Hook { attempt: *attempt, hook: Hook::Running })?;
            }
            Action::RunProbe { name, kind, .. } => {
                if let Some(probe) = self.record(name).probes.get_mut(kind) {
                    probe.begin(now);
                }
            }
            Action::Kill { name, grace, reason, .. } => self.begin_kill(name, *grace, reason, now)?,
            Action::ForceKill { name, .. } => self.change(name, &Change::Force { at: now })?,
            Action::RemoveContainer { name, attempt, .. } => {
                if let Some(grave) = self.record(name).graves.get_mut(attempt) {
                    grave.turn = Turn::InFlight;
                }
            }
        }
        Ok(())
    }

    /// Takes an observation in. A late answer that no longer fits is refused and changes nothing.
    pub fn apply(&mut self, pod: &Pod, event: Event, now: Timestamp) -> Result<(), TransitionError> {
        match event {
            Event::SandboxReady { ips } => {
                self.sandbox = SandboxState::Ready;
                self.sandbox_trouble = None;
                self.sandbox_backoff.reset();
                self.ips = ips;
            }
            Event::SandboxFailed { message } => {
                self.sandbox_trouble = Some(message);
                let not_before = Some(after(now, self.sandbox_backoff.step()));
                self.sandbox = SandboxState::Absent { not_before };
            }
            Event::SandboxGone { clean: true } => {
                self.sandbox = SandboxState::Gone;
                self.teardown = Turn::Idle;
            }
            Event::SandboxGone { clean: false } => self.teardown = Turn::Wait(after(now, RETRY)),
            Event::ImageReady { name, attempt, image_id } => {
                self.change(&name, &Change::ImageReady { attempt, image_id: image_id.clone() })?;
                let record = self.record(&name);
                record.image.reset();
                record.image_id = Some(image_id);
            }
            Event::Failed { name, attempt, failure } => self.failed(pod, &name, attempt, failure, now)?,
            Event::Started { name, attempt, id, started_at } => {
                self.started(pod, &name, attempt, id, started_at)?;
            }
            Event::PostStartDone { name, attempt, result } => {
                self.change(&name, &Change::Hook { attempt, hook: Hook::Done })?;
                if let Err(why) = result {
                    self.record(&name).doomed = Some(KillReason::PostStart(why));
                }
            }
            Event::Probed { name, attempt, kind, outcome } => {
                self.probed(pod, (&name, attempt, kind), &outcome, now);
            }
            Event::Exited { name, end } => self.exited(&name, end)?,
            Event::Removed { name, attempt, clean } => {
                let graves = &mut self.record(&name).graves;
                if clean {
                    graves.remove(&attempt);
                } else if let Some(grave) = graves.get_mut(&attempt) {
                    grave.turn = Turn::Wait(after(now, RETRY));
                }
            }
            Event::Reported { taken } => self.reported(taken, now),
            Event::DeleteFailed => self.delete = Turn::Wait(after(now, RETRY)),
            Event::PodGone => self.gone = true,
            Event::SourcesChanged => self.end_holds(now),
        }
        Ok(())
    }

    /// Whether the run of a probe is a counted failure, worth an event, if it fails now.
    pub fn probe_counts(&self, name: &str, kind: ProbeKind, rules: ProbeRules, now: Timestamp) -> bool {
        let probe = self.containers.get(name).and_then(|record| record.probes.get(&kind)).cloned();
        probe.is_some_and(|mut probe| probe.finish(kind, rules, &ProbeOutcome::Failure(String::new()), now))
    }

    fn record(&mut self, name: &str) -> &mut ContainerRecord {
        self.containers.entry(name.to_owned()).or_default()
    }

    fn change(&mut self, name: &str, change: &Change) -> Result<(), TransitionError> {
        let record = self.record(name);
        let Some(next) = record.state.next(change) else {
            return Err(TransitionError {
                name: name.to_owned(),
                state: format!("{:?}", record.state),
                change: format!("{change:?}"),
            });
        };
        record.state = next;
        Ok(())
    }

    fn begin_check(&mut self, name: &str, attempt: u32, image: &str) -> Result<(), TransitionError> {
        let before = self.record(name).state.clone();
        self.change(name, &Change::CheckImage { attempt, image: image.to_owned() })?;
        let record = self.record(name);
        if let ContainerState::Exited(end) = before {
            record.last = Some(end);
        }
        record.restarts = attempt;
        record.must_restart = false;
        record.restart_at = None;
        Ok(())
    }

    fn begin_kill(
        &mut self,
        name: &str,
        grace: SignedDuration,
        reason: &KillReason,
        now: Timestamp,
    ) -> Result<(), TransitionError> {
        let stop = Stop { reason: reason.clone(), since: now, deadline: after(now, grace), forced_at: None };
        self.change(name, &Change::Stop(stop))?;
        let record = self.record(name);
        record.must_restart = matches!(reason, KillReason::ImageChanged);
        record.doomed = None;
        if matches!(reason, KillReason::PodDeleted | KillReason::PodFinished) {
            self.winding_since.get_or_insert(now);
        }
        Ok(())
    }

    fn failed(
        &mut self,
        pod: &Pod,
        name: &str,
        attempt: u32,
        failure: Failure,
        now: Timestamp,
    ) -> Result<(), TransitionError> {
        match failure {
            Failure::Hold(reason, message) => {
                let image = find(pod, name).and_then(|of| of.spec.image.clone()).unwrap_or_default();
                let until = after(now, self.record(name).image.clone().step());
                let hold = Hold { reason, message, image, since: now, until };
                self.change(name, &Change::Refused { attempt, hold })?;
                self.record(name).image.step();
                Ok(())
            }
            Failure::Start(message) => {
                let end = Termination {
                    attempt,
                    id: String::new(),
                    exit_code: 128,
                    signal: None,
                    reason: TerminationReason::StartError,
                    message: Some(message),
                    started_at: None,
                    finished_at: now,
                };
                self.exited(name, end)
            }
        }
    }

    fn started(
        &mut self,
        pod: &Pod,
        name: &str,
        attempt: u32,
        id: String,
        started_at: Timestamp,
    ) -> Result<(), TransitionError> {
        let hooked = find(pod, name)
            .and_then(|of| of.spec.lifecycle.as_ref())
            .is_some_and(|lifecycle| lifecycle.post_start.is_some());
        let hook = if hooked { Hook::Due } else { Hook::Done };
        self.change(name, &Change::Started { attempt, id, started_at, hook })?;
        let record = self.record(name);
        record.probes.clear();
        record.doomed = None;
        Ok(())
    }

    fn probed(&mut self, pod: &Pod, run: (&str, u32, ProbeKind), outcome: &ProbeOutcome, now: Timestamp) {
        let (name, attempt, kind) = run;
        let Some(rules) = find(pod, name).and_then(|of| kind.of(of.spec)).map(ProbeRules::of) else { return };
        let record = self.record(name);
        let same = record.state.run().is_some_and(|run| run.attempt == attempt);
        if let Some(probe) = record.probes.get_mut(&kind).filter(|_| same) {
            probe.finish(kind, rules, outcome, now);
        }
    }

    fn exited(&mut self, name: &str, end: Termination) -> Result<(), TransitionError> {
        self.change(name, &Change::Exited(end.clone()))?;
        let record = self.record(name);
        let ran = end.started_at.map_or(SignedDuration::ZERO, |start| end.finished_at.duration_since(start));
        let delay = if record.must_restart { SignedDuration::ZERO } else { record.crash.step_after(ran) };
        record.restart_at = Some(after(end.finished_at, delay));
        record.probes.clear();
        record.doomed = None;
        if !end.id.is_empty() {
            record.graves.insert(end.attempt, Grave { id: end.id, turn: Turn::Idle });
        }
        Ok(())
    }

    fn reported(&mut self, taken: bool, now: Timestamp) {
        let written = self.reporting.take();
        if taken {
            self.reported = written;
            self.report = Turn::Idle;
        } else {
            self.report = Turn::Wait(after(now, RETRY));
        }
    }

    fn end_holds(&mut self, now: Timestamp) {
        if let SandboxState::Absent { not_before } = &mut self.sandbox {
            *not_before = None;
        }
        for record in self.containers.values_mut() {
            if let ContainerState::Waiting { hold: Some(hold) } = &mut record.state {
                hold.until = now;
            }
        }
    }

    /// Starts the probes whose time has come into being: startup first, the others once it passed.
    pub(crate) fn missing_probes(&self, pod: &Pod, now: Timestamp) -> Vec<(String, ProbeKind, ProbeState)> {
        let mut missing = Vec::new();
        for of in declared(pod) {
            let Some(record) = self.containers.get(&of.spec.name) else { continue };
            let ContainerState::Running(run) = &record.state else { continue };
            for kind in ProbeKind::ALL {
                let Some(probe) = kind.of(of.spec) else { continue };
                let gated = kind != ProbeKind::Startup && of.spec.startup_probe.is_some();
                let open = !gated || record.probe(ProbeKind::Startup).is_some_and(ProbeState::is_passing);
                if open && run.hook == Hook::Done && !record.probes.contains_key(&kind) {
                    let state = ProbeState::new(ProbeRules::of(probe), run.started_at, now);
                    missing.push((of.spec.name.clone(), kind, state));
                }
            }
        }
        missing
    }

    /// Brings probes of running containers into being; call before [`crate::decide`] with the same time.
    pub fn arm_probes(&mut self, pod: &Pod, now: Timestamp) {
        for (name, kind, probe) in self.missing_probes(pod, now) {
            self.record(&name).probes.insert(kind, probe);
        }
    }
}
