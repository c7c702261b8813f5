//! Evictions and budgets, ephemeral containers, resize, bindings, and objects seen through two versions.

use serde_json::{Value, json};

use crate::support::{PODS, Server, pod, server};

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// A pod that runs and is ready.
async fn running(server: &Server, name: &str) {
    let mut object = pod(name);
    object["metadata"]["labels"] = json!({ "app": "web" });
    object["spec"]["nodeName"] = json!("n");
    server.post(PODS, &object).await.expect(201);
    let status =
        json!({ "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] } });
    server.patch(&format!("{PODS}/{name}/status"), "merge", &status).await.expect(200);
}

async fn budget(server: &Server, allowed: i64) {
    let object = json!({
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "b" },
        "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": "web" } } },
    });
    server.post(BUDGETS, &object).await.expect(201);
    let status = json!({ "status": {
        "observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2,
    } });
    server.patch(&format!("{BUDGETS}/b/status"), "merge", &status).await.expect(200);
}

fn eviction(name: &str) -> Value {
    json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } })
}

#[tokio::test]
async fn a_budget_is_spent_once() {
    let server = server().await;
    running(&server, "a").await;
    running(&server, "b").await;
    budget(&server, 1).await;
    let path = |name: &str| format!("{PODS}/{name}/eviction");
    let dry = format!("{}?dryRun=All", path("a"));
    server.post(&dry, &eviction("a")).await.expect(201);
    let untouched = server.get(&format!("{BUDGETS}/b")).await.expect(200);
    assert_eq!(untouched["status"]["disruptionsAllowed"], 1);

    server.post(&path("a"), &eviction("a")).await.expect(201);
    let spent = server.get(&format!("{BUDGETS}/b")).await.expect(200);
    assert_eq!(spent["status"]["disruptionsAllowed"], 0);
    assert!(spent["status"]["disruptedPods"]["a"].is_string());
    let pod = server.get(&format!("{PODS}/a")).await.expect(200);
    assert!(pod["metadata"]["deletionTimestamp"].is_string());

    let refused = server.post(&path("b"), &eviction("b")).await.expect(429);
    assert_eq!(refused["message"], "Cannot evict pod as it would violate the pod's disruption budget.");
    let cause = json!([{
        "reason": "DisruptionBudget", "message": "The disruption budget b needs 1 healthy pods and has 2 currently",
    }]);
    assert_eq!(refused["details"]["causes"], cause);
    let pod = server.get(&format!("{PODS}/b")).await.expect(200);
    assert!(pod["metadata"].get("deletionTimestamp").is_none());
    // A pod that goes already costs nothing.
    server.post(&path("a"), &eviction("a")).await.expect(201);
}

#[tokio::test]
async fn a_budget_that_was_not_looked_at_says_when_to_come_back() {
    let server = server().await;
    running(&server, "a").await;
    budget(&server, 1).await;
    let spec = json!({ "spec": { "minAvailable": 2 } });
    server.patch(&format!("{BUDGETS}/b"), "merge", &spec).await.expect(200);
    let answer = server.post(&format!("{PODS}/a/eviction"), &eviction("a")).await;
    assert_eq!(answer.header("retry-after"), "10");
    let refused = answer.expect(429);
    assert_eq!(refused["details"]["retryAfterSeconds"], 10);
    server.post(&format!("{PODS}/a/eviction"), &eviction("other")).await.expect(400);
    let stale = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "a" },
        "deleteOptions": { "preconditions": { "uid": "none" } },
    });
    server.delete(&format!("{BUDGETS}/b"), &json!({})).await.expect(200);
    server.post(&format!("{PODS}/a/eviction"), &stale).await.expect(409);
}

