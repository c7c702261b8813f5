//! Watches: where they start, what they send, how they end; and kube-runtime on top of them.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use konzert_store::{Revision, StoreConfig};
use kube::api::{Api, PostParams};
use kube::runtime::watcher::{self, Event, InitialListStrategy};
use serde_json::json;

use crate::support::{CONFIG_MAPS, PODS, config_map, pod, server, server_with};

const JSON: &str = "application/json";

#[tokio::test]
async fn from_a_revision_and_from_now() {
    let server = server().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let Revision(revision) = server.store.revision();
    server.post(CONFIG_MAPS, &config_map("b")).await.expect(201);
    let mut from = server.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={revision}"), JSON).await;
    let mut any = server.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion=0"), JSON).await;
    let mut other = server.watch(&format!("{PODS}?watch=1&resourceVersion={revision}"), JSON).await;
    assert_eq!(from.brief().await, "ADDED b");
    assert_eq!(any.brief().await, "ADDED a");
    assert_eq!(any.brief().await, "ADDED b");
    server.patch(&format!("{CONFIG_MAPS}/a"), "merge", &json!({ "data": { "k": "w" } })).await.expect(200);
    server.delete(&format!("{CONFIG_MAPS}/b"), &json!({})).await.expect(200);
    server.post(PODS, &pod("p")).await.expect(201);
    assert_eq!(other.brief().await, "ADDED p");
    for events in [&mut from, &mut any] {
        let modified = events.next().await.unwrap();
        assert_eq!((&modified["type"], &modified["object"]["data"]["k"]), (&json!("MODIFIED"), &json!("w")));
        let deleted = events.next().await.unwrap();
        assert_eq!(deleted["type"], "DELETED");
        let Revision(now) = server.store.revision();
        let at: u64 = deleted["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap();
        assert!(at > revision && at <= now, "a deletion carries its own revision");
    }
}

#[tokio::test]
async fn selector_transitions() {
    let server = server().await;
    let mut watched = server.watch(&format!("{CONFIG_MAPS}?watch=1&labelSelector=in%3Dyes"), JSON).await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let label = |value: &str| json!({ "metadata": { "labels": { "in": value } } });
    server.patch(&path, "merge", &label("yes")).await.expect(200);
    server.patch(&path, "merge", &json!({ "data": { "k": "w" } })).await.expect(200);
    let out = server.patch(&path, "merge", &label("no")).await.expect(200);
    server.patch(&path, "merge", &json!({ "data": { "k": "x" } })).await.expect(200);
    server.patch(&path, "merge", &label("yes")).await.expect(200);
    server.delete(&path, &json!({})).await.expect(200);
    assert_eq!(watched.brief().await, "ADDED a");
    assert_eq!(watched.brief().await, "MODIFIED a");
    let left = watched.next().await.unwrap();
    assert_eq!(left["type"], "DELETED");
    assert_eq!(left["object"]["metadata"]["labels"]["in"], "yes", "the last state that matched");
    assert_eq!(left["object"]["metadata"]["resourceVersion"], out["metadata"]["resourceVersion"]);
    assert_eq!(watched.brief().await, "ADDED a");
    assert_eq!(watched.brief().await, "DELETED a");
}

#[tokio::test]
async fn one_object_by_name() {
    let server = server().await;
    let mut watched =
        server.watch(&format!("{CONFIG_MAPS}?watch=1&fieldSelector=metadata.name%3Da"), JSON).await;
    server.post(CONFIG_MAPS, &config_map("ab")).await.expect(201);
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    assert_eq!(watched.brief().await, "ADDED a");
}

#[tokio::test]
async fn initial_events_end_with_a_bookmark() {
    let server = server().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let base = format!("{CONFIG_MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
    let mut marked = server.watch(&format!("{base}&allowWatchBookmarks=true"), JSON).await;
    assert_eq!(marked.brief().await, "ADDED a");
    let bookmark = marked.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["kind"], "ConfigMap");
    let metadata = &bookmark["object"]["metadata"];
    assert_eq!(metadata["annotations"], json!({ "k8s.io/initial-events-end": "true" }));
    assert_eq!(metadata["resourceVersion"], server.store.revision().to_string());
    let mut unmarked = server.watch(&base, JSON).await;
    assert_eq!(unmarked.brief().await, "ADDED a");
    server.post(CONFIG_MAPS, &config_map("b")).await.expect(201);
    assert_eq!(unmarked.brief().await, "ADDED b");
    assert_eq!(marked.brief().await, "ADDED b");
    server.get(&format!("{CONFIG_MAPS}?watch=1&sendInitialEvents=true")).await.expect(422);
}

#[tokio::test]
async fn ends_by_timeout_and_by_the_server() {
    let server = server().await;
    let mut short =
        server.watch(&format!("{CONFIG_MAPS}?watch=1&timeoutSeconds=1&resourceVersion=0"), JSON).await;
    assert_eq!(short.next().await, None);
    let mut long = server.watch(&format!("{CONFIG_MAPS}?watch=1"), JSON).await;
    server.api.end_streams();
    assert_eq!(long.next().await, None);
}

#[tokio::test]
async fn a_revision_that_is_gone_is_an_error_event() {
    let server = server().await;
    let Revision(old) = server.store.revision();
    for n in 0..3 {
        server.post(CONFIG_MAPS, &config_map(&format!("c{n}"))).await.expect(201);
    }
    server.store.compact(server.store.revision());
    let mut watched = server.watch(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={old}"), JSON).await;
    let event = watched.next().await.unwrap();
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(event["object"]["reason"], "Expired");
    assert_eq!(watched.next().await, None);
    server.get(&format!("{CONFIG_MAPS}?watch=1&resourceVersion={}", old + 10_000)).await.expect(504);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_ended_with_410() {
    let server = server_with(StoreConfig { watch_buffer: 4, ..StoreConfig::default() }).await;
    let request =
        http::Request::get(format!("{CONFIG_MAPS}?watch=1")).body(kube::client::Body::empty()).unwrap();
    let answer = server.client.send(request).await.unwrap();
    for n in 0..20 {
        server.post(CONFIG_MAPS, &config_map(&format!("c{n}"))).await.expect(201);
    }
    let chunks: Vec<_> =
        http_body_util::BodyExt::into_data_stream(answer.into_body()).try_collect().await.unwrap();
    let text: String = chunks.iter().map(|c| String::from_utf8_lossy(c).into_owned()).collect();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["object"]["code"]), (&json!("ERROR"), &json!(410)));
}

#[tokio::test]
async fn bookmarks_tell_how_far_a_quiet_watch_is() {
    let server = server().await;
    let mut watched = server.watch(&format!("{PODS}?watch=1&allowWatchBookmarks=true"), JSON).await;
    server.post(CONFIG_MAPS, &config_map("elsewhere")).await.expect(201);
    let reached = server.store.revision().to_string();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    let bookmark = watched.next().await.unwrap();
    assert_eq!(bookmark["type"], "BOOKMARK");
    assert_eq!(bookmark["object"]["metadata"]["resourceVersion"], reached);
}

#[tokio::test]
async fn kube_runtime_watchers_work_in_process() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::namespaced(server.client.clone(), "default");
    let named = |name: &str| ConfigMap {
        metadata: kube::api::ObjectMeta { name: Some(name.to_owned()), ..Default::default() },
        ..Default::default()
    };
    api.create(&PostParams::default(), &named("a")).await.unwrap();
    for strategy in [InitialListStrategy::ListWatch, InitialListStrategy::StreamingList] {
        let config = watcher::Config { initial_list_strategy: strategy, ..watcher::Config::default() };
        let mut events = watcher::watcher(api.clone(), config).boxed();
        let (mut seen, mut done) = (Vec::new(), false);
        while !done {
            let event =
                tokio::time::timeout(Duration::from_secs(20), events.try_next()).await.unwrap().unwrap();
            match event.unwrap() {
                Event::Init => {}
                Event::InitApply(object) | Event::Apply(object) => seen.push(object.metadata.name.unwrap()),
                Event::InitDone => {
                    api.create(&PostParams::default(), &named("b")).await.unwrap();
                }
                Event::Delete(object) => {
                    assert_eq!(object.metadata.name.as_deref(), Some("b"));
                    done = true;
                }
            }
            if seen.last().map(String::as_str) == Some("b") && !done {
                seen.push("deleting".to_owned());
                api.delete("b", &kube::api::DeleteParams::default()).await.unwrap();
            }
        }
        assert_eq!(seen, ["a", "b", "deleting"]);
    }
}
