//! Tables for the `ReplicaSet`: adoption, ranking, failure.

use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn set(replicas: i32) -> Arc<ReplicaSet> {
    Arc::new(
        serde_json::from_value(
            json!({"metadata": {"name": "rs", "namespace": "default", "uid": "rs-uid", "generation": 1},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": []}}}}),
        )
        .unwrap(),
    )
}

fn pod(name: &str, extra: &Value) -> Arc<Pod> {
    let mut value = json!({"metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": "a"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "rs-uid", "controller": true}]},
        "spec": {"containers": []}, "status": {}});
    for part in ["metadata", "spec", "status"] {
        if let (Some(Value::Object(more)), Some(target)) =
            (extra.get(part).cloned(), value[part].as_object_mut())
        {
            target.extend(more);
        }
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn ready(seconds_ago: i64) -> Value {
    let since = Timestamp::from_second(NOW - seconds_ago).unwrap().to_string();
    json!({"spec": {"nodeName": "n"}, "status": {"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]}})
}

fn plan(set: &Arc<ReplicaSet>, pods: Vec<Arc<Pod>>, failure: Option<Failure>) -> Plan {
    decide(&Observed { replica_set: Arc::clone(set), pods, failure, seed: 1 }, now())
}

fn summary(plan: &Plan) -> Vec<String> {
    plan.actions
        .iter()
        .map(|action| match action {
            Action::CreateBatch { objects, .. } => format!("create {}", objects.len()),
            Action::Delete { target, uid, .. } => format!("delete {} ({uid})", target.name),
            Action::Patch { target, operations } => {
                format!("patch {} {}", target.name, operations.last().unwrap())
            }
            Action::UpdateStatus { object, .. } => format!("status {}", object["status"]),
            Action::Event { note, .. } => format!("event {}: {}", note.reason, note.message),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn missing_pods_are_created_and_the_status_follows() {
    insta::assert_debug_snapshot!(summary(&plan(&set(2), vec![], None)), @r#"
    [
        "create 2",
        "status {\"observedGeneration\":1,\"replicas\":0,\"terminatingReplicas\":0}",
    ]
    "#);
}

#[test]
fn created_pods_carry_labels_owner_and_generated_names() {
    let plan = plan(&set(1), vec![], None);
    let Action::CreateBatch { objects, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    insta::assert_json_snapshot!(objects[0].0, @r#"
    {
      "apiVersion": "v1",
      "kind": "Pod",
      "metadata": {
        "generateName": "rs-",
        "labels": {
          "app": "a"
        },
        "name": "rs-5zf9f",
        "namespace": "default",
        "ownerReferences": [
          {
            "apiVersion": "apps/v1",
            "blockOwnerDeletion": true,
            "controller": true,
            "kind": "ReplicaSet",
            "name": "rs",
            "uid": "rs-uid"
          }
        ]
      },
      "spec": {
        "containers": []
      }
    }
    "#);
}

#[test]
fn pods_are_adopted_and_released_by_their_labels() {
    let orphan = pod("orphan", &json!({"metadata": {"ownerReferences": []}}));
    let strayed = pod("strayed", &json!({"metadata": {"labels": {"app": "b"}}}));
    let foreign = pod(
        "foreign",
        &json!({"metadata": {"ownerReferences":
        [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x", "controller": true}]}}),
    );
    let leaving = pod(
        "leaving",
        &json!({"metadata": {"ownerReferences": [], "deletionTimestamp": "2023-01-01T00:00:00Z"}}),
    );
    insta::assert_debug_snapshot!(summary(&plan(&set(1), vec![orphan, strayed, foreign, leaving], None)), @r#"
    [
        "patch orphan {\"op\":\"add\",\"path\":\"/metadata/ownerReferences\",\"value\":[{\"apiVersion\":\"apps/v1\",\"blockOwnerDeletion\":true,\"controller\":true,\"kind\":\"ReplicaSet\",\"name\":\"rs\",\"uid\":\"rs-uid\"}]}",
        "patch strayed {\"op\":\"replace\",\"path\":\"/metadata/ownerReferences\",\"value\":[]}",
        "status {\"fullyLabeledReplicas\":1,\"observedGeneration\":1,\"replicas\":1,\"terminatingReplicas\":0}",
    ]
    "#);
}

#[test]
fn the_least_useful_pods_go_first() {
    let pods = vec![
        pod("ready-long", &ready(1000)),
        pod("ready-short", &ready(10)),
        pod(
            "cheap",
            &json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-5"}},
            "spec": ready(2000)["spec"], "status": ready(2000)["status"]}),
        ),
        pod("unready", &json!({"spec": {"nodeName": "n"}, "status": {"phase": "Running"}})),
        pod("pending", &json!({"spec": {"nodeName": "n"}, "status": {"phase": "Pending"}})),
        pod("unassigned", &json!({"status": {"phase": "Pending"}})),
    ];
    let order: Vec<String> = summary(&plan(&set(0), pods, None))
        .into_iter()
        .filter_map(|line| line.strip_prefix("delete ")?.split(' ').next().map(str::to_owned))
        .collect();
    assert_eq!(order, ["unassigned", "pending", "unready", "cheap", "ready-short", "ready-long"]);
}

#[test]
fn a_refusal_is_published_before_the_next_try_and_taken_back_afterwards() {
    let failure = Failure {
        action: FailedAction::Create,
        reason: "Forbidden".to_owned(),
        message: "exceeded quota".to_owned(),
    };
    insta::assert_debug_snapshot!(summary(&plan(&set(1), vec![], Some(failure))), @r#"
    [
        "status {\"conditions\":[{\"lastTransitionTime\":\"2023-11-14T22:13:20Z\",\"message\":\"exceeded quota\",\"reason\":\"FailedCreate\",\"status\":\"True\",\"type\":\"ReplicaFailure\"}],\"observedGeneration\":1,\"replicas\":0,\"terminatingReplicas\":0}",
        "create 1",
    ]
    "#);
    let mut failed = ReplicaSet::clone(&set(0));
    failed.status = Some(ReplicaSetStatus {
        conditions: conditions(
            &failed,
            Some(&Failure { action: FailedAction::Create, reason: String::new(), message: String::new() }),
            now(),
        ),
        ..ReplicaSetStatus::default()
    });
    let plan = plan(&Arc::new(failed), vec![], None);
    let Action::UpdateStatus { object, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!(object["status"].get("conditions"), None);
}

#[test]
fn a_set_that_is_being_deleted_only_reports() {
    let mut doomed = ReplicaSet::clone(&set(3));
    doomed.metadata.deletion_timestamp = Some(stamp(now()));
    let lines = summary(&plan(&Arc::new(doomed), vec![], None));
    assert!(lines.iter().all(|line| line.starts_with("status ")), "{lines:?}");
}

#[test]
fn a_settled_set_asks_for_nothing() {
    let pods = vec![pod("a", &ready(10))];
    let mut set = ReplicaSet::clone(&set(1));
    let first = plan(&Arc::new(set.clone()), pods.clone(), None);
    let Action::UpdateStatus { object, .. } = &first.actions[0] else { panic!("{first:?}") };
    set.status = serde_json::from_value(object["status"].clone()).unwrap();
    assert_eq!(plan(&Arc::new(set), pods, None), Plan::nothing());
}
