//! The actor of one pod: takes observations, asks for a plan, starts effects. It never waits for an effect, so an
//! event is answered at once, and it alone changes the pod's state, so there is one order of everything.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use konzert_lifecycle::{
    Action, ContainerState, Event, PodState, ProbeKind, ProbeOutcome, ProbeRules, Termination,
    TerminationReason, decide, find,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::pod::context::{ExitNote, PodContext, now};
use crate::pod::{effects, refresh, report};
use crate::recorder::Severity;

/// What an actor is told from outside.
pub(crate) enum Input {
    /// The API object changed.
    Pod(Arc<Pod>),
    /// The API object is gone.
    Gone,
    /// An instance ended.
    Exit(ExitNote),
    /// An image was loaded, or the like.
    SourcesChanged,
    /// The engine stops; containers go on.
    Stop,
}

/// Plans at one moment; more than a handful means a defect in the state machine.
const MAX_ROUNDS: u32 = 100;
/// What effects may take when the engine stops.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The actor.
pub(crate) struct Actor {
    pub(crate) context: Arc<PodContext>,
    pub(crate) state: PodState,
    pub(crate) pod: watch::Sender<Arc<Pod>>,
    pub(crate) inbox: mpsc::Receiver<Input>,
    pub(crate) effects: JoinSet<Option<Event>>,
    /// Ends that came before the start was known.
    pub(crate) early: Vec<ExitNote>,
}

/// What an actor does after its plans.
enum Advance {
    /// Nothing is left of the pod.
    PodDone,
    /// Wait for an observation, or for this time.
    WaitUntil(Option<Timestamp>),
}

/// Why the actor ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing is left of the pod.
    PodDone,
    /// The engine stops.
    Stopped,
}

impl Actor {
    /// Lives until the pod is done or the engine stops.
    pub(crate) async fn run(mut self) -> Ending {
        if self.state.sandbox == konzert_lifecycle::SandboxState::Ready && !self.state.sealed {
            let context = self.context.clone();
            self.effects.spawn(async move {
                refresh::resume(&context).await;
                None
            });
        }
        loop {
            let Advance::WaitUntil(wake) = self.advance() else { return self.finish().await };
            if self.wait(wake).await == Some(Ending::Stopped) {
                let drain = async { while self.effects.join_next().await.is_some() {} };
                if tokio::time::timeout(STOP_PATIENCE, drain).await.is_err() {
                    tracing::debug!(pod = self.context.name, "effects were cut off by the stop");
                }
                return Ending::Stopped;
            }
        }
    }

    /// Waits for the next observation or the wake-up, and takes in everything that is there.
    async fn wait(&mut self, wake: Option<Timestamp>) -> Option<Ending> {
        let poke = self.context.poke.clone();
        let delay = wake.map(|at| Duration::try_from(at.duration_since(now())).unwrap_or_default());
        let alarm = async {
            match delay {
                Some(delay) => tokio::time::sleep(delay).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            input = self.inbox.recv() => match input {
                Some(input) => return self.take(input),
                None => return Some(Ending::Stopped),
            },
            Some(done) = self.effects.join_next() => self.effect_done(done),
            () = poke.notified() => self.apply(Event::SourcesChanged),
            () = alarm => {}
        }
        None
    }

    fn take(&mut self, input: Input) -> Option<Ending> {
        match input {
            Input::Pod(pod) => drop(self.pod.send_replace(pod)),
            Input::Gone => self.apply(Event::PodGone),
            Input::Exit(note) => self.exited(note),
            Input::SourcesChanged => self.apply(Event::SourcesChanged),
            Input::Stop => return Some(Ending::Stopped),
        }
        None
    }

    fn effect_done(&mut self, done: Result<Option<Event>, tokio::task::JoinError>) {
        match done {
            Ok(Some(event)) => self.apply(event),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, pod = self.context.name, "an effect of a pod panicked"),
        }
        for note in std::mem::take(&mut self.early) {
            self.exited(note);
        }
    }

    fn apply(&mut self, event: Event) {
        let at = now();
        let pod = self.context.pod();
        if let Event::Probed { name, kind, outcome: ProbeOutcome::Failure(why), .. } = &event {
            self.tell_unhealthy(&pod, name, *kind, why, at);
        }
        if let Err(refused) = self.state.apply(&pod, event, at) {
            tracing::debug!(pod = self.context.name, %refused, "a late observation is ignored");
        }
    }

