//! Tables for namespace deletion.

use serde_json::json;

use super::*;
use crate::action::POD;

fn namespace(deleting: bool) -> Arc<Namespace> {
    let mut value = json!({"metadata": {"name": "shop", "uid": "n"}, "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Terminating"}});
    if deleting {
        value["metadata"]["deletionTimestamp"] = json!("2023-01-01T00:00:00Z");
    }
    Arc::new(serde_json::from_value(value).unwrap())
}

fn pod(name: &str, deleting: bool) -> (Resource, ObjectMeta) {
    let mut meta = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some("shop".to_owned()),
        uid: Some(name.to_owned()),
        ..ObjectMeta::default()
    };
    if deleting {
        meta.deletion_timestamp = Some(stamp(Timestamp::UNIX_EPOCH));
        meta.finalizers = Some(vec!["x.y/z".to_owned()]);
    }
    (POD, meta)
}

fn plan(deleting: bool, contents: Vec<(Resource, ObjectMeta)>, unreadable: Vec<(Resource, String)>) -> Plan {
    let observed = Observed { namespace: namespace(deleting), contents, unreadable };
    decide(&observed, Timestamp::UNIX_EPOCH)
}

#[test]
fn contents_go_first_and_the_finalizer_last() {
    assert_eq!(plan(false, vec![pod("a", false)], vec![]), Plan::nothing());
    let busy = plan(true, vec![pod("a", false), pod("b", true)], vec![]);
    let deleted: Vec<_> = busy
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Delete { target, uid, .. } => Some((target.name.as_str(), uid.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(deleted, [("a", "a")]);
    assert!(busy.requeue_at.is_some());
    let done = plan(true, vec![], vec![]);
    let [Action::FinalizeNamespace { object }] = &done.actions[..] else { panic!("{done:?}") };
    assert_eq!(object["spec"]["finalizers"], json!([]));
}

#[test]
fn what_cannot_be_read_or_will_not_go_holds_the_namespace() {
    let unreadable = plan(true, vec![], vec![(POD, "no route".to_owned())]);
    let held = plan(true, vec![pod("b", true)], vec![]);
    for plan in [&unreadable, &held] {
        assert!(matches!(&plan.actions[..], [Action::UpdateStatus { .. }]), "{plan:?}");
        assert_eq!(plan.requeue_at, None);
    }
    let Action::UpdateStatus { object, .. } = &held.actions[0] else { panic!() };
    let messages: Vec<_> = object["status"]["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["message"].as_str().unwrap())
        .collect();
    insta::assert_debug_snapshot!(messages, @r#"
    [
        "All content successfully deleted, may be waiting on finalization",
        "Some resources are remaining: pods has 1 resource instances",
        "Some content in the namespace has finalizers remaining: x.y/z in 1 resource instances",
    ]
    "#);
}
