//! Decisions of a deletion, as a table; carrying them out is tested through the server.

use serde_json::json;

use super::*;
use crate::hooks::{DEFAULT_DELETION, POD_DELETION};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    time("2026-01-01T00:00:00Z")
}

fn pod(node: &str, phase: &str) -> Value {
    json!({
        "metadata": {"name": "a", "generation": 1},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 30},
        "status": {"phase": phase},
    })
}

fn grace(seconds: i64) -> DeleteOptions {
    DeleteOptions { grace_seconds: Some(seconds), ..DeleteOptions::default() }
}

#[test]
fn pods_get_their_grace_only_when_something_runs() {
    let decide_pod = |pod: Value, options: &DeleteOptions| decide(&pod, options, &POD_DELETION, now());
    let none = DeleteOptions::default();
    assert_eq!(decide_pod(pod("", "Pending"), &none), Decision::Remove);
    assert_eq!(decide_pod(pod("", "Pending"), &grace(20)), Decision::Remove);
    assert_eq!(decide_pod(pod("n", "Succeeded"), &none), Decision::Remove);
    assert_eq!(decide_pod(pod("n", "Failed"), &none), Decision::Remove);
    assert_eq!(decide_pod(pod("n", "Running"), &grace(0)), Decision::Remove);
    let Decision::Mark(marked) = decide_pod(pod("n", "Running"), &none) else { panic!("not marked") };
    assert_eq!(marked["metadata"]["deletionTimestamp"], "2026-01-01T00:00:30Z");
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    assert_eq!(marked["metadata"]["generation"], 2);
}

#[test]
fn grace_only_gets_shorter() {
    let Decision::Mark(marked) = decide(&pod("n", "Running"), &grace(30), &POD_DELETION, now()) else {
        panic!("not marked")
    };
    let again = |options: &DeleteOptions| decide(&marked, options, &POD_DELETION, now());
    assert_eq!(again(&DeleteOptions::default()), Decision::Pending);
    assert_eq!(again(&grace(60)), Decision::Pending);
    assert_eq!(again(&grace(0)), Decision::Remove);
    let Decision::Mark(sooner) = again(&grace(5)) else { panic!("not shortened") };
    assert_eq!(sooner["metadata"]["deletionTimestamp"], "2026-01-01T00:00:05Z");
    assert_eq!(sooner["metadata"]["deletionGracePeriodSeconds"], 5);
}

#[test]
fn finalizers_and_propagation() {
    let table: [(Option<Propagation>, Value, Option<Value>); 6] = [
        (None, json!([]), None),
        (Some(Propagation::Background), json!([]), None),
        (Some(Propagation::Background), json!(["orphan"]), None),
        (Some(Propagation::Foreground), json!([]), Some(json!(["foregroundDeletion"]))),
        (Some(Propagation::Orphan), json!(["x", "foregroundDeletion"]), Some(json!(["x", "orphan"]))),
        (None, json!(["x"]), Some(json!(["x"]))),
    ];
    for (propagation, finalizers, want) in table {
        let object = json!({"metadata": {"name": "a", "finalizers": finalizers}});
        let options = DeleteOptions { propagation, ..DeleteOptions::default() };
        match (decide(&object, &options, &DEFAULT_DELETION, now()), want) {
            (Decision::Remove, None) => {}
            (Decision::Mark(next), Some(want)) => {
                assert_eq!(next["metadata"]["finalizers"], want);
                assert_eq!(next["metadata"]["deletionGracePeriodSeconds"], 0);
            }
            (other, want) => panic!("{propagation:?}: {other:?}, wanted {want:?}"),
        }
    }
}

#[test]
fn options_are_strict() {
    let parse = |value: Value| DeleteOptions::from_json(&value, &Query::default());
    assert_eq!(parse(json!({"propagationPolicy": "Sideways"})).unwrap_err().code, 422);
    assert_eq!(parse(json!({"kind": "Pod"})).unwrap_err().code, 400);
    assert_eq!(parse(json!({"gracePeriod": 3})).unwrap_err().code, 400);
    assert_eq!(
        parse(json!({"orphanDependents": true, "propagationPolicy": "Orphan"})).unwrap_err().code,
        422
    );
    assert_eq!(parse(json!({"gracePeriodSeconds": -1})).unwrap().grace_seconds, Some(1));
    let options = parse(json!({"preconditions": {"uid": "u"}, "dryRun": ["All"]})).unwrap();
    assert_eq!((options.uid.as_deref(), options.dry_run), (Some("u"), true));
}
