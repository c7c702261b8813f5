//! The three rules of the cache, as orders of events that once would have gone wrong.

use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;
use serde_json::json;

use super::*;

fn pod(name: &str, uid: &str, version: u64) -> Pod {
    serde_json::from_value(json!({"metadata": {"namespace": "default", "name": name, "uid": uid,
        "resourceVersion": version.to_string()}}))
    .unwrap()
}

/// A cache and the log of what its listener heard.
fn listened() -> (Cache<Pod>, Arc<Mutex<Vec<String>>>) {
    let cache = Cache::default();
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = Arc::clone(&log);
    cache.listen(move |change: &Change<'_, Pod>| {
        let side = |side: Option<&Arc<Pod>>| {
            side.map_or("-".to_owned(), |pod| format!("{}@{}", uid(pod.meta()), version(pod.meta())))
        };
        sink.lock().push(format!("{} > {}", side(change.old), side(change.new)));
    });
    (cache, log)
}

#[test]
fn our_own_write_is_known_before_the_watch_tells() {
    let (cache, log) = listened();
    cache.written(pod("a", "1", 5));
    assert!(cache.get("default", "a").is_some());
    cache.observe(pod("a", "1", 5));
    assert_eq!(*log.lock(), ["- > 1@5"], "the watch brings no second wake-up");
}

#[test]
fn an_answer_that_comes_after_the_deletion_does_not_bring_the_object_back() {
    let (cache, _) = listened();
    cache.observe(pod("a", "1", 5));
    cache.observe_gone(&pod("a", "1", 6));
    cache.written(pod("a", "1", 5));
    assert!(cache.get("default", "a").is_none());
}

#[test]
fn a_late_event_does_not_bring_back_what_we_deleted() {
    let (cache, _) = listened();
    cache.observe(pod("a", "1", 5));
    cache.erase("default", "a", "1");
    cache.observe(pod("a", "1", 6));
    assert!(cache.get("default", "a").is_none());
    cache.observe_gone(&pod("a", "1", 7));
    cache.observe(pod("a", "2", 8));
    assert!(cache.get("default", "a").is_some(), "the name is free for another object");
}

#[test]
fn the_deletion_of_an_earlier_object_leaves_the_later_one() {
    let (cache, log) = listened();
    cache.observe(pod("a", "1", 5));
    cache.written(pod("a", "2", 9));
    cache.observe_gone(&pod("a", "1", 8));
    assert_eq!(uid(cache.get("default", "a").unwrap().meta()), "2");
    assert_eq!(*log.lock(), ["- > 1@5", "1@5 > -", "- > 2@9"]);
}

#[test]
fn a_list_replaces_everything() {
    let (cache, log) = listened();
    cache.observe(pod("a", "1", 5));
    cache.observe(pod("b", "2", 6));
    log.lock().clear();
    cache.replace(vec![pod("b", "2", 6), pod("c", "3", 7)]);
    assert_eq!(*log.lock(), ["1@5 > -", "- > 3@7"]);
    assert!(cache.is_filled());
}

#[test]
fn objects_are_found_by_their_controller() {
    let (cache, _) = listened();
    let mut owned = pod("a", "1", 5);
    owned.metadata.owner_references = serde_json::from_value(
        json!([{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": "r", "controller": true}]),
    )
    .unwrap();
    cache.observe(owned);
    cache.observe(pod("b", "2", 6));
    assert_eq!(cache.controlled_by("default", "r").len(), 1);
    assert_eq!(cache.controlled_by("default", "").len(), 1);
    cache.observe(pod("a", "1", 7));
    assert_eq!(cache.controlled_by("default", "r").len(), 0);
    assert_eq!(cache.controlled_by("default", "").len(), 2);
    assert_eq!(cache.in_namespace("default").len(), 2);
}
