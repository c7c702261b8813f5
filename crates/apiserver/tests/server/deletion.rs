//! Deletion: preconditions, finalizers, propagation, grace, collections, namespaces.

use serde_json::json;

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, PODS, config_map, deployment, pod, server};

#[tokio::test]
async fn preconditions() {
    let server = server().await;
    let created = server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let wrong = json!({ "preconditions": { "uid": "other" } });
    let refused = server.delete(&path, &wrong).await.expect(409);
    assert!(
        refused["message"].as_str().unwrap().contains("the UID in the precondition (other)"),
        "{refused}"
    );
    server.delete(&path, &json!({ "preconditions": { "resourceVersion": "1" } })).await.expect(409);
    let right = json!({ "preconditions": {
        "uid": created["metadata"]["uid"], "resourceVersion": created["metadata"]["resourceVersion"],
    } });
    let status = server.delete(&path, &right).await.expect(200);
    assert_eq!((&status["kind"], &status["status"]), (&json!("Status"), &json!("Success")));
    assert_eq!(status["details"]["uid"], created["metadata"]["uid"]);
    server.delete(&path, &json!({})).await.expect(404);
}

#[tokio::test]
async fn finalizers_hold_an_object() {
    let server = server().await;
    let mut object = config_map("a");
    object["metadata"]["finalizers"] = json!(["test.dev/hold"]);
    server.post(CONFIG_MAPS, &object).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let marked = server.delete(&path, &json!({})).await.expect(200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 0);
    assert_eq!(server.delete(&path, &json!({})).await.expect(200), marked);
    let more = json!({ "metadata": { "finalizers": ["test.dev/hold", "test.dev/more"] } });
    let refused = server.patch(&path, "merge", &more).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("no new finalizers can be added"), "{refused}");
    let back = json!({ "metadata": { "deletionTimestamp": null, "labels": { "a": "b" } } });
    let kept = server.patch(&path, "merge", &back).await.expect(200);
    assert!(kept["metadata"]["deletionTimestamp"].is_string(), "a deletion cannot be taken back");
    server.patch(&path, "merge", &json!({ "metadata": { "finalizers": null } })).await.expect(200);
    server.get(&path).await.expect(404);
}

#[tokio::test]
async fn propagation_is_told_to_the_collector_by_finalizers() {
    let server = server().await;
    for (policy, finalizer) in [("Foreground", "foregroundDeletion"), ("Orphan", "orphan")] {
        server.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
        let path = format!("{DEPLOYMENTS}/d");
        let marked = server.delete(&path, &json!({ "propagationPolicy": policy })).await.expect(200);
        assert_eq!(marked["metadata"]["finalizers"], json!([finalizer]));
        server.patch(&path, "merge", &json!({ "metadata": { "finalizers": [] } })).await.expect(200);
        server.get(&path).await.expect(404);
    }
    server.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    server.delete(&format!("{DEPLOYMENTS}/d?propagationPolicy=Orphan"), &json!({})).await.expect(200);
    server.delete(&format!("{DEPLOYMENTS}/d"), &json!({ "propagationPolicy": "Never" })).await.expect(422);
    server.delete(&format!("{DEPLOYMENTS}/d"), &json!({ "propagation": "Orphan" })).await.expect(400);
}

#[tokio::test]
async fn pods_end_with_grace() {
    let server = server().await;
    server.post(PODS, &pod("free")).await.expect(201);
    assert_eq!(server.delete(&format!("{PODS}/free"), &json!({})).await.expect(200)["kind"], "Pod");
    server.get(&format!("{PODS}/free")).await.expect(404);

    let mut bound = pod("bound");
    bound["spec"]["nodeName"] = json!("node");
    let created = server.post(PODS, &bound).await.expect(201);
    let path = format!("{PODS}/bound");
    let marked = server.delete(&path, &json!({})).await.expect(200);
    assert_eq!(marked["metadata"]["deletionGracePeriodSeconds"], 30);
    let still = server.get(&path).await.expect(200);
    assert_eq!(still["metadata"]["deletionTimestamp"], marked["metadata"]["deletionTimestamp"]);
    let shorter = server.delete(&path, &json!({ "gracePeriodSeconds": 5 })).await.expect(200);
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    let status = json!({ "status": { "phase": "Running" } });
    server.patch(&format!("{path}/status"), "merge", &status).await.expect(200);
    let wrong = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": "x" } });
    server.delete(&path, &wrong).await.expect(409);
    let finish = json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": created["metadata"]["uid"] } });
    server.delete(&path, &finish).await.expect(200);
    server.get(&path).await.expect(404);
}

