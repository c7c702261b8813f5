//! Create, update and patch: names, validation, dry run, strictness, conflicts, bodies.

use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, PODS, Server, config_map, deployment, pod, server};

#[tokio::test]
async fn names_are_generated_and_checked() {
    let server = server().await;
    let body = json!({ "metadata": { "generateName": "job-" } });
    let names: Vec<String> = futures::future::join_all((0..3).map(|_| server.post(CONFIG_MAPS, &body)))
        .await
        .into_iter()
        .map(|a| a.expect(201)["metadata"]["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(names.iter().all(|n| n.starts_with("job-") && n.len() == 9), "{names:?}");
    for (object, code, reason) in [
        (json!({ "metadata": {} }), 422, "Invalid"),
        (json!({ "metadata": { "name": "Not_A_Name" } }), 422, "Invalid"),
        (json!({ "metadata": { "name": "a", "namespace": "other" } }), 400, "BadRequest"),
        (json!({ "metadata": { "name": "a", "resourceVersion": "7" } }), 500, ""),
        (json!({ "kind": "Secret", "metadata": { "name": "a" } }), 400, "BadRequest"),
        (json!({ "metadata": { "name": "a" }, "data": { "k": 1 } }), 400, "BadRequest"),
        (json!([]), 400, "BadRequest"),
    ] {
        let answer = server.post(CONFIG_MAPS, &object).await.expect(code);
        assert_eq!(
            (answer["kind"].as_str(), answer["reason"].as_str().unwrap_or_default()),
            (Some("Status"), reason),
            "{object}"
        );
    }
    let broken =
        server.call("POST", CONFIG_MAPS, &[("content-type", "application/json")], b"{\"a\":".to_vec());
    assert_eq!(broken.await.expect(400)["reason"], "BadRequest");
    let invalid_utf8 = server.call("POST", CONFIG_MAPS, &[], b"{\"a\":\"\xff\"}".to_vec());
    assert_eq!(invalid_utf8.await.code, 400);
    let odd = server.call("POST", CONFIG_MAPS, &[("content-type", "text/html")], b"x".to_vec());
    assert_eq!(odd.await.expect(415)["reason"], "UnsupportedMediaType");
}

#[tokio::test]
async fn namespaces_must_exist_and_live() {
    let server = server().await;
    let missing = server.post("/api/v1/namespaces/nowhere/configmaps", &config_map("a")).await.expect(404);
    assert_eq!(missing["message"], "namespaces \"nowhere\" not found");
    server.post("/api/v1/namespaces", &json!({ "metadata": { "name": "going" } })).await.expect(201);
    server.delete("/api/v1/namespaces/going", &json!({})).await.expect(200);
    let refused = server.post("/api/v1/namespaces/going/configmaps", &config_map("a")).await.expect(403);
    assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating");
    assert!(refused["message"].as_str().unwrap().contains("because it is being terminated"), "{refused}");
}

#[tokio::test]
async fn dry_run_changes_nothing() {
    let server = server().await;
    let before = server.store.revision();
    let created = server.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a")).await.expect(201);
    assert!(created["metadata"]["uid"].is_string());
    server.get(&format!("{CONFIG_MAPS}/a")).await.expect(404);
    assert_eq!(server.store.revision(), before);
    let stored = server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let after = server.store.revision();
    server.post(&format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a")).await.expect(409);
    let patch = json!({ "data": { "k": "other" } });
    let patched = server.patch(&format!("{CONFIG_MAPS}/a?dryRun=All"), "merge", &patch).await.expect(200);
    assert_eq!(patched["data"]["k"], "other");
    server.delete(&format!("{CONFIG_MAPS}/a?dryRun=All"), &json!({})).await.expect(200);
    server.delete(&format!("{CONFIG_MAPS}/a"), &json!({ "dryRun": ["All"] })).await.expect(200);
    assert_eq!(server.get(&format!("{CONFIG_MAPS}/a")).await.expect(200), stored);
    assert_eq!(server.store.revision(), after);
    server.post(&format!("{CONFIG_MAPS}?dryRun=Some"), &config_map("b")).await.expect(422);
}

#[tokio::test]
async fn field_validation_is_strict_warns_or_ignores() {
    let server = server().await;
    let text = br#"{"metadata":{"name":"a","name":"a"},"odd":1,"data":{"k":"v"}}"#.to_vec();
    let json = [("content-type", "application/json")];
    let strict =
        server.call("POST", &format!("{CONFIG_MAPS}?fieldValidation=Strict"), &json, text.clone()).await;
    let strict = strict.expect(400);
    let message = strict["message"].as_str().unwrap();
    assert!(message.contains("strict decoding error"), "{message}");
    assert!(message.contains("unknown field \"odd\"") && message.contains("duplicate field"), "{message}");
    let warned = server.call("POST", CONFIG_MAPS, &json, text.clone()).await;
    assert_eq!(warned.code, 201);
    let warnings: Vec<_> =
        warned.headers.get_all("warning").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
    assert!(warnings.contains(&"299 - \"unknown field \\\"odd\\\"\"".to_owned()), "{warnings:?}");
    assert_eq!(warnings.len(), 2);
    assert!(warned.json().get("odd").is_none());
    let text = String::from_utf8(text).unwrap().replace("\"a\"", "\"b\"");
    let ignored =
        server.call("POST", &format!("{CONFIG_MAPS}?fieldValidation=Ignore"), &json, text.into()).await;
    assert_eq!((ignored.code, ignored.headers.contains_key("warning")), (201, false));
    let patch = json!({ "spec": { "template": { "spec": { "nodName": "x" } } } });
    server.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let refused = server.patch(&format!("{DEPLOYMENTS}/d?fieldValidation=Strict"), "strategic", &patch).await;
    assert!(refused.expect(422)["message"].as_str().unwrap().contains("spec.template.spec.nodName"));
}

#[tokio::test]
async fn bodies_in_yaml_and_protobuf() {
    let server = server().await;
    let yaml = "metadata:\n  name: yaml\ndata:\n  k: \"1\"\n";
    let answer = server.call("POST", CONFIG_MAPS, &[("content-type", "application/yaml")], yaml.into()).await;
    assert_eq!(answer.expect(201)["data"]["k"], "1");
    let protobuf = [("content-type", "application/vnd.kubernetes.protobuf")];
    let answer = server.call("POST", CONFIG_MAPS, &protobuf, protobuf_config_map("p", "k", "v")).await;
    let created = answer.expect(201);
    assert_eq!((&created["metadata"]["name"], &created["data"]), (&json!("p"), &json!({ "k": "v" })));
    let broken = server.call("POST", CONFIG_MAPS, &protobuf, b"k8s\0\xff\xff".to_vec()).await;
    assert_eq!(broken.expect(400)["reason"], "BadRequest");
    let twice = b"metadata:\n  name: twice\ndata:\n  k: a\n  k: b\n".to_vec();
    let yaml = [("content-type", "application/yaml")];
    let strict =
        server.call("POST", &format!("{CONFIG_MAPS}?fieldValidation=Strict"), &yaml, twice.clone()).await;
    assert_eq!(
        strict.expect(400)["message"],
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:\n  \
         line 5: key \"k\" already set in map"
    );
    let warned = server.call("POST", CONFIG_MAPS, &yaml, twice).await;
    assert_eq!(warned.header("warning"), "299 - \"line 5: key \\\"k\\\" already set in map\"");
    assert_eq!(warned.expect(201)["data"]["k"], "b");
    let nulls = json!({ "metadata": { "name": "nulls", "labels": null }, "data": { "a": null } });
    assert_eq!(server.post(CONFIG_MAPS, &nulls).await.expect(201)["data"], json!({ "a": "" }));
    let bomb = format!("a: &a [x,x]\nb: {}\n", "[".repeat(100_000));
    let bomb = server.call("POST", CONFIG_MAPS, &[("content-type", "application/yaml")], bomb.into()).await;
    assert_eq!(bomb.code, 400);
}

/// A `ConfigMap` in the envelope, encoded by hand.
fn protobuf_config_map(name: &str, key: &str, value: &str) -> Vec<u8> {
    fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![tag << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }
    let metadata = field(1, name.as_bytes());
    let entry = [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
    let raw = [field(1, &metadata), field(2, &entry)].concat();
    let type_meta = [field(1, b"v1"), field(2, b"ConfigMap")].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, &raw)].concat()
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let server = server().await;
    let large = "x".repeat(4 * 1024 * 1024);
    let body = json!({ "metadata": { "name": "big" }, "data": { "k": large } });
    let refused = server.post(CONFIG_MAPS, &body).await.expect(413);
    assert_eq!(refused["reason"], "RequestEntityTooLarge");
    assert_eq!(refused["message"], "Request entity too large: limit is 3145728");
    server.post(CONFIG_MAPS, &config_map("grows")).await.expect(201);
    let half = json!({ "data": { "a": "x".repeat(1000 * 1024) } });
    server.patch(&format!("{CONFIG_MAPS}/grows"), "merge", &half).await.expect(200);
    let other = json!({ "binaryData": { "b": "QUFB".repeat(256 * 1024) } });
    let code = server.patch(&format!("{CONFIG_MAPS}/grows"), "merge", &other).await.code;
    assert!([413, 422].contains(&code), "{code}");
    assert!(server.get(&format!("{CONFIG_MAPS}/grows")).await.expect(200).get("binaryData").is_none());
    let stored_limit = "x".repeat(2 * 1024 * 1024);
    let body = json!({ "metadata": { "name": "big" }, "data": { "k": stored_limit } });
    let code = server.post(CONFIG_MAPS, &body).await.code;
    assert!([413, 422].contains(&code), "{code}");
    server.get(&format!("{CONFIG_MAPS}/big")).await.expect(404);
}

#[tokio::test]
async fn updates_check_name_uid_and_revision() {
    let server = server().await;
    let created = server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    server.put(&format!("{CONFIG_MAPS}/b"), &config_map("b")).await.expect(404);
    server.put(&path, &config_map("b")).await.expect(400);
    let mut other = created.clone();
    other["metadata"]["uid"] = json!("someone-else");
    assert!(
        server.put(&path, &other).await.expect(409)["message"]
            .as_str()
            .unwrap()
            .contains("Precondition failed")
    );
    let mut unconditional = created.clone();
    unconditional["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    unconditional["data"]["k"] = json!("w");
    let updated = server.put(&path, &unconditional).await.expect(200);
    assert_eq!(updated["metadata"]["uid"], created["metadata"]["uid"]);
    assert_eq!(updated["metadata"]["creationTimestamp"], created["metadata"]["creationTimestamp"]);
    let stale = json!({ "metadata": { "resourceVersion": created["metadata"]["resourceVersion"] }, "data": { "k": "z" } });
    server.patch(&path, "merge", &stale).await.expect(409);
}

#[tokio::test]
async fn patches_of_every_type() {
    let server = server().await;
    server.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d");
    let sidecar =
        json!({ "spec": { "template": { "spec": { "containers": [{ "name": "side", "image": "s:1" }] } } } });
    let merged = server.patch(&path, "strategic", &sidecar).await.expect(200);
    assert_eq!(merged["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 2);
    assert_eq!(merged["metadata"]["generation"], 2);
    let replaced = server.patch(&path, "merge", &sidecar).await.expect(200);
    assert_eq!(replaced["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1);
    let operations = json!([
        { "op": "test", "path": "/spec/replicas", "value": 2 },
        { "op": "replace", "path": "/spec/replicas", "value": 5 },
    ]);
    assert_eq!(server.patch(&path, "json", &operations).await.expect(200)["spec"]["replicas"], 5);
    let failed = server.patch(&path, "json", &operations).await;
    assert_eq!(failed.code, 422, "{}", failed.text());
    assert_eq!(server.get(&path).await.expect(200)["spec"]["replicas"], 5);
    server.patch(&path, "application/json", &json!({})).await.expect(415);
    let cbor = format!("{path}?fieldManager=x");
    server.patch(&cbor, "application/apply-patch+cbor", &json!({})).await.expect(415);
    server.patch(&format!("{path}?force=true"), "merge", &json!({})).await.expect(422);
    server.patch(&path, "merge", &json!({ "spec": { "replicas": -1 } })).await.expect(422);
    server.patch(&path, "merge", &json!([1])).await.expect(400);
    server.patch(&format!("{DEPLOYMENTS}/none"), "merge", &json!({})).await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_patches_all_arrive() {
    let server = server().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let patches: Vec<Value> = (0..24).map(|n| json!({ "data": { format!("k{n}"): "v" } })).collect();
    let answers = futures::future::join_all(patches.iter().map(|p| server.patch(&path, "merge", p))).await;
    assert!(answers.iter().all(|a| a.code == 200));
    assert_eq!(server.get(&path).await.expect(200)["data"].as_object().unwrap().len(), 25);
}

#[tokio::test]
async fn a_patch_that_changes_nothing_writes_nothing() {
    let server = server().await;
    let created = server.post(PODS, &pod("a")).await.expect(201);
    let revision = server.store.revision();
    let patch = json!({ "metadata": { "labels": { "app": "a" } } });
    for kind in ["merge", "strategic"] {
        assert_eq!(server.patch(&format!("{PODS}/a"), kind, &patch).await.expect(200), created);
    }
    assert_eq!(server.store.revision(), revision);
}

#[tokio::test]
async fn unknown_parameters_and_paths_are_errors() {
    let server: Server = server().await;
    server.get(&format!("{CONFIG_MAPS}?shardSelector=x")).await.expect(400);
    server.get(&format!("{CONFIG_MAPS}?timeoutSeconds=x")).await.expect(400);
    // Client libraries add parameters of their own, which Kubernetes ignores.
    server.get(&format!("{CONFIG_MAPS}?timeout=32s&somebodysOwn=1")).await.expect(200);
    server.get("/api/v1/namespaces/default/unknowns").await.expect(404);
    server.get("/api/v2/pods").await.expect(404);
    server.get("/api/v1/namespaces/default/namespaces").await.expect(404);
    server.get("/api/v1/pods/a").await.expect(404);
    server.post("/api/v1/pods", &pod("a")).await.expect(405);
    server.call("PUT", CONFIG_MAPS, &[], Vec::new()).await.expect(405);
    server.call("OPTIONS", CONFIG_MAPS, &[], Vec::new()).await.expect(405);
    server.get(&format!("{CONFIG_MAPS}/a/status")).await.expect(404);
    server.post(&format!("{PODS}/a/status"), &pod("a")).await.expect(405);
    server.get("/nonsense").await.expect(404);
}
