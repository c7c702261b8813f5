//! Probes: gating, thresholds, quick tries, restarts by liveness.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::World;
use crate::{ProbeKind, ProbeOutcome, ProbeRules, ProbeState, ProbeVerdict};

fn rules(period: i64, success: u32, failure: u32) -> ProbeRules {
    ProbeRules {
        initial_delay: SignedDuration::from_secs(0),
        period: SignedDuration::from_secs(period),
        success_threshold: success,
        failure_threshold: failure,
    }
}

/// Runs the probe as often as it wants for `seconds`; answers the offsets in milliseconds of the runs.
fn runs(probe: &mut ProbeState, kind: ProbeKind, rules: ProbeRules, seconds: i64, ok: bool) -> Vec<i64> {
    let start = Timestamp::UNIX_EPOCH;
    let mut offsets = Vec::new();
    while let Some(at) = probe.due_at().filter(|at| *at <= start + SignedDuration::from_secs(seconds)) {
        probe.begin(at);
        let outcome = if ok { ProbeOutcome::Success } else { ProbeOutcome::Failure("no".into()) };
        probe.finish(kind, rules, &outcome, at);
        offsets.push(at.as_millisecond());
    }
    offsets
}

#[test]
fn quick_tries_do_not_count() {
    let rules = rules(5, 1, 3);
    let mut probe = ProbeState::new(rules, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    let offsets = runs(&mut probe, ProbeKind::Readiness, rules, 9, false);
    assert_eq!(offsets, [0, 100, 300, 700, 1500, 3100, 5000]);
    assert_eq!(probe.verdict(), &ProbeVerdict::Undecided);
    runs(&mut probe, ProbeKind::Readiness, rules, 10, false);
    assert_eq!(probe.verdict(), &ProbeVerdict::Failing("no".into()));
    let mut probe = ProbeState::new(rules, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    assert_eq!(runs(&mut probe, ProbeKind::Liveness, rules, 12, false), [0, 5000, 10000]);
}

#[test]
fn thresholds_need_runs_in_a_row() {
    let rules = rules(1, 2, 2);
    let mut probe = ProbeState::new(rules, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    let mut at = Timestamp::UNIX_EPOCH;
    let mut verdicts = Vec::new();
    for passes in [true, false, true, true, false, true, false, false] {
        probe.begin(at);
        let outcome = if passes { ProbeOutcome::Success } else { ProbeOutcome::Failure("no".into()) };
        probe.finish(ProbeKind::Readiness, rules, &outcome, at);
        verdicts.push(probe.is_passing());
        at += SignedDuration::from_secs(1);
    }
    assert_eq!(verdicts, [false, false, false, true, true, true, true, false]);
}

#[test]
fn startup_gates_the_others_and_the_next_containers() {
    let mut world = World::new(&json!({
        "initContainers": [{"name": "side", "image": "s:1", "restartPolicy": "Always",
                            "startupProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 1, "failureThreshold": 30}}],
        "containers": [{"name": "app", "image": "a:1",
                        "readinessProbe": {"tcpSocket": {"port": 1}, "initialDelaySeconds": 5}}],
    }));
    world.failing.push(("side".into(), ProbeKind::Startup));
    world.pass(3);
    assert_eq!(world.word("app"), "PodInitializing");
    assert_eq!(world.container("side").started, Some(false));
    world.failing.clear();
    world.pass(1);
    assert_eq!(world.word("app"), "running");
    assert_eq!(world.condition("Ready"), "False ContainersNotReady");
    world.pass(6);
    assert_eq!(world.condition("Ready"), "True");
    world.failing.push(("app".into(), ProbeKind::Readiness));
    world.pass(19);
    assert_eq!(world.condition("Ready"), "True");
    world.pass(20);
    assert_eq!(world.condition("Ready"), "False ContainersNotReady");
    assert_eq!(world.container("app").restart_count, 0);
}

#[test]
fn liveness_and_startup_failures_restart() {
    let mut world = World::new(&json!({"containers": [{"name": "app", "image": "a:1",
        "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 2, "failureThreshold": 2,
                          "terminationGracePeriodSeconds": 7}}]}));
    world.pass(4);
    world.failing.push(("app".into(), ProbeKind::Liveness));
    world.pass(4);
    world.failing.clear();
    world.pass(4);
    insta::assert_snapshot!(world.story.join("\n"), @r"
    0s sandbox
    0s start app#0
    8s kill app#0 in 7s: Container app failed liveness probe, will be restarted
    8s start app#1
    ");
    let mut world =
        World::new(&json!({"restartPolicy": "Never", "containers": [{"name": "app", "image": "a:1",
        "startupProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1, "failureThreshold": 3}}]}));
    world.failing.push(("app".into(), ProbeKind::Startup));
    world.pass(10);
    assert_eq!(world.phase(), "Failed");
    assert_eq!(world.container("app").restart_count, 0);
}