#[tokio::test]
async fn ephemeral_containers_and_resize() {
    let server = server().await;
    let mut object = pod("p");
    object["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": "1" } });
    server.post(PODS, &object).await.expect(201);
    let path = format!("{PODS}/p/ephemeralcontainers");
    let debug = json!({ "spec": { "ephemeralContainers": [{ "name": "debug", "image": "tools:1" }] } });
    server.patch(&format!("{PODS}/p"), "strategic", &debug).await.expect(422);
    let added = server.patch(&path, "strategic", &debug).await.expect(200);
    assert_eq!(added["spec"]["ephemeralContainers"][0]["name"], "debug");
    assert_eq!(added["metadata"]["generation"], 2);
    assert_eq!(server.get(&path).await.expect(200), added);
    let mut gone = added.clone();
    gone["spec"]["ephemeralContainers"] = json!([]);
    server.put(&path, &gone).await.expect(422);

    let path = format!("{PODS}/p/resize");
    let more = json!({ "spec": { "containers": [{ "name": "main", "resources": { "requests": { "cpu": "2" } } }] } });
    let resized = server.patch(&path, "strategic", &more).await.expect(200);
    assert_eq!(resized["spec"]["containers"][0]["resources"]["requests"]["cpu"], "2");
    let other = json!({ "spec": { "containers": [{ "name": "main", "resources": { "limits": { "cpu": "2", "memory": "1Gi" },
        "requests": { "cpu": "2", "memory": "1Gi" } } }] } });
    let refused = server.patch(&path, "strategic", &other).await.expect(422);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("Pod QOS Class may not change as a result of resizing"), "{message}");
}

#[tokio::test]
async fn a_binding_is_created_and_not_kept() {
    let server = server().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let bindings = "/api/v1/namespaces/default/bindings";
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" },
    });
    assert_eq!(server.post(bindings, &binding).await.expect(201)["status"], "Success");
    assert_eq!(server.get(&format!("{PODS}/p")).await.expect(200)["spec"]["nodeName"], "n");
    server.get(bindings).await.expect(405);
    let list = server.get("/api/v1").await.expect(200);
    let entry = list["resources"].as_array().unwrap().iter().find(|r| r["name"] == "bindings").unwrap();
    assert_eq!(entry["verbs"], json!(["create"]));
}

#[tokio::test]
async fn one_object_is_seen_through_two_versions() {
    let server = server().await;
    let (core, new) =
        ("/api/v1/namespaces/default/events", "/apis/events.k8s.io/v1/namespaces/default/events");
    let event = json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": { "name": "e" },
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "x.y/z", "reportingInstance": "i",
        "action": "Test", "reason": "Test", "type": "Normal", "note": "hello",
        "regarding": { "kind": "Pod", "namespace": "default", "name": "p" },
    });
    server.post(new, &event).await.expect(201);
    let seen = server.get(&format!("{core}/e")).await.expect(200);
    assert_eq!((&seen["apiVersion"], &seen["message"]), (&json!("v1"), &json!("hello")));
    let query = format!("{new}?fieldSelector=regarding.name=p");
    let list = server.get(&query).await.expect(200);
    assert_eq!((&list["kind"], &list["items"][0]["note"]), (&json!("EventList"), &json!("hello")));
    server
        .post(core, &json!({ "metadata": { "name": "e" }, "involvedObject": { "namespace": "default" } }))
        .await
        .expect(409);
    let mut events = server.watch(&format!("{new}?watch=true&resourceVersion=0"), "application/json").await;
    assert_eq!(events.next().await.unwrap()["object"]["note"], "hello");
    server.delete(&format!("{core}/e"), &json!({})).await.expect(200);
    assert_eq!(events.brief().await, "DELETED e");

    let (v1, v2) = ("autoscaling/v1", "autoscaling/v2");
    let path = |version: &str| format!("/apis/{version}/namespaces/default/horizontalpodautoscalers");
    let scaler = json!({
        "apiVersion": v1, "kind": "HorizontalPodAutoscaler", "metadata": { "name": "h" },
        "spec": { "maxReplicas": 3, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web" }, "targetCPUUtilizationPercentage": 60 },
    });
    server.post(&path(v1), &scaler).await.expect(201);
    let seen = server.get(&format!("{}/h", path(v2))).await.expect(200);
    assert_eq!(seen["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"], 60);
    let more = json!({ "spec": { "maxReplicas": 5 } });
    server.patch(&format!("{}/h", path(v2)), "merge", &more).await.expect(200);
    let seen = server.get(&format!("{}/h", path(v1))).await.expect(200);
    assert_eq!((&seen["apiVersion"], &seen["spec"]["maxReplicas"]), (&json!(v1), &json!(5)));
}

#[tokio::test]
async fn the_newest_version_is_the_preferred_one() {
    let server = server().await;
    let group = server.get("/apis/autoscaling").await.expect(200);
    assert_eq!(group["preferredVersion"]["version"], "v2");
    let endpoints = server.get("/api/v1/namespaces/default/endpoints").await;
    assert!(endpoints.header("warning").contains("v1 Endpoints is deprecated in v1.33+"));
}
