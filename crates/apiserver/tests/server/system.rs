//! What every engine has from its first moment, and kinds that are stored though nothing acts on them.

use std::net::SocketAddr;

use konzert_apiserver::Pki;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{CONFIG_MAPS, Server, config_map, server};

const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";

#[tokio::test]
async fn the_api_server_has_a_service() {
    let server = server().await;
    let service = server.get("/api/v1/namespaces/default/services/kubernetes").await.expect(200);
    assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
    assert_eq!(service["spec"]["ports"][0]["port"], 443);
    assert_eq!(server.api.service_address().to_string(), "10.96.0.1");
    let taken = json!({
        "metadata": { "name": "x" }, "spec": { "clusterIP": "10.96.0.1", "ports": [{ "port": 1 }] },
    });
    let answer = server.post("/api/v1/namespaces/default/services", &taken).await.expect(422);
    assert!(answer["message"].as_str().unwrap().contains("already allocated"), "{answer}");
    let cidr = server.get("/apis/networking.k8s.io/v1/servicecidrs/kubernetes").await.expect(200);
    assert_eq!(cidr["spec"]["cidrs"], json!(["10.96.0.0/16"]));
    assert_eq!(cidr["status"]["conditions"][0]["status"], "True");
    let before = server.store.revision();
    let server = server.restart().await;
    let again = server.get("/api/v1/namespaces/default/services/kubernetes").await.expect(200);
    assert_eq!(again, service);
    assert_eq!(server.store.revision(), before, "an engine that has it all writes nothing");
}

/// The slice after a server listened on an address.
async fn advertised(server: &Server, listen: &str) -> (SocketAddr, Value) {
    let listener = TcpListener::bind(listen).await.unwrap();
    let address = listener.local_addr().unwrap();
    let pki = Pki::load_or_create(&server.dir.path().join("pki"), &[]).unwrap();
    server.api.serve(listener, &pki, std::future::ready(())).await.unwrap();
    (address, server.get(SLICE).await.expect(200))
}

#[tokio::test]
async fn its_endpoints_are_where_pods_can_reach_it() {
    let server = server().await;
    server.get(SLICE).await.expect(404);
    for listen in ["127.0.0.1:0", "0.0.0.0:0"] {
        let (address, slice) = advertised(&server, listen).await;
        assert_eq!(slice["endpoints"], json!([]), "nobody reaches {listen} from a pod");
        assert_eq!(slice["ports"][0]["port"], address.port());
        assert_eq!(slice["metadata"]["labels"]["kubernetes.io/service-name"], "kubernetes");
    }
}

#[tokio::test]
async fn every_group_version_is_an_api_service() {
    let server = server().await;
    let list = server.get(API_SERVICES).await.expect(200);
    let names: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|i| i["metadata"]["name"].as_str().unwrap()).collect();
    for wanted in ["v1.", "v1.apps", "v1.storage.k8s.io", "v1.networking.k8s.io"] {
        assert!(names.contains(&wanted), "{names:?}");
    }
    assert!(!names.contains(&"v1.apiregistration.k8s.io"), "as in Kubernetes");
    let apps = server.get(&format!("{API_SERVICES}/v1.apps")).await.expect(200);
    assert_eq!(
        apps["spec"],
        json!({ "group": "apps", "version": "v1", "groupPriorityMinimum": 17800, "versionPriority": 15 })
    );
    let condition = &apps["status"]["conditions"][0];
    assert_eq!((&condition["type"], &condition["status"]), (&json!("Available"), &json!("True")));
    assert_eq!(condition["reason"], "Local");
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table =
        server.call("GET", &format!("{API_SERVICES}/v1.apps"), &[("accept", accept)], Vec::new()).await;
    let cells = &table.expect(200)["rows"][0]["cells"];
    assert_eq!((&cells[0], &cells[1], &cells[2]), (&json!("v1.apps"), &json!("Local"), &json!("True")));

    let remote = json!({
        "metadata": { "name": "v1beta1.metrics.k8s.io" },
        "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": { "name": "metrics-server", "namespace": "kube-system" },
        },
    });
    let refused = server.post(API_SERVICES, &remote).await.expect(422);
    assert!(
        refused["message"].as_str().unwrap().contains("spec.service: Forbidden: aggregation is not served"),
        "{refused}"
    );
}