    fn tell_unhealthy(&self, pod: &Pod, name: &str, kind: ProbeKind, why: &str, at: Timestamp) {
        let rules = find(pod, name).and_then(|of| kind.of(of.spec)).map(ProbeRules::of);
        if rules.is_some_and(|rules| self.state.probe_counts(name, kind, rules, at)) {
            let message = format!("{} probe failed: {why}", kind.word());
            self.context.tell(Some(name), Severity::Warning, "Unhealthy", message);
        }
    }

    /// An instance ended. Its last words are read before the state hears of it.
    fn exited(&mut self, note: ExitNote) {
        let Some(record) = self.state.containers.get(&note.name) else { return };
        if matches!(&record.state, ContainerState::Creating { attempt, .. } if *attempt == note.attempt) {
            self.early.push(note);
            return;
        }
        let Some(run) = record.state.run().filter(|run| run.attempt == note.attempt).cloned() else { return };
        let context = self.context.clone();
        self.effects.spawn(async move {
            let message = report::last_words(&context, &note).await;
            let reason = match (note.exit.oom_killed, note.exit.code) {
                (true, _) => TerminationReason::OomKilled,
                (false, 0) => TerminationReason::Completed,
                (false, _) => TerminationReason::Error,
            };
            let end = Termination {
                attempt: note.attempt,
                id: run.id,
                exit_code: note.exit.code,
                signal: note.exit.signal,
                reason,
                message,
                started_at: Some(run.started_at),
                finished_at: note.exit.finished_at,
            };
            Some(Event::Exited { name: note.name, end })
        });
    }

    /// Plans and starts effects until nothing is to do now.
    fn advance(&mut self) -> Advance {
        for _ in 0..MAX_ROUNDS {
            let at = now();
            let pod = self.context.pod();
            self.state.arm_probes(&pod, at);
            let plan = decide(&pod, &self.state, &self.context.shared.facts, at);
            if plan.done {
                return Advance::PodDone;
            }
            if plan.actions.is_empty() {
                return Advance::WaitUntil(plan.wake_at);
            }
            for action in plan.actions {
                self.start(action, at);
            }
        }
        tracing::error!(pod = self.context.name, uid = self.context.uid, "plans do not end; pausing the pod");
        Advance::WaitUntil(now().checked_add(jiff::SignedDuration::from_secs(1)).ok())
    }

    fn start(&mut self, action: Action, at: Timestamp) {
        if let Action::ReportStatus(status) = &action {
            self.tell_back_offs(status);
        }
        if let Err(refused) = self.state.begin(&action, at) {
            tracing::error!(pod = self.context.name, %refused, "a planned action does not fit");
            return;
        }
        if let Action::FailPod { reason, message } = &action {
            self.context.tell(None, Severity::Warning, reason, message.clone());
            return;
        }
        self.effects.spawn(effects::carry_out(self.context.clone(), action));
    }

    /// An event for every container that newly waits in a back-off.
    fn tell_back_offs(&self, status: &PodStatus) {
        let pod = self.context.pod();
        let before = pod.status.as_ref();
        for container in all_statuses(status) {
            let Some((reason, message)) = waiting(container) else { continue };
            let known = before.into_iter().flat_map(all_statuses).find(|old| old.name == container.name);
            let same = known.and_then(waiting).is_some_and(|(old, _)| old == reason);
            let text = match reason {
                _ if same => continue,
                "CrashLoopBackOff" => {
                    let (name, pod) = (&container.name, &self.context.name);
                    format!(
                        "Back-off restarting failed container {name} in pod {pod}_{}",
                        self.context.namespace
                    )
                }
                "ImagePullBackOff" => message.to_owned(),
                _ => continue,
            };
            self.context.tell(Some(&container.name), Severity::Warning, "BackOff", text);
        }
    }

    async fn finish(mut self) -> Ending {
        self.effects.shutdown().await;
        let logs = self.context.dirs.logs.clone();
        let removed = tokio::task::spawn_blocking(move || crate::cleanup::remove_place(&logs)).await;
        if let Ok(Err(error)) = removed {
            tracing::warn!(%error, pod = self.context.name, "logs of a deleted pod stay");
        }
        Ending::PodDone
    }
}

fn all_statuses(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    status.container_statuses.iter().chain(&status.init_container_statuses).flatten()
}

fn waiting(status: &ContainerStatus) -> Option<(&str, &str)> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.as_deref()?, waiting.message.as_deref().unwrap_or_default()))
}
