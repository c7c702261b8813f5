//! Server-side apply and the owners of fields, over HTTP and through the typed client.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, Patch, PatchParams};
use serde_json::{Value, json};

use crate::support::{CONFIG_MAPS, DEPLOYMENTS, PODS, Server, config_map, deployment, pod, server};

const APPLY: &str = "application/apply-patch+yaml";

fn managers(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let show = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("manager"), text("operation"), text("subresource")).trim_end().to_owned()
    };
    entries.iter().map(show).collect()
}

fn fields(object: &Value, manager: &str) -> Value {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    entries.into_iter().find(|e| e["manager"] == manager).map_or(Value::Null, |e| e["fieldsV1"].clone())
}

async fn apply(server: &Server, path: &str, manager: &str, config: &Value) -> crate::support::Answer {
    server.patch(&format!("{path}?fieldManager={manager}"), APPLY, config).await
}

#[tokio::test]
async fn an_apply_creates_changes_and_removes() {
    let server = server().await;
    let path = format!("{DEPLOYMENTS}/d");
    let created = apply(&server, &path, "kubectl", &deployment("d")).await.expect(201);
    assert_eq!(created["metadata"]["generation"], 1);
    assert_eq!(managers(&created), ["kubectl Apply"]);
    let revision = server.store.revision();
    let again = apply(&server, &path, "kubectl", &deployment("d")).await.expect(200);
    assert_eq!(again, created);
    assert_eq!(server.store.revision(), revision, "an apply that changes nothing writes nothing");
    let mut other = deployment("d");
    other["spec"]["replicas"] = json!(5);
    let conflict = apply(&server, &path, "other", &other).await.expect(409);
    assert_eq!(conflict["reason"], "Conflict");
    assert_eq!(
        conflict["message"],
        "Apply failed with 1 conflict: conflict with \"kubectl\": .spec.replicas"
    );
    assert_eq!(conflict["details"]["causes"][0]["reason"], "FieldManagerConflict");
    assert_eq!(conflict["details"]["causes"][0]["field"], ".spec.replicas");
    let forced =
        server.patch(&format!("{path}?fieldManager=other&force=true"), APPLY, &other).await.expect(200);
    assert_eq!((&forced["spec"]["replicas"], &forced["metadata"]["generation"]), (&json!(5), &json!(2)));
    assert!(fields(&forced, "kubectl")["f:spec"].get("f:replicas").is_none());
    let mut dry = other.clone();
    dry["spec"]["replicas"] = json!(9);
    let answer =
        server.patch(&format!("{path}?fieldManager=other&dryRun=All"), APPLY, &dry).await.expect(200);
    assert_eq!(answer["spec"]["replicas"], 9);
    assert_eq!(server.get(&path).await.expect(200)["spec"]["replicas"], 5);
    // Without its only owner the field goes, and the default comes back.
    let mut without = deployment("d");
    without["spec"].as_object_mut().unwrap().remove("replicas");
    let less = apply(&server, &path, "other", &without).await.expect(200);
    assert_eq!(less["spec"]["replicas"], 1);
}

#[tokio::test]
async fn bodies_and_parameters_of_an_apply() {
    let server = server().await;
    let path = format!("{CONFIG_MAPS}/a");
    let missing = server.patch(&path, APPLY, &config_map("a")).await.expect(422);
    assert_eq!(
        missing["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
    let yaml = |text: &str| text.as_bytes().to_vec();
    let send = |query: &'static str, body: Vec<u8>| {
        let url = format!("{path}?fieldManager=x{query}");
        let server = &server;
        async move { server.call("PATCH", &url, &[("content-type", APPLY)], body).await }
    };
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: v\n";
    assert_eq!(send("", yaml(text)).await.expect(201)["data"]["k"], "v");
    let twice = format!("{text}  k: w\n");
    let warned = send("", yaml(&twice)).await;
    assert!(warned.header("warning").contains("299"), "{:?}", warned.headers);
    assert_eq!(warned.expect(200)["data"]["k"], "w");
    send("&fieldValidation=Strict", yaml(&twice)).await.expect(400);
    let table = [
        ("kind: [", 400, "error decoding patch"),
        ("- a\n", 400, "error decoding patch"),
        ("", 400, "invalid object type: /, Kind="),
        ("apiVersion: v1\nkind: Secret\n", 400, "invalid object type: /v1, Kind=Secret"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\n", 400, "does not match the name on the URL"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: b}\n", 400, "namespace"),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {managedFields: []}\n",
            400,
            "metadata.managedFields must be nil",
        ),
        ("apiVersion: v1\nkind: ConfigMap\ndata: {k: 1}\n", 500, ".data.k: expected string"),
        ("apiVersion: v1\nkind: ConfigMap\nodd: 1\n", 500, ".odd: field not declared in schema"),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {uid: other}\n",
            422,
            "metadata.uid: Invalid value: \"other\": field is immutable",
        ),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {resourceVersion: '1'}\n", 409, "has been modified"),
    ];
    for (body, code, message) in table {
        let error = send("", yaml(body)).await.expect(code);
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
    }
    assert_eq!(server.get(&path).await.expect(200)["data"]["k"], "w");
    let absent = format!("{CONFIG_MAPS}/none");
    let mut config = config_map("none");
    config["metadata"]["uid"] = json!("u");
    let error = apply(&server, &absent, "x", &config).await.expect(409);
    assert!(
        error["message"].as_str().unwrap().contains("uid mismatch: the provided object specified uid u"),
        "{error}"
    );
    let nameless = json!({ "apiVersion": "v1", "kind": "ConfigMap" });
    apply(&server, &absent, "x", &nameless).await.expect(400);
    apply(&server, &format!("{PODS}/none/status"), "x", &pod("none")).await.expect(404);
}