#[tokio::test]
async fn custom_groups_come_and_go() {
    let server = server().await;
    let mut events = server
        .watch(
            &format!("{API_SERVICES}?watch=true&fieldSelector=metadata.name%3Dv1.example.com"),
            "application/json",
        )
        .await;
    let definition = json!({
        "metadata": { "name": "things.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": { "plural": "things", "kind": "Thing" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": { "type": "object" } } }],
        },
    });
    server.post(DEFINITIONS, &definition).await.expect(201);
    assert_eq!(events.brief().await, "ADDED v1.example.com");
    let service = server.get(&format!("{API_SERVICES}/v1.example.com")).await.expect(200);
    assert_eq!(service["spec"]["groupPriorityMinimum"], 1000);
    server.delete(&format!("{DEFINITIONS}/things.example.com"), &json!({})).await.expect(200);
    assert_eq!(events.brief().await, "DELETED v1.example.com");
}

#[tokio::test]
async fn what_is_only_stored_is_accepted_with_a_warning() {
    let server = server().await;
    let hooks = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";
    let configuration = json!({
        "metadata": { "name": "w" },
        "webhooks": [{
            "name": "w.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"],
            "clientConfig": { "service": { "name": "s", "namespace": "n" } },
            "rules": [{ "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"] }],
        }],
    });
    let created = server.post(hooks, &configuration).await;
    let warning = created.header("warning").to_owned();
    assert!(
        warning.contains("ValidatingWebhookConfiguration is stored and not evaluated by this server"),
        "{warning}"
    );
    let created = created.expect(201);
    assert_eq!(created["webhooks"][0]["failurePolicy"], "Fail");
    assert_eq!(created["webhooks"][0]["clientConfig"]["service"]["port"], 443);
    assert_eq!(created["metadata"]["generation"], 1);
    server.post(CONFIG_MAPS, &config_map("free")).await.expect(201);
    let path = format!("{hooks}/w");
    let patch = json!({ "webhooks": [{ "name": "w.example.com", "timeoutSeconds": 5 }] });
    let patched = server.patch(&path, "strategic", &patch).await;
    assert!(patched.header("warning").contains("not evaluated"));
    let mut next = patched.expect(200);
    assert_eq!(
        (&next["metadata"]["generation"], &next["webhooks"][0]["timeoutSeconds"]),
        (&json!(2), &json!(5))
    );
    next["metadata"]["labels"] = json!({ "a": "b" });
    let put = server.put(&path, &next).await;
    assert!(put.header("warning").contains("not evaluated"));
    assert_eq!(put.expect(200)["metadata"]["generation"], 2);
    let map = server.put(&format!("{CONFIG_MAPS}/free"), &config_map("free")).await;
    assert_eq!(map.header("warning"), "", "most kinds have nothing to say");

    let policy = json!({ "metadata": { "name": "deny" }, "spec": { "podSelector": {} } });
    let path = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies";
    let created = server.post(path, &policy).await;
    assert!(created.header("warning").contains("not enforced"));
    assert_eq!(created.expect(201)["spec"]["policyTypes"], json!(["Ingress"]));
    let bad = server
        .post(
            path,
            &json!({ "metadata": { "name": "x" }, "spec": { "podSelector": {}, "policyTypes": ["No"] } }),
        )
        .await;
    assert_eq!(bad.header("warning"), "", "what is refused needs no warning");
    bad.expect(422);
}

#[tokio::test]
async fn status_of_the_new_kinds_has_a_path_of_its_own() {
    let server = server().await;
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    let ingress = json!({
        "metadata": { "name": "i" }, "spec": { "defaultBackend": backend },
        "status": { "loadBalancer": { "ingress": [{ "ip": "10.0.0.9" }] } },
    });
    let created = server.post(ingresses, &ingress).await.expect(201);
    assert_eq!(created["status"], json!({ "loadBalancer": {} }));
    let status = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "10.0.0.9" }] } } });
    let patched = server.patch(&format!("{ingresses}/i/status"), "merge", &status).await.expect(200);
    assert_eq!(patched["status"], status["status"]);
    assert_eq!(patched["metadata"]["generation"], 1);
    let wrong = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": "nowhere" }] } } });
    server.patch(&format!("{ingresses}/i/status"), "merge", &wrong).await.expect(422);
    for path in
        ["/apis/storage.k8s.io/v1/csinodes/n/status", "/apis/storage.k8s.io/v1/storageclasses/n/status"]
    {
        server.get(path).await.expect(404);
    }
}
