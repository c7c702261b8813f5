//! Lists: selectors, pages, revisions.

use konzert_store::Revision;
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, PODS, Server, config_map, pod, server};

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|o| o["metadata"]["name"].as_str().unwrap()).collect()
}

async fn fill(server: &Server, count: usize) {
    for n in 0..count {
        let mut object = config_map(&format!("c{n:02}"));
        object["metadata"]["labels"] = json!({ "even": (n % 2 == 0).to_string() });
        server.post(CONFIG_MAPS, &object).await.expect(201);
    }
}

#[tokio::test]
async fn selectors() {
    let server = server().await;
    for (name, label) in [("a", "x"), ("b", "y"), ("c", "y")] {
        let mut object = pod(name);
        object["metadata"]["labels"] = json!({ "l": label });
        server.post(PODS, &object).await.expect(201);
    }
    for (query, want) in [
        ("labelSelector=l%3Dy", vec!["b", "c"]),
        ("labelSelector=l!%3Dy", vec!["a"]),
        ("labelSelector=l+in+(x,y)", vec!["a", "b", "c"]),
        ("labelSelector=!l", vec![]),
        ("fieldSelector=metadata.name%3Db", vec!["b"]),
        ("fieldSelector=metadata.name%3Db&labelSelector=l%3Dx", vec![]),
        ("fieldSelector=status.phase%3DPending", vec!["a", "b", "c"]),
        ("fieldSelector=spec.nodeName!%3D", vec![]),
        ("fieldSelector=metadata.namespace%3Dother", vec![]),
    ] {
        let list = server.get(&format!("{PODS}?{query}")).await.expect(200);
        assert_eq!(names(&list), want, "{query}");
        let all = server.get(&format!("/api/v1/pods?{query}")).await.expect(200);
        assert_eq!(names(&all), want, "{query} over all namespaces");
    }
    server.get(&format!("{PODS}?labelSelector=%3D%3D")).await.expect(400);
    let bad = server.get(&format!("{PODS}?fieldSelector=spec.foo%3D1")).await.expect(400);
    assert_eq!(bad["message"], "field label not supported: spec.foo");
}

#[tokio::test]
async fn pages_show_one_revision() {
    let server = server().await;
    fill(&server, 5).await;
    let first = server.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    assert_eq!(names(&first), ["c00", "c01"]);
    assert_eq!(first["metadata"]["remainingItemCount"], 3);
    server.delete(&format!("{CONFIG_MAPS}/c03"), &json!({})).await.expect(200);
    server.post(CONFIG_MAPS, &config_map("c99")).await.expect(201);
    let token = first["metadata"]["continue"].as_str().unwrap();
    let second = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&second), ["c02", "c03"]);
    let token = second["metadata"]["continue"].as_str().unwrap();
    let third = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(200);
    assert_eq!(names(&third), ["c04"]);
    assert!(third["metadata"].get("continue").is_none());
    assert_eq!(first["metadata"]["resourceVersion"], third["metadata"]["resourceVersion"]);
    server.get(&format!("{CONFIG_MAPS}?limit=2&continue=rubbish")).await.expect(400);
}

#[tokio::test]
async fn pages_with_a_selector() {
    let server = server().await;
    fill(&server, 7).await;
    let query = format!("{CONFIG_MAPS}?limit=2&labelSelector=even%3Dtrue");
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{query}&continue={token}")).await.expect(200);
        assert!(page["metadata"].get("remainingItemCount").is_none());
        found.extend(names(&page).iter().map(|n| (*n).to_owned()));
        match page["metadata"].get("continue") {
            Some(next) => token = next.as_str().unwrap().to_owned(),
            None => break,
        }
    }
    assert_eq!(found, ["c00", "c02", "c04", "c06"]);
}

#[tokio::test]
async fn an_expired_token_brings_a_fresh_one() {
    let server = server().await;
    fill(&server, 5).await;
    let first = server.get(&format!("{CONFIG_MAPS}?limit=2")).await.expect(200);
    let token = first["metadata"]["continue"].as_str().unwrap();
    server.post(CONFIG_MAPS, &config_map("c025")).await.expect(201);
    server.store.compact(server.store.revision());
    let expired = server.get(&format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.expect(410);
    assert_eq!(expired["reason"], "Expired");
    let fresh = expired["metadata"]["continue"].as_str().unwrap();
    let rest = server.get(&format!("{CONFIG_MAPS}?continue={fresh}")).await.expect(200);
    assert_eq!(names(&rest), ["c02", "c025", "c03", "c04"]);
}

#[tokio::test]
async fn revisions_of_a_list() {
    let server = server().await;
    fill(&server, 2).await;
    let Revision(before) = server.store.revision();
    server.post(CONFIG_MAPS, &config_map("later")).await.expect(201);
    let list = |query: String| {
        let server = &server;
        async move { server.get(&format!("{CONFIG_MAPS}?{query}")).await }
    };
    let exact = list(format!("resourceVersion={before}&resourceVersionMatch=Exact")).await.expect(200);
    assert_eq!(names(&exact), ["c00", "c01"]);
    let legacy = list(format!("resourceVersion={before}&limit=10")).await.expect(200);
    assert_eq!(names(&legacy), ["c00", "c01"]);
    let newer = list(format!("resourceVersion={before}&resourceVersionMatch=NotOlderThan")).await.expect(200);
    assert_eq!(names(&newer), ["c00", "c01", "later"]);
    assert_eq!(names(&list("resourceVersion=0".to_owned()).await.expect(200)).len(), 3);
    let future = list(format!("resourceVersion={}", before + 1000)).await;
    assert_eq!(future.header("retry-after"), "1");
    assert_eq!(future.expect(504)["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    server.store.compact(server.store.revision());
    let gone = list(format!("resourceVersion={before}&resourceVersionMatch=Exact")).await.expect(410);
    assert_eq!(gone["reason"], "Expired");
    list("sendInitialEvents=true".to_owned()).await.expect(422);
}
