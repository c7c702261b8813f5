//! Tables for every rule, the protections and the cap.

use jiff::Timestamp;
use konzert_api::own::ReapPolicySpec;

use crate::annotation::{expiry, time_to_live};
use crate::{Candidate, CandidateState, ImageCandidate, KEEP, Ownership, Plan, Snapshot, plan};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

const CREATED: &str = "2026-01-01T00:00:00Z";
const NOON: &str = "2026-01-01T12:00:00Z";

fn object(kind: &str, name: &str, annotations: &[(&str, &str)], state: CandidateState) -> Candidate {
    Candidate {
        api_version: "v1".into(),
        kind: kind.into(),
        namespace: if kind == "Namespace" { String::new() } else { "default".into() },
        name: name.into(),
        uid: format!("uid-{name}"),
        created: at(CREATED),
        annotations: annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        owned: false,
        state,
    }
}

fn owned(candidate: Candidate) -> Candidate {
    Candidate { owned: true, ..candidate }
}

fn run(objects: Vec<Candidate>) -> Plan {
    plan(&ReapPolicySpec::default(), &Snapshot { objects, images: vec![] }, at(NOON))
}

fn rules(plan: &Plan) -> Vec<(&str, &str)> {
    plan.destroys.iter().map(|d| (d.name.as_str(), d.rule)).collect()
}

#[test]
fn annotations_decide_when_an_object_is_due() {
    let rows = [
        ("janitor/ttl", "11h", Some("ttl")),
        ("janitor/ttl", "13h", None),
        ("janitor/ttl", "forever", None),
        ("janitor/expires", "2026-01-01", Some("expired")),
        ("janitor/expires", "2026-01-01T11:59", Some("expired")),
        ("janitor/expires", "2026-01-01T13:00:00+02:00", Some("expired")),
        ("janitor/expires", "2026-01-02", None),
    ];
    for (key, value, want) in rows {
        let found = run(vec![object("Deployment", "a", &[(key, value)], CandidateState::Plain)]);
        assert_eq!(found.destroys.first().map(|d| d.rule), want, "{key}: {value}");
    }
}

#[test]
fn an_annotation_that_cannot_be_read_is_reported_and_destroys_nothing() {
    for value in ["", "soon", "5", "-1h", "1x", "99999999999w", "é"] {
        let found = run(vec![object("Pod", "a", &[("janitor/ttl", value)], CandidateState::Plain)]);
        assert!(
            found.destroys.is_empty() && found.problems[0].starts_with("pod default/a: janitor/ttl"),
            "{value}"
        );
    }
    assert!(expiry("tomorrow").is_err() && time_to_live("1w").unwrap().unwrap().as_secs() == 604_800);
}

#[test]
fn finished_things_go_by_age_unless_somebody_owns_them() {
    let early = Some(at("2026-01-01T10:00:00Z"));
    let late = Some(at("2026-01-01T11:30:00Z"));
    let found = run(vec![
        object("Job", "done", &[], CandidateState::Job { finished_at: early }),
        object("Job", "fresh", &[], CandidateState::Job { finished_at: late }),
        owned(object("Job", "cron", &[], CandidateState::Job { finished_at: early })),
        object("Job", "runs", &[], CandidateState::Job { finished_at: None }),
        object("Pod", "bare", &[], CandidateState::Pod { finished_at: early }),
        owned(object("Pod", "owned", &[], CandidateState::Pod { finished_at: early })),
        owned(object("ReplicaSet", "copied", &[("janitor/ttl", "1s")], CandidateState::Plain)),
    ]);
    assert_eq!(rules(&found), [("done", "finished-job"), ("bare", "finished-pod")]);
    assert_eq!(found.next, Some(at("2026-01-01T12:30:00Z")));
}

#[test]
fn a_replicaset_is_orphaned_only_without_pods_and_without_its_owner() {
    let state = |replicas, owner| CandidateState::ReplicaSet { replicas, owner };
    let found = run(vec![
        object("ReplicaSet", "orphan", &[], state(0, Ownership::Gone)),
        object("ReplicaSet", "serving", &[], state(1, Ownership::Gone)),
        object("ReplicaSet", "history", &[], state(0, Ownership::Living)),
        object("ReplicaSet", "by-hand", &[], state(0, Ownership::None)),
    ]);
    assert_eq!(rules(&found), [("orphan", "orphaned-replicaset")]);
}

#[test]
fn protection_wins_over_every_rule() {
    let ttl = ("janitor/ttl", "1s");
    let mut system = object("Pod", "b", &[ttl], CandidateState::Plain);
    system.namespace = "kube-system".into();
    let found = run(vec![
        object("Pod", "a", &[ttl, (KEEP, "true")], CandidateState::Plain),
        system,
        object("Namespace", "kube-system", &[ttl], CandidateState::Plain),
    ]);
    assert!(found.destroys.is_empty());
}

#[test]
fn a_namespace_takes_its_objects_along() {
    let ttl = ("janitor/ttl", "1s");
    let found = run(vec![
        object("Pod", "a", &[ttl], CandidateState::Plain),
        object("Namespace", "default", &[ttl], CandidateState::Plain),
    ]);
    assert_eq!(rules(&found), [("default", "ttl")]);
}

#[test]
fn the_cap_holds_and_the_longest_due_go_first() {
    let objects = (1..=9).rev().map(|h| {
        object("Pod", &format!("p{h}"), &[("janitor/ttl", &format!("{h}h"))], CandidateState::Plain)
    });
    let policy = ReapPolicySpec { cap: 2, ..ReapPolicySpec::default() };
    let found = plan(&policy, &Snapshot { objects: objects.collect(), images: vec![] }, at(NOON));
    assert_eq!((rules(&found), found.over_cap), (vec![("p1", "ttl"), ("p2", "ttl")], 7));
}

#[test]
fn images_go_when_nothing_needs_them() {
    let image = |name: &str, needed, loaded: &str| ImageCandidate {
        name: name.into(),
        digest: format!("sha256:{name}"),
        loaded_at: at(loaded),
        needed,
    };
    let images = vec![
        image("used", true, "2025-01-01T00:00:00Z"),
        image("old", false, "2025-01-01T00:00:00Z"),
        image("new", false, NOON),
    ];
    let found = plan(&ReapPolicySpec::default(), &Snapshot { objects: vec![], images }, at(NOON));
    assert_eq!(rules(&found), [("old", "unused-image")]);
    assert_eq!(found.next, Some(at("2026-01-02T12:00:00Z")));
}
