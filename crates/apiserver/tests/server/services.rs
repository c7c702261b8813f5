//! Services: cluster addresses and node ports, over updates, failures and restarts.

use serde_json::{Value, json};

use crate::support::server;

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, spec: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "app": "x" }, "ports": [{ "name": "http", "port": 80 }] },
    });
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

#[tokio::test]
async fn addresses() {
    let server = server().await;
    let first = server.post(SERVICES, &service("a", &json!({}))).await.expect(201);
    let address = first["spec"]["clusterIP"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.96."), "{address}");
    assert_eq!(first["spec"]["clusterIPs"], json!([address]));
    let taken = server.post(SERVICES, &service("b", &json!({ "clusterIP": address }))).await.expect(422);
    assert!(taken["message"].as_str().unwrap().contains("provided IP is already allocated"), "{taken}");
    server.post(SERVICES, &service("b", &json!({ "clusterIP": "192.168.0.1" }))).await.expect(422);
    let headless = server.post(SERVICES, &service("h", &json!({ "clusterIP": "None" }))).await.expect(201);
    assert_eq!(headless["spec"]["clusterIP"], "None");

    let mut update = service("a", &json!({ "ports": [{ "port": 81 }] }));
    update["metadata"]["resourceVersion"] = first["metadata"]["resourceVersion"].clone();
    let updated = server.put(&format!("{SERVICES}/a"), &update).await.expect(200);
    assert_eq!(updated["spec"]["clusterIP"], json!(address), "an update keeps the address");
    let moved = server
        .patch(&format!("{SERVICES}/a"), "merge", &json!({ "spec": { "clusterIP": "10.96.7.7" } }))
        .await;
    assert_eq!(moved.code, 422);

    let server = server.restart().await;
    server.post(SERVICES, &service("b", &json!({ "clusterIP": address }))).await.expect(422);
    server.delete(&format!("{SERVICES}/a"), &json!({})).await.expect(200);
    server.post(SERVICES, &service("b", &json!({ "clusterIP": address }))).await.expect(201);
}

#[tokio::test]
async fn a_refused_or_pretended_service_gives_its_address_back() {
    let server = server().await;
    let fixed = || service("a", &json!({ "clusterIP": "10.96.9.9" }));
    server.post(&format!("{SERVICES}?dryRun=All"), &fixed()).await.expect(201);
    let mut bad = fixed();
    bad["spec"]["type"] = json!("NodePort");
    bad["spec"]["ports"][0]["nodePort"] = json!(80);
    server.post(SERVICES, &bad).await.expect(422);
    server.post(SERVICES, &fixed()).await.expect(201);
}

#[tokio::test]
async fn node_ports() {
    let server = server().await;
    let created = server.post(SERVICES, &service("a", &json!({ "type": "NodePort" }))).await.expect(201);
    let port = created["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
    assert!((30000..=32767).contains(&port), "{port}");
    let same = json!({ "type": "NodePort", "ports": [{ "port": 80, "nodePort": port }] });
    let taken = server.post(SERVICES, &service("b", &same)).await.expect(422);
    assert!(taken["message"].as_str().unwrap().contains("already allocated"), "{taken}");
    let kept = server
        .patch(&format!("{SERVICES}/a"), "merge", &json!({ "metadata": { "labels": { "x": "y" } } }))
        .await;
    assert_eq!(kept.expect(200)["spec"]["ports"][0]["nodePort"], port);
    let back =
        server.patch(&format!("{SERVICES}/a"), "merge", &json!({ "spec": { "type": "ClusterIP" } })).await;
    assert_eq!(back.expect(200)["spec"]["ports"][0].get("nodePort"), None);
    server.post(SERVICES, &service("b", &same)).await.expect(201);
}
