//! Clients that leave, lie or ask for too much.

use futures::FutureExt;
use http::Request;
use kube::client::Body;
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, PODS, Server, config_map, deployment, pod, server};

const SERVICES: &str = "/api/v1/namespaces/default/services";

fn service(name: &str, address: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "clusterIP": address, "ports": [{ "port": 80 }] },
    })
}

/// Starts a request, looks after it so many times and leaves.
async fn leave(server: &Server, method: &str, path: &str, body: &Value, looks: usize) {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let mut answer =
        Box::pin(server.client.send(request.body(Body::from(body.to_string().into_bytes())).unwrap()));
    for _ in 0..looks {
        if (&mut answer).now_or_never().is_some() {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_a_client_does_not_wait_for_happens_as_a_whole() {
    let server = server().await;
    for looks in 1..40 {
        let object = service(&format!("s-{looks}"), &format!("10.96.8.{looks}"));
        leave(&server, "POST", SERVICES, &object, looks).await;
    }
    server.post(CONFIG_MAPS, &config_map("fence")).await.expect(201);
    let mut stored = 0;
    for looks in 1..40 {
        if server.get(&format!("{SERVICES}/s-{looks}")).await.code == 200 {
            stored += 1;
            let clash = service(&format!("t-{looks}"), &format!("10.96.8.{looks}"));
            server.post(SERVICES, &clash).await.expect(422);
        }
    }
    assert!(stored > 0, "some of the writes are done");
    for looks in 1..40 {
        leave(&server, "DELETE", &format!("{SERVICES}/s-{looks}"), &json!({}), looks).await;
    }
    server.post(CONFIG_MAPS, &config_map("fence-2")).await.expect(201);
    for looks in 1..40 {
        if server.get(&format!("{SERVICES}/s-{looks}")).await.code == 404 {
            let again = service(&format!("u-{looks}"), &format!("10.96.8.{looks}"));
            server.post(SERVICES, &again).await.expect(201);
        }
    }
}

#[tokio::test]
async fn a_watch_may_ask_for_any_time() {
    let server = server().await;
    let path = format!("{CONFIG_MAPS}?watch=true&timeoutSeconds={}", i64::MAX);
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    assert_eq!(server.watch(&path, "application/json").await.brief().await, "ADDED a");
    let path = format!("{CONFIG_MAPS}?watch=true&continue=abc");
    server.get(&path).await.expect(422);
}

#[tokio::test]
async fn a_body_is_not_read_where_none_belongs() {
    let server = server().await;
    let large = vec![b'x'; 4 * 1024 * 1024];
    assert_eq!(server.call("GET", CONFIG_MAPS, &[], large).await.code, 200);
}

#[tokio::test]
async fn a_binding_is_for_one_certain_pod() {
    let server = server().await;
    let created = server.post(PODS, &pod("p")).await.expect(201);
    let path = format!("{PODS}/p/binding");
    let binding =
        |metadata: Value| json!({ "metadata": metadata, "target": { "kind": "Node", "name": "n" } });
    for (metadata, code, want) in [
        (json!({ "name": "q" }), 400, "name in URL does not match name in Binding object"),
        (json!({}), 400, "name in URL does not match name in Binding object"),
        (
            json!({ "name": "p", "namespace": "other" }),
            400,
            "the namespace of the provided object does not match the namespace sent on the request",
        ),
        (json!({ "name": "p", "uid": "0" }), 409, "Precondition failed: UID in precondition: 0"),
        (
            json!({ "name": "p", "resourceVersion": "1" }),
            409,
            "Precondition failed: ResourceVersion in precondition: 1",
        ),
        (
            json!({ "name": "p", "annotations": { "a": 1 } }),
            400,
            "json: cannot unmarshal number into Go struct field",
        ),
    ] {
        let refused = server.post(&path, &binding(metadata)).await.expect(code);
        assert!(refused["message"].as_str().unwrap().contains(want), "{refused}");
    }
    let nowhere = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "A/B" } });
    server.post(&path, &nowhere).await.expect(422);
    let good = json!({
        "name": "p", "uid": created["metadata"]["uid"],
        "annotations": { "a": "b" }, "labels": { "topology.kubernetes.io/zone": "z" },
    });
    server.post(&path, &binding(good)).await.expect(201);
    let bound = server.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(bound["spec"]["nodeName"], "n");
    assert_eq!(bound["metadata"]["annotations"]["a"], "b");
    assert_eq!(bound["metadata"]["labels"]["topology.kubernetes.io/zone"], "z");
    let again = server.post(&path, &binding(json!({ "name": "p" }))).await.expect(409);
    assert_eq!(
        again["message"],
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\""
    );
    let mut gated = pod("g");
    gated["spec"]["schedulingGates"] = json!([{ "name": "a.b/c" }]);
    server.post(PODS, &gated).await.expect(201);
    let refused =
        server.post(&format!("{PODS}/g/binding"), &binding(json!({ "name": "g" }))).await.expect(409);
    assert!(
        refused["message"].as_str().unwrap().contains("has non-empty .spec.schedulingGates"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_eviction_names_its_pod() {
    let server = server().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let path = format!("{PODS}/p/eviction");
    let eviction =
        |metadata: Value| json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata });
    server.post(&path, &eviction(json!({}))).await.expect(400);
    server.post(&path, &eviction(json!({ "name": "p", "namespace": "other" }))).await.expect(400);
    server.get(&format!("{PODS}/p")).await.expect(200);
    server.post(&path, &eviction(json!({ "name": "p" }))).await.expect(201);
}

#[tokio::test]
async fn a_scale_is_read_as_strictly_as_any_object() {
    let server = server().await;
    server.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d/scale");
    let scale = |metadata: Value, spec: Value| json!({ "metadata": metadata, "spec": spec });
    for (query, body, want) in [
        (
            "",
            scale(json!({ "name": "d", "namespace": "x" }), json!({})),
            "the namespace of the provided object",
        ),
        ("", scale(json!({}), json!({ "replicas": 1 })), "name must be provided"),
        (
            "?fieldValidation=Strict",
            scale(json!({ "name": "d" }), json!({ "odd": 1 })),
            "unknown field \"spec.odd\"",
        ),
        ("", scale(json!({ "name": "d" }), json!({ "replicas": "1" })), "cannot unmarshal string"),
    ] {
        let refused = server.put(&format!("{path}{query}"), &body).await.expect(400);
        assert!(refused["message"].as_str().unwrap().contains(want), "{refused}");
    }
    let renamed = server.patch(&path, "merge", &json!({ "metadata": { "name": "x" } })).await.expect(400);
    assert_eq!(renamed["message"], "the name of the object (x) does not match the name on the URL (d)");
    assert_eq!(server.get(&path).await.expect(200)["spec"]["replicas"], 2);
}

#[tokio::test]
async fn rights_to_one_name_are_rights_to_one_name() {
    let server = server().await;
    for name in ["x", "y"] {
        server.post(CONFIG_MAPS, &config_map(name)).await.expect(201);
    }
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    let verbs = ["get", "list", "watch", "deletecollection"];
    let rules =
        json!([{ "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["x"], "verbs": verbs }]);
    server
        .post(&format!("{rbac}/roles"), &json!({ "metadata": { "name": "x" }, "rules": rules }))
        .await
        .expect(201);
    let binding = json!({
        "metadata": { "name": "x" }, "subjects": [{ "kind": "User", "name": "u" }],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "x" },
    });
    server.post(&format!("{rbac}/rolebindings"), &binding).await.expect(201);
    let user = [("impersonate-user", "u")];
    for (method, query, code) in [
        ("GET", "fieldSelector=metadata.name%3Dx", 200),
        ("GET", "fieldSelector=metadata.name%3D%3Dx,metadata.name%3Dy", 200),
        ("GET", "", 403),
        ("GET", "fieldSelector=metadata.name!%3Dx", 403),
        ("GET", "fieldSelector=metadata.name%3Dx%5C,", 403),
        ("GET", "fieldSelector=metadata.name!%3Da%5C,metadata.name%3Dx", 403),
        ("DELETE", "fieldSelector=metadata.name%3Dx", 403),
        // What may not be done is not said to be impossible either.
        ("PUT", "", 403),
        ("OPTIONS", "", 403),
    ] {
        let answer = server.call(method, &format!("{CONFIG_MAPS}?{query}"), &user, Vec::new()).await;
        assert_eq!(answer.code, code, "{method} {query}");
        if code == 200 {
            let items = answer.json()["items"].as_array().unwrap().clone();
            assert!(items.iter().all(|item| item["metadata"]["name"] == "x"), "{items:?}");
        }
    }
}
