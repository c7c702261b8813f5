//! A small world that carries plans out, and the tables that run in it.

mod deletion;
mod probes;
mod properties;
mod restarts;
mod takeover;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodStatus};
use serde_json::{Value, json};

use crate::{
    Action, Event, Failure, NodeFacts, PodState, ProbeKind, ProbeOutcome, Termination, TerminationReason,
    WaitReason, decide,
};

/// A pod from its spec, as the API server would serve it.
pub(crate) fn pod(spec: &Value) -> Pod {
    serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "uid": "u-1", "generation": 1},
        "spec": spec,
        "status": {"phase": "Pending", "qosClass": "BestEffort", "conditions": [{"type": "PodScheduled", "status": "True"}]},
    }))
    .unwrap()
}

/// Carries plans out at once, and remembers what is alive.
pub(crate) struct World {
    pub(crate) pod: Pod,
    pub(crate) state: PodState,
    pub(crate) now: Timestamp,
    pub(crate) start: Timestamp,
    /// Alive instances with their start.
    pub(crate) alive: BTreeMap<(String, u32), Timestamp>,
    /// Images that are missing.
    pub(crate) missing: Vec<String>,
    /// Containers that ignore SIGTERM.
    pub(crate) stubborn: Vec<String>,
    /// Probes that fail.
    pub(crate) failing: Vec<(String, ProbeKind)>,
    /// Words for what happened, for snapshots.
    pub(crate) story: Vec<String>,
    pub(crate) statuses: Vec<PodStatus>,
    pub(crate) done: bool,
    pub(crate) deleted: bool,
}

impl World {
    pub(crate) fn new(spec: &Value) -> Self {
        let now: Timestamp = "2030-01-01T00:00:00Z".parse().unwrap();
        let pod = pod(spec);
        Self {
            state: PodState::new(&pod, now),
            pod,
            now,
            start: now,
            alive: BTreeMap::new(),
            missing: Vec::new(),
            stubborn: Vec::new(),
            failing: Vec::new(),
            story: Vec::new(),
            statuses: Vec::new(),
            done: false,
            deleted: false,
        }
    }

    fn facts() -> NodeFacts {
        NodeFacts { host_ips: vec!["192.0.2.1".into()] }
    }

    pub(crate) fn tell(&mut self, what: &str) {
        let at = self.now.duration_since(self.start).as_secs();
        self.story.push(format!("{at}s {what}"));
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.state.apply(&self.pod, event, self.now).unwrap();
    }

    /// Carries out plans until nothing is left to do now; answers the next wake-up.
    pub(crate) fn settle(&mut self) -> Option<Timestamp> {
        for _ in 0..200 {
            self.state.arm_probes(&self.pod, self.now);
            let plan = decide(&self.pod, &self.state, &Self::facts(), self.now);
            self.done = plan.done;
            if plan.actions.is_empty() {
                return plan.wake_at;
            }
            for action in &plan.actions {
                self.state.begin(action, self.now).unwrap();
            }
            for action in plan.actions {
                self.carry_out(action);
            }
        }
        panic!("the plan never becomes empty: {:?}", self.story);
    }

