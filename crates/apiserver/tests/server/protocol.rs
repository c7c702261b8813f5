//! What is the same for every kind: forms of answers, names and limits of requests, errors about parameters.

use serde_json::json;

use crate::support::{CONFIG_MAPS, PODS, config_map, pod, server};

#[tokio::test]
async fn answers_in_yaml() {
    let server = server().await;
    let accept = [("accept", "application/yaml")];
    let body = config_map("a").to_string().into_bytes();
    let created = server
        .call(
            "POST",
            CONFIG_MAPS,
            &[("accept", "application/yaml"), ("content-type", "application/json")],
            body,
        )
        .await;
    assert_eq!((created.code, created.header("content-type")), (201, "application/yaml"));
    let one = server.call("GET", &format!("{CONFIG_MAPS}/a"), &accept, Vec::new()).await;
    assert_eq!(one.header("content-length"), one.body.len().to_string());
    let text = one.text();
    assert!(text.contains("kind: ConfigMap\n") && text.contains("data:\n  k: v\n"), "{text}");
    let list = server.call("GET", CONFIG_MAPS, &accept, Vec::new()).await.text();
    assert!(list.contains("items:\n- "), "{list}");
    let missing = server.call("GET", &format!("{CONFIG_MAPS}/b"), &accept, Vec::new()).await;
    assert_eq!(missing.code, 404);
    assert!(missing.text().contains("reason: NotFound\n"));
    let watch = server.call("GET", &format!("{CONFIG_MAPS}?watch=1"), &accept, Vec::new()).await;
    assert_eq!(watch.code, 406);
    let round = server
        .call("PUT", &format!("{CONFIG_MAPS}/a"), &[("content-type", "application/yaml")], one.body)
        .await;
    assert_eq!(round.expect(200)["data"]["k"], "v");
}

#[tokio::test]
async fn answers_for_people() {
    let server = server().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let plain = server.get(&path).await;
    assert!(!plain.text().contains('\n'));
    let pretty = server.get(&format!("{path}?pretty=true")).await;
    assert!(pretty.text().contains("\n  \"kind\": \"ConfigMap\""), "{}", pretty.text());
    assert_eq!(pretty.json(), plain.json());
    let curl = [("user-agent", "curl/8.0")];
    assert!(server.call("GET", &path, &curl, Vec::new()).await.text().contains('\n'));
    let told = server.call("GET", &format!("{path}?pretty=false"), &curl, Vec::new()).await;
    assert!(!told.text().contains('\n'));
}

#[tokio::test]
async fn written_objects_take_the_shape_that_is_asked_for() {
    let server = server().await;
    let json = ("content-type", "application/json");
    let metadata = ("accept", "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
    let body = pod("a").to_string().into_bytes();
    let created = server.call("POST", PODS, &[json, metadata], body).await.expect(201);
    assert_eq!((created["kind"].as_str(), created.get("spec")), (Some("PartialObjectMetadata"), None));
    let table = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let merge = ("content-type", "application/merge-patch+json");
    let labels = json!({ "metadata": { "labels": { "x": "y" } } }).to_string().into_bytes();
    let patched = server.call("PATCH", &format!("{PODS}/a"), &[merge, table], labels).await.expect(200);
    assert_eq!(
        (patched["kind"].as_str(), patched["rows"][0]["cells"][0].as_str()),
        (Some("Table"), Some("a"))
    );
    let none =
        server.call("GET", &format!("{PODS}?includeObject=None"), &[table], Vec::new()).await.expect(200);
    assert!(none["rows"][0].get("object").is_none_or(serde_json::Value::is_null), "{none}");
    let odd = ("accept", "application/json;as=Scroll;v=v1;g=meta.k8s.io");
    server.call("GET", &format!("{PODS}/a"), &[odd], Vec::new()).await.expect(406);
    let gone = server.call("DELETE", &format!("{PODS}/a"), &[metadata], Vec::new()).await.expect(200);
    assert_eq!(gone["kind"], "PartialObjectMetadata");
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let server = server().await;
    let named = server.call("GET", PODS, &[("audit-id", "mine")], Vec::new()).await;
    assert_eq!(named.header("audit-id"), "mine");
    let (one, other) = (server.get(PODS).await, server.get("/nonsense").await);
    assert_eq!((one.header("audit-id").len(), other.header("audit-id").len()), (36, 36));
    assert_ne!(one.header("audit-id"), other.header("audit-id"));
}

#[tokio::test]
async fn a_client_may_ask_for_less_time() {
    let server = server().await;
    // The slowest answer there is: everything, made on the first request.
    let late = server.get("/openapi/v2?timeout=1ms").await.expect(504);
    assert_eq!(late["message"], "Timeout: request did not complete within the allotted timeout");
    server.get(&format!("{PODS}?timeout=32s")).await.expect(200);
    let wrong = server.get(&format!("{PODS}?timeout=soon")).await.expect(400);
    assert!(
        wrong["message"].as_str().unwrap().starts_with("invalid timeout specified in the request URL"),
        "{wrong}"
    );
}

#[tokio::test]
async fn revisions_that_are_no_numbers() {
    let server = server().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    for path in ["", "?watch=1", "/a"] {
        let sign = if path.contains('?') { '&' } else { '?' };
        let refused = server.get(&format!("{CONFIG_MAPS}{path}{sign}resourceVersion=x")).await.expect(400);
        assert!(
            refused["message"].as_str().unwrap().contains("resourceVersion: Invalid value: \"x\""),
            "{refused}"
        );
    }
    let token = "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6LTUsInN0YXJ0IjoiYSJ9";
    for token in ["rubbish", "%00", token] {
        let refused = server.get(&format!("{CONFIG_MAPS}?continue={token}")).await.expect(400);
        assert!(refused["message"].as_str().unwrap().contains("continue key is not valid"), "{refused}");
    }
    let refused = server.get(&format!("{CONFIG_MAPS}?resourceVersionMatch=Exact")).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "resourceVersionMatch");
}