#[tokio::test]
async fn every_way_of_writing_has_its_owner() {
    let server = server().await;
    let named = |path: &str, manager: &str| format!("{path}?fieldManager={manager}");
    let created = server.post(&named(DEPLOYMENTS, "creator"), &deployment("d")).await.expect(201);
    assert_eq!(managers(&created), ["creator Update"]);
    assert_eq!(fields(&created, "creator")["f:spec"]["f:strategy"]["f:type"], json!({}));
    assert!(fields(&created, "creator").get("f:status").is_none());
    let path = format!("{DEPLOYMENTS}/d");
    let patch = json!({ "metadata": { "labels": { "a": "b" } } });
    let labelled = server.patch(&named(&path, "labeller"), "merge", &patch).await.expect(200);
    assert_eq!(
        fields(&labelled, "labeller"),
        json!({ "f:metadata": { "f:labels": { ".": {}, "f:a": {} } } })
    );
    let status = json!({ "status": { "replicas": 1, "observedGeneration": 1 } });
    let reported =
        server.patch(&named(&format!("{path}/status"), "controller"), "merge", &status).await.expect(200);
    assert_eq!(
        fields(&reported, "controller"),
        json!({ "f:status": { "f:replicas": {}, "f:observedGeneration": {} } })
    );
    let scale = json!({ "spec": { "replicas": 4 } });
    server.patch(&named(&format!("{path}/scale"), "scaler"), "merge", &scale).await.expect(200);
    let mut all = server.get(&path).await.expect(200);
    assert!(managers(&all).contains(&"controller Update status".to_owned()), "{:?}", managers(&all));
    assert!(managers(&all).contains(&"scaler Update scale".to_owned()), "{:?}", managers(&all));
    assert!(fields(&all, "creator")["f:spec"].get("f:replicas").is_none());
    // The in-process client writes in the name of its component.
    all["spec"]["paused"] = json!(true);
    let put = server.put(&path, &all).await.expect(200);
    assert_eq!(fields(&put, "test"), json!({ "f:spec": { "f:paused": {} } }));
    // An empty list takes all owners away; from then on updates are not recorded.
    let mut reset = put;
    reset["metadata"]["managedFields"] = json!([]);
    let reset = server.put(&path, &reset).await.expect(200);
    assert_eq!(managers(&reset), [""; 0]);
    let patched =
        server.patch(&path, "merge", &json!({ "metadata": { "labels": { "a": "c" } } })).await.expect(200);
    assert_eq!(managers(&patched), [""; 0]);
    let long = format!("{path}?fieldManager={}", "x".repeat(129));
    server.patch(&long, "merge", &patch).await.expect(422);
}

#[tokio::test]
async fn status_and_scale_can_be_applied() {
    let server = server().await;
    let path = format!("{DEPLOYMENTS}/d");
    apply(&server, &path, "kubectl", &deployment("d")).await.expect(201);
    let status = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d" },
        "status": { "readyReplicas": 1, "replicas": 1 }, "spec": { "paused": true },
    });
    let with = apply(&server, &format!("{path}/status"), "controller", &status).await.expect(200);
    assert_eq!(with["status"]["readyReplicas"], 1);
    assert!(with["spec"].get("paused").is_none());
    assert!(managers(&with).contains(&"controller Apply status".to_owned()));
    assert_eq!(
        fields(&with, "controller"),
        json!({ "f:status": { "f:readyReplicas": {}, "f:replicas": {} } })
    );
    let scale = |n: i64| json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "d" }, "spec": { "replicas": n } });
    let conflict = apply(&server, &format!("{path}/scale"), "hpa", &scale(7)).await.expect(409);
    assert!(
        conflict["message"].as_str().unwrap().contains("conflict with \"kubectl\": .spec.replicas"),
        "{conflict}"
    );
    let forced = format!("{path}/scale?fieldManager=hpa&force=true");
    assert_eq!(server.patch(&forced, APPLY, &scale(7)).await.expect(200)["spec"]["replicas"], 7);
    let object = server.get(&path).await.expect(200);
    assert_eq!(fields(&object, "hpa"), json!({ "f:spec": { "f:replicas": {} } }));
    assert!(fields(&object, "kubectl")["f:spec"].get("f:replicas").is_none());
    let revision = server.store.revision();
    apply(&server, &format!("{path}/scale"), "hpa", &scale(7)).await.expect(200);
    assert_eq!(server.store.revision(), revision);
}