    /// Lets time pass, waking up as the plans ask.
    pub(crate) fn pass(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        loop {
            let wake = self.settle();
            match wake {
                Some(at) if at <= end => self.now = at,
                _ => break,
            }
        }
        self.now = end;
        self.settle();
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::EnsureSandbox => {
                self.tell("sandbox");
                self.event(Event::SandboxReady { ips: vec!["10.244.0.7".into()] });
            }
            Action::CheckImage { name, attempt, image } if self.missing.contains(&image) => {
                self.tell(&format!("no image for {name}"));
                let failure = Failure::Hold(WaitReason::ErrImagePull, format!("no {image}"));
                self.event(Event::Failed { name, attempt, failure });
            }
            Action::CheckImage { name, attempt, .. } => {
                self.event(Event::ImageReady { name, attempt, image_id: "sha256:aa".into() });
            }
            Action::CreateContainer { name, attempt, .. } => {
                self.tell(&format!("start {name}#{attempt}"));
                assert!(!self.alive.keys().any(|(other, _)| *other == name), "two {name} alive");
                self.alive.insert((name.clone(), attempt), self.now);
                let id = format!("{name}-{attempt}");
                self.event(Event::Started { name, attempt, id, started_at: self.now });
            }
            Action::PostStart { name, attempt } => {
                self.event(Event::PostStartDone { name, attempt, result: Ok(()) });
            }
            Action::RunProbe { name, attempt, kind } => {
                let fails = self.failing.contains(&(name.clone(), kind));
                let outcome =
                    if fails { ProbeOutcome::Failure("refused".into()) } else { ProbeOutcome::Success };
                self.event(Event::Probed { name, attempt, kind, outcome });
            }
            Action::Kill { name, attempt, grace, reason } => {
                self.tell(&format!(
                    "kill {name}#{attempt} in {}s: {}",
                    grace.as_secs(),
                    reason.message(&name)
                ));
                if !self.stubborn.contains(&name) {
                    self.exit(&name, 143);
                }
            }
            Action::ForceKill { name, attempt } => {
                self.tell(&format!("force {name}#{attempt}"));
                self.exit(&name, 137);
            }
            Action::RemoveContainer { name, attempt, .. } => {
                assert!(!self.alive.contains_key(&(name.clone(), attempt)), "removal of a live container");
                self.event(Event::Removed { name, attempt, clean: true });
            }
            Action::FailPod { reason, .. } => self.tell(&format!("fail {reason}")),
            Action::TeardownSandbox => {
                assert!(self.alive.is_empty(), "teardown under live containers");
                self.tell("teardown");
                self.event(Event::SandboxGone { clean: true });
            }
            Action::ReportStatus(status) => {
                self.pod.status = Some(status.as_ref().clone());
                self.statuses.push(*status);
                self.event(Event::Reported { taken: true });
            }
            Action::DeletePodObject => {
                self.tell("delete object");
                self.deleted = true;
                self.event(Event::PodGone);
            }
        }
    }

    /// Ends the live instance of `name`.
    pub(crate) fn exit(&mut self, name: &str, exit_code: i32) {
        let Some((key, started_at)) =
            self.alive.iter().find(|((other, _), _)| other == name).map(|(key, at)| (key.clone(), *at))
        else {
            return;
        };
        self.alive.remove(&key);
        let reason = if exit_code == 0 { TerminationReason::Completed } else { TerminationReason::Error };
        let end = Termination {
            attempt: key.1,
            id: format!("{name}-{}", key.1),
            exit_code,
            signal: None,
            reason,
            message: None,
            started_at: Some(started_at),
            finished_at: self.now,
        };
        self.event(Event::Exited { name: name.to_owned(), end });
    }

    pub(crate) fn delete(&mut self, grace: i64) {
        self.pod.metadata.deletion_grace_period_seconds = Some(grace);
        let at = self.now + SignedDuration::from_secs(grace);
        self.pod.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at));
    }

    pub(crate) fn status(&self) -> PodStatus {
        crate::pod_status(&self.pod, &self.state, &Self::facts(), self.now)
    }

    pub(crate) fn phase(&self) -> String {
        self.status().phase.unwrap()
    }

    pub(crate) fn condition(&self, kind: &str) -> String {
        let conditions = self.status().conditions.unwrap();
        let found = conditions.iter().find(|condition| condition.type_ == kind).unwrap();
        match &found.reason {
            Some(reason) => format!("{} {reason}", found.status),
            None => found.status.clone(),
        }
    }

    pub(crate) fn container(&self, name: &str) -> ContainerStatus {
        let status = self.status();
        let all = status.container_statuses.into_iter().chain(status.init_container_statuses).flatten();
        all.into_iter().find(|container| container.name == name).unwrap()
    }

    /// Reason of the present state, or `running`.
    pub(crate) fn word(&self, name: &str) -> String {
        let state = self.container(name).state.unwrap();
        if state.running.is_some() {
            return "running".into();
        }
        state.waiting.and_then(|w| w.reason).or(state.terminated.and_then(|t| t.reason)).unwrap()
    }
}

