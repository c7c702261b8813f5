//! Adoption after a restart of the main process or of the host.

use serde_json::json;

use super::World;
use crate::{
    ContainerState, Found, FoundContainer, FoundState, PodState, ProbeKind, Termination, TerminationReason,
};

fn running(world: &World, name: &str) -> FoundContainer {
    let ((_, attempt), started_at) = world.alive.iter().find(|((other, _), _)| other == name).unwrap();
    FoundContainer {
        name: name.into(),
        attempt: *attempt,
        id: format!("{name}-{attempt}"),
        image: "a:1".into(),
        image_id: "sha256:aa".into(),
        state: FoundState::Running { started_at: *started_at },
    }
}

fn web() -> World {
    let mut world = World::new(&json!({
        "initContainers": [{"name": "init", "image": "a:1"}],
        "containers": [{"name": "app", "image": "a:1",
                        "readinessProbe": {"tcpSocket": {"port": 1}, "failureThreshold": 2}}]}));
    world.settle();
    world.exit("init", 0);
    world.pass(3);
    world.exit("app", 1);
    world.pass(3);
    assert_eq!(world.condition("Ready"), "True");
    world
}

#[test]
fn nothing_restarts_and_nothing_flips() {
    let mut world = web();
    let before = world.status();
    let writes = world.statuses.len();
    let found =
        Found { sandbox_ips: Some(vec!["10.244.0.7".into()]), containers: vec![running(&world, "app")] };
    world.failing.push(("app".into(), ProbeKind::Readiness));
    world.state = PodState::adopt(&world.pod, &found, world.now);
    world.story.clear();
    world.settle();
    assert_eq!(world.story, Vec::<String>::new());
    assert_eq!(world.status(), before);
    assert_eq!(world.statuses.len(), writes, "no status write without a change");
    world.pass(11);
    assert_eq!(world.condition("Ready"), "False ContainersNotReady");
    assert_eq!(world.container("app").restart_count, 1);
}

#[test]
fn an_end_that_was_missed_counts() {
    let mut world = web();
    world.alive.clear();
    let end = Termination {
        attempt: 1,
        id: "app-1".into(),
        exit_code: 5,
        signal: None,
        reason: TerminationReason::Error,
        message: None,
        started_at: Some(world.now),
        finished_at: world.now,
    };
    let gone = FoundContainer {
        name: "app".into(),
        attempt: 1,
        id: "app-1".into(),
        image: "a:1".into(),
        image_id: "sha256:aa".into(),
        state: FoundState::Exited(end),
    };
    let found = Found { sandbox_ips: Some(vec!["10.244.0.7".into()]), containers: vec![gone] };
    world.state = PodState::adopt(&world.pod, &found, world.now);
    world.settle();
    assert_eq!(world.word("app"), "CrashLoopBackOff");
    world.pass(60);
    let status = world.container("app");
    assert_eq!((status.restart_count, status.last_state.unwrap().terminated.unwrap().exit_code), (2, 5));
}

#[test]
fn after_a_reboot_init_runs_again() {
    let mut world = web();
    world.alive.clear();
    world.state = PodState::adopt(&world.pod, &Found::default(), world.now);
    world.story.clear();
    world.settle();
    world.exit("init", 0);
    world.pass(30);
    insta::assert_snapshot!(world.story.join("\n"), @r"
    6s sandbox
    6s start init#1
    16s start app#2
    ");
}

#[test]
fn a_finished_pod_stays_finished() {
    let mut world =
        World::new(&json!({"restartPolicy": "Never", "containers": [{"name": "app", "image": "a:1"}]}));
    world.settle();
    world.exit("app", 0);
    world.settle();
    let before = world.pod.status.clone();
    world.state = PodState::adopt(&world.pod, &Found::default(), world.now);
    world.story.clear();
    world.pass(1000);
    assert_eq!(world.story, ["0s teardown"]);
    assert_eq!(world.pod.status, before);
}

#[test]
fn the_newest_instance_wins() {
    let world = web();
    let mut old = running(&world, "app");
    old.attempt = 0;
    old.id = "app-0".into();
    let found =
        Found { sandbox_ips: Some(vec!["10.244.0.7".into()]), containers: vec![running(&world, "app"), old] };
    let state = PodState::adopt(&world.pod, &found, world.now);
    let record = &state.containers["app"];
    assert!(matches!(&record.state, ContainerState::Running(run) if run.attempt == 1));
    assert!(record.graves.contains_key(&0));
}
