//! Deletion: order, deadlines, forced and vanished pods.

use serde_json::json;

use super::World;
use crate::{Event, SandboxState};

#[test]
fn graceful_deletion_in_order() {
    let mut world = World::new(&json!({
        "initContainers": [{"name": "one", "image": "s:1", "restartPolicy": "Always"},
                           {"name": "two", "image": "s:1", "restartPolicy": "Always"}],
        "containers": [{"name": "app", "image": "a:1"}]}));
    world.stubborn.push("app".into());
    world.pass(5);
    world.delete(20);
    world.pass(30);
    insta::assert_snapshot!(world.story.join("\n"), @r"
    0s sandbox
    0s start one#0
    0s start two#0
    0s start app#0
    5s kill app#0 in 20s: Stopping container app
    25s force app#0
    25s kill two#0 in 2s: Stopping container two
    25s kill one#0 in 2s: Stopping container one
    25s teardown
    25s delete object
    ");
    assert!(world.done);
    // The end of every container was written before the object went.
    assert_eq!(world.statuses.last().unwrap().phase.as_deref(), Some("Failed"));
}

#[test]
fn a_shorter_grace_hastens_the_end() {
    let mut world = World::new(&json!({"containers": [{"name": "app", "image": "a:1"}]}));
    world.stubborn.push("app".into());
    world.settle();
    world.delete(300);
    world.pass(10);
    world.delete(0);
    world.settle();
    assert!(world.done && world.story.contains(&"10s force app#0".to_owned()), "{:?}", world.story);
}

#[test]
fn a_vanished_pod_is_killed_and_cleaned() {
    let mut world = World::new(&json!({"containers": [{"name": "app", "image": "a:1"}]}));
    world.stubborn.push("app".into());
    world.settle();
    world.event(Event::PodGone);
    world.settle();
    assert!(world.done && !world.deleted);
    assert_eq!(world.state.sandbox, SandboxState::Gone);
}

#[test]
fn a_waiting_pod_goes_at_once() {
    let mut world = World::new(&json!({"containers": [{"name": "app", "image": "a:1"}]}));
    world.missing.push("a:1".into());
    world.settle();
    world.delete(30);
    world.settle();
    assert!(world.done && world.deleted);
}