#[test]
fn a_pod_comes_up_and_reports() {
    let mut world = World::new(&json!({
        "initContainers": [
            {"name": "first", "image": "i:1"},
            {"name": "side", "image": "s:1", "restartPolicy": "Always"},
            {"name": "second", "image": "i:1"},
        ],
        "containers": [{"name": "app", "image": "a:1"}, {"name": "other", "image": "a:1"}],
    }));
    world.settle();
    assert_eq!(world.word("first"), "running");
    assert_eq!(world.word("app"), "PodInitializing");
    assert_eq!(world.phase(), "Pending");
    world.exit("first", 0);
    world.settle();
    assert_eq!(world.condition("Initialized"), "False ContainersNotInitialized");
    world.exit("second", 0);
    world.settle();
    assert_eq!(world.phase(), "Running");
    insta::assert_snapshot!(world.story.join("\n"), @r"
    0s sandbox
    0s start first#0
    0s start side#0
    0s start second#0
    0s start app#0
    0s start other#0
    ");
    assert_eq!(world.condition("Ready"), "True");
    let mut status = world.status();
    status.container_statuses.as_mut().unwrap().truncate(1);
    status.init_container_statuses = None;
    insta::assert_json_snapshot!(status);
}

#[test]
fn a_missing_image_waits_and_is_tried_again() {
    let mut world = World::new(&json!({"containers": [{"name": "app", "image": "a:1"}]}));
    world.missing.push("a:1".into());
    world.settle();
    assert_eq!(world.word("app"), "ErrImagePull");
    world.pass(3);
    assert_eq!(world.word("app"), "ImagePullBackOff");
    world.pass(40);
    let looks: Vec<_> = world.story.iter().filter(|line| line.contains("no image")).cloned().collect();
    assert_eq!(looks, ["0s no image for app", "10s no image for app", "30s no image for app"]);
    // Another image in the spec ends the wait at once; so does a loaded image.
    world.pod.spec.as_mut().unwrap().containers[0].image = Some("a:2".into());
    world.settle();
    assert_eq!(world.word("app"), "running");
    let mut world = World::new(&json!({"containers": [{"name": "app", "image": "a:1"}]}));
    world.missing.push("a:1".into());
    world.settle();
    world.missing.clear();
    world.event(Event::SourcesChanged);
    world.settle();
    assert_eq!(world.word("app"), "running");
}

#[test]
fn readiness_gates_hold_ready_back() {
    let mut world = World::new(&json!({
        "readinessGates": [{"conditionType": "example.com/lb"}],
        "containers": [{"name": "app", "image": "a:1"}],
    }));
    world.settle();
    assert_eq!(world.condition("ContainersReady"), "True");
    assert_eq!(world.condition("Ready"), "False ReadinessGatesNotReady");
    let gate = serde_json::from_value(json!({"type": "example.com/lb", "status": "True"})).unwrap();
    world.pod.status.as_mut().unwrap().conditions.as_mut().unwrap().push(gate);
    world.settle();
    assert_eq!(world.condition("Ready"), "True");
    assert_eq!(world.condition("example.com/lb"), "True");
    assert_eq!(world.condition("PodScheduled"), "True");
}

#[test]
fn a_late_answer_is_refused() {
    let mut world = World::new(&json!({"containers": [{"name": "app", "image": "a:1"}]}));
    world.settle();
    let late = Event::ImageReady { name: "app".into(), attempt: 0, image_id: "sha256:bb".into() };
    let before = world.state.clone();
    let error = world.state.apply(&world.pod, late, world.now).unwrap_err();
    assert!(error.to_string().starts_with("container app: ImageReady"), "{error}");
    assert_eq!(world.state, before);
}