#[tokio::test]
async fn services_pods_and_volatile_kinds() {
    let server = server().await;
    let services = "/api/v1/namespaces/default/services";
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
        "spec": { "selector": { "a": "b" }, "ports": [{ "port": 80 }] },
    });
    let created = apply(&server, &format!("{services}/s"), "kubectl", &service).await.expect(201);
    assert!(created["spec"]["clusterIP"].as_str().is_some_and(|ip| !ip.is_empty()), "{created}");
    assert!(fields(&created, "kubectl")["f:spec"].get("f:clusterIP").is_none());
    assert_eq!(apply(&server, &format!("{services}/s"), "kubectl", &service).await.expect(200), created);
    let mut more = service.clone();
    more["spec"]["ports"] =
        json!([{ "port": 80, "name": "a" }, { "port": 80, "protocol": "UDP", "name": "b" }]);
    let both = apply(&server, &format!("{services}/s"), "kubectl", &more).await.expect(200);
    assert_eq!(both["spec"]["ports"].as_array().unwrap().len(), 2);
    assert_eq!(both["spec"]["clusterIP"], created["spec"]["clusterIP"]);
    let invalid = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 0 }] } });
    apply(&server, &format!("{services}/t"), "kubectl", &invalid).await.expect(400);
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "l" },
        "spec": { "holderIdentity": "me" },
    });
    let created = apply(&server, &format!("{leases}/l"), "holder", &lease).await.expect(201);
    assert_eq!(fields(&created, "holder"), json!({ "f:spec": { "f:holderIdentity": {} } }));
    // A binding is the server's own write; it changes no owners.
    server.post(PODS, &pod("p")).await.expect(201);
    let before = server.get(&format!("{PODS}/p")).await.expect(200);
    let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" } });
    server.post(&format!("{PODS}/p/binding"), &binding).await.expect(201);
    let after = server.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(after["metadata"]["managedFields"], before["metadata"]["managedFields"]);
}

#[tokio::test]
async fn custom_kinds_are_applied_in_every_version() {
    let server = server().await;
    let schema = json!({ "type": "object", "properties": { "spec": { "type": "object", "properties": {
        "size": { "type": "integer" },
        "tags": { "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set" },
    } } } });
    let version = |name: &str, storage: bool| json!({ "name": name, "served": true, "storage": storage, "schema": { "openAPIV3Schema": schema } });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "things.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": { "plural": "things", "kind": "Thing" },
            "versions": [version("v1", true), version("v2", false)],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/things.example.com";
    apply(&server, definitions, "kubectl", &definition).await.expect(201);
    let thing = |version: &str, spec: Value| json!({ "apiVersion": format!("example.com/{version}"), "kind": "Thing", "metadata": { "name": "t" }, "spec": spec });
    let path = |version: &str| format!("/apis/example.com/{version}/namespaces/default/things/t");
    apply(&server, &path("v1"), "one", &thing("v1", json!({ "size": 1, "tags": ["a"] }))).await.expect(201);
    let both = apply(&server, &path("v2"), "two", &thing("v2", json!({ "tags": ["b"] }))).await.expect(200);
    assert_eq!(both["spec"]["tags"], json!(["a", "b"]));
    assert_eq!(both["apiVersion"], "example.com/v2");
    apply(&server, &path("v2"), "two", &thing("v2", json!({ "size": 2 }))).await.expect(409);
    let moved = apply(&server, &path("v2"), "one", &thing("v2", json!({ "size": 2 }))).await.expect(200);
    assert_eq!(moved["spec"], json!({ "size": 2, "tags": ["b"] }));
    assert_eq!(managers(&moved).len(), 2);
    let error = apply(&server, &path("v1"), "one", &thing("v1", json!({ "odd": 2 }))).await.expect(500);
    assert!(error.get("reason").is_none(), "{error}");
    assert_eq!(
        error["message"],
        "failed to create typed patch object (/t; example.com/v1, Kind=Thing): .spec.odd: field not declared in schema"
    );
}

