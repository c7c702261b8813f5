//! Restart policies, crash back-off, image changes, deadlines, sidecars of finished pods.

use serde_json::json;

use super::World;

fn world(policy: &str) -> World {
    World::new(&json!({"restartPolicy": policy, "containers": [{"name": "app", "image": "a:1"}]}))
}

#[test]
fn restart_policies() {
    // policy, exit code, restarted, phase after
    let table = [
        ("Always", 0, true, "Running"),
        ("Always", 1, true, "Running"),
        ("OnFailure", 0, false, "Succeeded"),
        ("OnFailure", 1, true, "Running"),
        ("Never", 0, false, "Succeeded"),
        ("Never", 1, false, "Failed"),
    ];
    for (policy, code, restarted, phase) in table {
        let mut world = world(policy);
        world.settle();
        world.exit("app", code);
        world.settle();
        assert_eq!(!world.alive.is_empty(), restarted, "{policy} {code}");
        assert_eq!(world.phase(), phase, "{policy} {code}");
        assert_eq!(world.container("app").restart_count, i32::from(restarted));
    }
}

#[test]
fn crash_loop_backs_off_and_a_long_run_clears_it() {
    let mut world = world("Always");
    for _ in 0..8 {
        world.settle();
        while world.alive.is_empty() {
            assert_eq!(world.word("app"), "CrashLoopBackOff");
            world.pass(1);
        }
        world.exit("app", 1);
    }
    let starts: Vec<_> = world.story.iter().filter(|line| line.contains("start")).cloned().collect();
    insta::assert_snapshot!(starts.join("\n"), @r"
    0s start app#0
    0s start app#1
    10s start app#2
    30s start app#3
    70s start app#4
    150s start app#5
    310s start app#6
    610s start app#7
    ");
    world.pass(300);
    world.pass(600);
    world.exit("app", 1);
    world.settle();
    assert!(!world.alive.is_empty(), "restarted at once after ten minutes");
    let status = world.container("app");
    assert_eq!(status.restart_count, 9);
    assert_eq!(status.last_state.unwrap().terminated.unwrap().exit_code, 1);
}

#[test]
fn a_new_image_restarts_only_that_container_in_place() {
    let mut world = World::new(&json!({"restartPolicy": "Never", "containers": [
        {"name": "app", "image": "a:1"}, {"name": "other", "image": "a:1"}]}));
    world.settle();
    world.pod.spec.as_mut().unwrap().containers[0].image = Some("a:2".into());
    world.settle();
    insta::assert_snapshot!(world.story.join("\n"), @r"
    0s sandbox
    0s start app#0
    0s start other#0
    0s kill app#0 in 30s: Container app definition changed, will be restarted
    0s start app#1
    ");
    let status = world.container("app");
    assert_eq!((status.image.as_str(), status.restart_count), ("a:2", 1));
}

#[test]
fn deadline_fails_the_pod_and_tears_it_down() {
    let mut world = World::new(
        &json!({"activeDeadlineSeconds": 60, "terminationGracePeriodSeconds": 5, "containers": [{"name": "app", "image": "a:1"}]}),
    );
    world.stubborn.push("app".into());
    world.pass(100);
    insta::assert_snapshot!(world.story.join("\n"), @r"
    0s sandbox
    0s start app#0
    60s fail DeadlineExceeded
    60s kill app#0 in 5s: Stopping container app
    65s force app#0
    65s teardown
    ");
    assert_eq!(world.phase(), "Failed");
    assert_eq!(world.status().reason.as_deref(), Some("DeadlineExceeded"));
    assert!(!world.deleted && world.settle().is_none());
}

#[test]
fn init_failures() {
    let spec = |policy: &str| {
        json!({"restartPolicy": policy, "initContainers": [{"name": "init", "image": "i:1"}],
               "containers": [{"name": "app", "image": "a:1"}]})
    };
    let mut world = World::new(&spec("Never"));
    world.settle();
    world.exit("init", 3);
    world.settle();
    assert_eq!((world.phase().as_str(), world.word("app").as_str()), ("Failed", "PodInitializing"));
    let mut world = World::new(&spec("OnFailure"));
    world.settle();
    world.exit("init", 3);
    world.settle();
    assert_eq!(world.container("init").restart_count, 1);
    world.exit("init", 0);
    world.settle();
    assert_eq!(world.word("app"), "running");
    assert_eq!(world.word("init"), "Completed");
}

#[test]
fn sidecars_restart_whatever_the_policy_and_end_with_the_pod() {
    let mut world = World::new(&json!({"restartPolicy": "Never",
        "initContainers": [{"name": "one", "image": "s:1", "restartPolicy": "Always"},
                           {"name": "two", "image": "s:1", "restartPolicy": "Always"}],
        "containers": [{"name": "app", "image": "a:1"}]}));
    world.settle();
    world.exit("one", 1);
    world.settle();
    assert_eq!(world.container("one").restart_count, 1);
    world.exit("app", 0);
    world.settle();
    insta::assert_snapshot!(world.story.join("\n"), @r"
    0s sandbox
    0s start one#0
    0s start two#0
    0s start app#0
    0s start one#1
    0s kill two#0 in 30s: Stopping container two
    0s kill one#1 in 30s: Stopping container one
    0s teardown
    ");
    assert_eq!(world.phase(), "Succeeded");
    assert_eq!(world.condition("Ready"), "False PodCompleted");
}

#[test]
fn restart_rules_by_exit_code() {
    let mut world =
        World::new(&json!({"restartPolicy": "Never", "containers": [{"name": "app", "image": "a:1",
        "restartPolicy": "Never",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}]}]}));
    world.settle();
    world.exit("app", 42);
    world.settle();
    assert_eq!(world.container("app").restart_count, 1);
    world.exit("app", 1);
    world.settle();
    assert_eq!(world.phase(), "Failed");
}
