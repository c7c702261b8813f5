//! What writes may leave out or get wrong: revisions, deletions, scales, metadata of custom objects; owners across versions; and
//! warnings beside refusals.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, Server, config_map, deployment, server};

const AUTOSCALERS: &str = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

#[tokio::test]
async fn revisions_that_nobody_can_have_read() {
    let server = server().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let with =
        |version: &str| json!({ "metadata": { "resourceVersion": version }, "data": { "v": version } });
    server.patch(&path, "merge", &with("0")).await.expect(200);
    let refused = server.patch(&path, "merge", &with("x")).await.expect(500);
    assert_eq!(refused["message"], "strconv.ParseUint: parsing \"x\": invalid syntax");
    server.patch(&path, "merge", &with("1")).await.expect(409);
    let lease = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "l" }, "spec": {} });
    server.post(LEASES, &lease).await.expect(201);
    let refused = server.put(&format!("{LEASES}/l"), &lease).await.expect(422);
    assert_eq!(
        refused["message"],
        "leases.coordination.k8s.io \"l\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    );
}

#[tokio::test]
async fn nobody_deletes_by_an_update() {
    let server = server().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let going = json!({ "metadata": { "deletionTimestamp": "2020-01-01T00:00:00Z" } });
    let refused = server.patch(&path, "merge", &going).await.expect(422);
    assert_eq!(
        refused["message"],
        "ConfigMap \"a\" is invalid: metadata.deletionTimestamp: Invalid value: \"2020-01-01T00:00:00Z\": field is immutable"
    );
    let grace = json!({ "metadata": { "deletionGracePeriodSeconds": 3 } });
    server.patch(&path, "merge", &grace).await.expect(422);
    let held = json!({ "metadata": { "finalizers": ["x.y/z"] } });
    server.patch(&path, "merge", &held).await.expect(200);
    server.delete(&path, &json!({})).await.expect(200);
    // Whoever sends back what was read changes nothing of it.
    server.patch(&path, "merge", &going).await.expect(200);
}

#[tokio::test]
async fn a_refusal_says_what_is_odd_besides() {
    let server = server().await;
    let mut odd = config_map("A");
    odd["foo"] = json!(1);
    let refused = server.post(CONFIG_MAPS, &odd).await;
    assert_eq!((refused.code, refused.header("warning")), (422, "299 - \"unknown field \\\"foo\\\"\""));
    let operation = json!([{ "op": "add", "path": "/data/x", "value": "y", "also": 1 }]);
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let warned = server.patch(&path, "json", &operation).await;
    assert_eq!(warned.header("warning"), "299 - \"json patch unknown field \\\"[0].also\\\"\"");
    let strict = format!("{path}?fieldValidation=Strict");
    let refused = server.patch(&strict, "json", &operation).await.expect(422);
    assert!(
        refused["message"].as_str().unwrap().contains("json patch unknown field \"[0].also\""),
        "{refused}"
    );
}

#[tokio::test]
async fn patches_of_a_scale_are_read_as_one() {
    let server = server().await;
    server.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d/scale");
    let patch = |body: Value| {
        let (server, path) = (&server, &path);
        async move { server.patch(path, "merge", &body).await }
    };
    patch(json!({ "metadata": { "name": "x" } })).await.expect(400);
    patch(json!({ "kind": "X" })).await.expect(422);
    let refused = patch(json!({ "spec": { "replicas": "3" } })).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "patch");
    let odd = patch(json!({ "foo": 1 })).await;
    assert_eq!((odd.code, odd.header("warning")), (200, "299 - \"unknown field \\\"foo\\\"\""));
    let scaled = patch(json!({ "spec": { "replicas": 0 } })).await.expect(200);
    assert_eq!(scaled["spec"], json!({}));
    // Annotations count as a change of a Deployment.
    let noted = json!({ "metadata": { "annotations": { "a": "b" } } });
    let noted = server.patch(&format!("{DEPLOYMENTS}/d"), "merge", &noted).await.expect(200);
    assert_eq!(noted["metadata"]["generation"], 3);
}

async fn owners(server: &Server, path: &str) -> Vec<(String, String)> {
    let object = server.get(path).await.expect(200);
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap().to_owned();
    let entries = object["metadata"]["managedFields"].as_array().unwrap().iter();
    entries.map(|entry| (text(entry, "manager"), text(entry, "apiVersion"))).collect()
}

#[tokio::test]
async fn a_write_in_one_version_leaves_the_owners_in_the_other() {
    let server = server().await;
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "d" });
    let scaler = |version: &str, spec: Value| {
        json!({ "apiVersion": format!("autoscaling/{version}"), "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "h" }, "spec": spec })
    };
    let path = format!("{AUTOSCALERS}/h");
    let apply = |path: String, by: &str, body: Value| {
        let url = format!("{path}?fieldManager={by}");
        let server = &server;
        async move { server.patch(&url, "application/apply-patch+yaml", &body).await }
    };
    let wished = scaler("v2", json!({ "maxReplicas": 4, "scaleTargetRef": target }));
    apply(path.clone(), "a", wished).await.expect(201);
    let old = path.replace("/v2/", "/v1/");
    server
        .patch(&format!("{old}?fieldManager=b"), "merge", &json!({ "spec": { "minReplicas": 2 } }))
        .await
        .expect(200);
    let found = owners(&server, &path).await;
    let entry = |by: &str, version: &str| (by.to_owned(), format!("autoscaling/{version}"));
    assert_eq!(found, [entry("a", "v2"), entry("b", "v1")]);
    let clash = apply(old, "c", scaler("v1", json!({ "maxReplicas": 5 }))).await.expect(409);
    assert_eq!(clash["message"], "Apply failed with 1 conflict: conflict with \"a\": .spec.maxReplicas");
}