#[tokio::test]
async fn the_typed_client_applies() {
    let server = server().await;
    let api: Api<ConfigMap> = Api::namespaced(server.client.clone(), "default");
    let config = |value: &str| ConfigMap {
        metadata: ObjectMeta { name: Some("c".to_owned()), ..ObjectMeta::default() },
        data: Some(BTreeMap::from([("k".to_owned(), value.to_owned())])),
        ..ConfigMap::default()
    };
    let created = api.patch("c", &PatchParams::apply("operator"), &Patch::Apply(config("1"))).await.unwrap();
    let entries = created.metadata.managed_fields.unwrap();
    assert_eq!(entries[0].manager.as_deref(), Some("operator"));
    let clash = api.patch("c", &PatchParams::apply("other"), &Patch::Apply(config("2"))).await.unwrap_err();
    assert!(matches!(&clash, kube::Error::Api(status) if status.code == 409), "{clash}");
    let forced =
        api.patch("c", &PatchParams::apply("other").force(), &Patch::Apply(config("2"))).await.unwrap();
    assert_eq!(forced.data.unwrap()["k"], "2");
}

#[tokio::test]
async fn objects_from_before_the_first_apply() {
    let server = server().await;
    server.post(CONFIG_MAPS, &config_map("a")).await.expect(201);
    let path = format!("{CONFIG_MAPS}/a");
    let mut reset = server.get(&path).await.expect(200);
    reset["metadata"]["managedFields"] = json!([{}]);
    server.put(&path, &reset).await.expect(200);
    let config =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "k": "w" } });
    let error = apply(&server, &path, "x", &config).await.expect(409);
    assert_eq!(
        error["message"],
        "Apply failed with 1 conflict: conflict with \"before-first-apply\" using v1: .data.k"
    );
    let same =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" }, "data": { "k": "v" } });
    let shared = apply(&server, &path, "x", &same).await.expect(200);
    assert_eq!(managers(&shared), ["x Apply", "before-first-apply Update"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_appliers_all_arrive() {
    let server = server().await;
    let path = format!("{CONFIG_MAPS}/a");
    let configs: Vec<(String, Value)> = (0..12)
        .map(|n| {
            let mut config = config_map("a");
            config["data"] = json!({ format!("k{n}"): "v" });
            (format!("m{n}"), config)
        })
        .collect();
    let sent = configs.iter().map(|(manager, config)| apply(&server, &path, manager, config));
    let answers = futures::future::join_all(sent).await;
    assert_eq!(answers.iter().filter(|a| a.code == 201).count(), 1);
    assert!(answers.iter().all(|a| a.code == 200 || a.code == 201));
    let object = server.get(&path).await.expect(200);
    assert_eq!(object["data"].as_object().unwrap().len(), 12);
    assert_eq!(managers(&object).len(), 12);
}

#[tokio::test]
async fn kubectl_migrates_from_client_side_apply() {
    let server = server().await;
    let key = "kubectl.kubernetes.io/last-applied-configuration";
    let mut object = deployment("d");
    object["metadata"]["annotations"] = json!({ key: deployment("d").to_string() });
    let csa = format!("{DEPLOYMENTS}?fieldManager=kubectl-client-side-apply");
    let created = server.post(&csa, &object).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d");
    // What kubectl sends: the entry of client-side apply becomes one of server-side apply, at this very revision.
    let mut entries = created["metadata"]["managedFields"].clone();
    entries[0]["manager"] = json!("kubectl");
    entries[0]["operation"] = json!("Apply");
    let migration = json!([
        { "op": "replace", "path": "/metadata/managedFields", "value": entries },
        { "op": "replace", "path": "/metadata/resourceVersion", "value": created["metadata"]["resourceVersion"] },
    ]);
    let migrated =
        server.patch(&format!("{path}?fieldManager=kubectl"), "json", &migration).await.expect(200);
    assert_eq!(managers(&migrated), ["kubectl Apply"]);
    assert_eq!(migrated["metadata"]["managedFields"][0]["time"], entries[0]["time"]);
    assert_eq!(migrated["metadata"]["generation"], 1);
    let stale = server.patch(&format!("{path}?fieldManager=kubectl"), "json", &migration).await;
    assert_eq!(stale.code, 409, "{}", stale.text());
    // The next apply removes what client-side apply owned and the configuration leaves out.
    let mut config = deployment("d");
    config["spec"]["template"]["spec"]["containers"][0]["image"] = json!("example:2");
    let applied = apply(&server, &path, "kubectl", &config).await.expect(200);
    assert_eq!(applied["spec"]["template"]["spec"]["containers"][0]["image"], "example:2");
    assert!(applied["metadata"]["annotations"].get(key).is_none(), "{applied}");
    assert_eq!(managers(&applied), ["kubectl Apply"]);
}