#[tokio::test]
async fn options_that_contradict_or_are_not_understood() {
    let server = server().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let both = json!({ "propagationPolicy": "Orphan", "orphanDependents": true });
    let refused = server.delete(&path, &both).await.expect(422);
    assert_eq!(
        refused["message"],
        "DeleteOptions.meta.k8s.io \"\" is invalid: propagationPolicy: Invalid value: \"Orphan\": orphanDependents and \
         deletionPropagation cannot be both set"
    );
    for (options, code, named) in [
        (json!({ "gracePeriodSeconds": "0" }), 400, "gracePeriodSeconds"),
        (json!({ "preconditions": { "uid": 7 } }), 400, "uid"),
        (json!({ "dryRun": "All" }), 400, "dryRun"),
        (json!({ "dryRun": ["Some"] }), 422, "dryRun"),
        (json!({ "grace": 1 }), 400, "grace"),
        (json!({ "kind": "Pod" }), 400, "Pod"),
        (json!([]), 400, "array"),
        (json!({ "ignoreStoreReadErrorWithClusterBreakingPotential": true }), 422, "ignoreStoreReadError"),
    ] {
        let refused = server.delete(&path, &options).await.expect(code);
        assert!(refused["message"].as_str().unwrap().contains(named), "{refused}");
    }
    for query in
        ["propagationPolicy=Never", "dryRun=Yes", "ignoreStoreReadErrorWithClusterBreakingPotential=true"]
    {
        server.delete(&format!("{path}?{query}"), &json!({})).await.expect(422);
    }
    server.delete(&format!("{path}?gracePeriodSeconds=x"), &json!({})).await.expect(400);
    server.get(&path).await.expect(200);
}

#[tokio::test]
async fn options_in_every_encoding() {
    let server = server().await;
    let path = format!("{CONFIG_MAPS}/a");
    let yaml = b"kind: DeleteOptions\napiVersion: v1\npreconditions:\n  uid: other\n".to_vec();
    // DeleteOptions{preconditions = 2 {uid = 1: "other"}} in its envelope.
    let options = b"\x12\x07\x0a\x05other";
    let protobuf = [b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x09".as_slice(), options].concat();
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    for (media, body) in [("application/yaml", yaml), ("application/vnd.kubernetes.protobuf", protobuf)] {
        let refused = server.call("DELETE", &path, &[("content-type", media)], body).await.expect(409);
        assert!(
            refused["message"].as_str().unwrap().contains("the UID in the precondition (other)"),
            "{refused}"
        );
    }
    let odd = server.call("DELETE", &path, &[("content-type", "text/plain")], b"x".to_vec()).await;
    assert_eq!(odd.code, 415);
    server.call("DELETE", &path, &[], Vec::new()).await.expect(200);
}

#[tokio::test]
async fn collections_have_limits_and_pages() {
    let server = server().await;
    for name in ["a", "b", "c"] {
        server.post(CONFIG_MAPS, &config_map(name)).await.expect(201);
    }
    let first = server.delete(&format!("{CONFIG_MAPS}?limit=2"), &json!({})).await.expect(200);
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert!(first["metadata"]["continue"].is_string(), "{first}");
    let left = server.get(CONFIG_MAPS).await.expect(200);
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    server.delete(&format!("{CONFIG_MAPS}?dryRun=All"), &json!({})).await.expect(200);
    server.delete(&format!("{CONFIG_MAPS}?fieldSelector=metadata.name%3Db"), &json!({})).await.expect(200);
    assert_eq!(server.get(CONFIG_MAPS).await.expect(200), left);
    server.delete(&format!("{CONFIG_MAPS}?resourceVersionMatch=Exact"), &json!({})).await.expect(422);
}

#[tokio::test]
async fn collections() {
    let server = server().await;
    for name in ["a", "b", "c"] {
        let mut object = config_map(name);
        object["metadata"]["labels"] = json!({ "keep": (name == "c").to_string() });
        server.post(CONFIG_MAPS, &object).await.expect(201);
    }
    let deleted =
        server.delete(&format!("{CONFIG_MAPS}?labelSelector=keep%3Dfalse"), &json!({})).await.expect(200);
    assert_eq!((&deleted["kind"], deleted["items"].as_array().unwrap().len()), (&json!("ConfigMapList"), 2));
    let left = server.get(CONFIG_MAPS).await.expect(200);
    assert_eq!(left["items"][0]["metadata"]["name"], "c");
    server.delete("/api/v1/configmaps", &json!({})).await.expect(405);
}

#[tokio::test]
async fn namespaces_wait_for_their_finalizer() {
    let server = server().await;
    let created =
        server.post("/api/v1/namespaces", &json!({ "metadata": { "name": "n" } })).await.expect(201);
    assert_eq!(created["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(created["status"]["phase"], "Active");
    let path = "/api/v1/namespaces/n";
    let mut marked = server.delete(path, &json!({})).await.expect(200);
    assert_eq!(marked["status"]["phase"], "Terminating");
    let put = server.put(path, &marked).await.expect(200);
    assert_eq!(put["spec"]["finalizers"], json!(["kubernetes"]), "only /finalize changes them");
    marked["spec"]["finalizers"] = json!([]);
    server.put(&format!("{path}/finalize"), &marked).await.expect(200);
    server.get(path).await.expect(404);
    let refused = server.delete("/api/v1/namespaces/kube-system", &json!({})).await.expect(403);
    assert!(refused["message"].as_str().unwrap().contains("this namespace may not be deleted"), "{refused}");
}
