//! Discovery, `OpenAPI`, version, health, metrics, reviews.

use std::io::Read as _;

use serde_json::{Value, json};

use crate::support::{Server, server};

async fn get(server: &Server, path: &str, accept: &str) -> crate::support::Answer {
    server.call("GET", path, &[("accept", accept)], Vec::new()).await
}

#[tokio::test]
async fn aggregated_discovery() {
    let server = server().await;
    for version in ["v2", "v2beta1"] {
        let accept = format!(
            "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList,application/json"
        );
        let apis = get(&server, "/apis", &accept).await;
        let content_type =
            format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        assert_eq!(apis.header("content-type"), content_type);
        let document = apis.expect(200);
        assert_eq!(document["apiVersion"], format!("apidiscovery.k8s.io/{version}"));
        let groups: Vec<_> = document["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|g| g["metadata"]["name"].as_str().unwrap())
            .collect();
        for group in ["apps", "batch", "konzert.dev", "apiextensions.k8s.io"] {
            assert!(groups.contains(&group), "{groups:?}");
        }
        let core = get(&server, "/api", &accept).await.expect(200);
        let resources = core["items"][0]["versions"][0]["resources"].as_array().unwrap();
        let pods = resources.iter().find(|r| r["resource"] == "pods").unwrap();
        assert_eq!(pods["responseKind"], json!({ "group": "", "version": "v1", "kind": "Pod" }));
        let sub: Vec<_> =
            pods["subresources"].as_array().unwrap().iter().map(|s| &s["subresource"]).collect();
        for wanted in ["status", "log", "binding", "eviction"] {
            assert!(sub.contains(&&json!(wanted)), "{sub:?}");
        }
    }
}

#[tokio::test]
async fn plain_discovery_and_etags() {
    let server = server().await;
    assert_eq!(server.get("/api").await.expect(200)["versions"], json!(["v1"]));
    let apis = server.get("/apis").await;
    let etag = apis.header("etag").to_owned();
    assert!(!etag.is_empty());
    assert_eq!(apis.expect(200)["kind"], "APIGroupList");
    let again = server.call("GET", "/apis", &[("if-none-match", &etag)], Vec::new()).await;
    assert_eq!((again.code, again.body.len()), (304, 0));
    let apps = server.get("/apis/apps").await.expect(200);
    assert_eq!(apps["preferredVersion"]["groupVersion"], "apps/v1");
    let resources = server.get("/apis/apps/v1").await.expect(200);
    let list = resources["resources"].as_array().unwrap();
    let scale = list.iter().find(|r| r["name"] == "deployments/scale").unwrap();
    assert_eq!((&scale["group"], &scale["kind"]), (&json!("autoscaling"), &json!("Scale")));
    assert_eq!(server.get("/api/v1").await.expect(200)["groupVersion"], "v1");
    server.get("/apis/nowhere/v1").await.expect(404);
}

#[tokio::test]
async fn kube_discovery_understands_it() {
    let server = server().await;
    let discovery = kube::Discovery::new(server.client.clone()).run().await.unwrap();
    assert!(discovery.has_group("konzert.dev"));
    let aggregated = kube::Discovery::new(server.client.clone()).run_aggregated().await.unwrap();
    assert!(aggregated.has_group("apps"));
}

#[tokio::test]
async fn openapi() {
    let server = server().await;
    let index = server.get("/openapi/v3").await.expect(200);
    let url = index["paths"]["apis/apps/v1"]["serverRelativeURL"].as_str().unwrap().to_owned();
    let answer = server.get(&url).await;
    assert!(answer.header("cache-control").contains("immutable"));
    let document = answer.expect(200);
    let path = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}";
    let patch = &document["paths"][path]["patch"];
    assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Deployment");
    assert!(patch["requestBody"]["content"].get("application/strategic-merge-patch+json").is_some());
    let unhashed = server.get("/openapi/v3/apis/apps/v1").await;
    assert_eq!(unhashed.header("cache-control"), "");
    server.get("/openapi/v3/apis/nowhere/v1").await.expect(404);
    let stale = server.get("/openapi/v3/apis/apps/v1?hash=OLD").await;
    assert_eq!((stale.code, stale.header("location")), (301, url.as_str()));
    let etag = answer_etag(&server, &url).await;
    let known = server.call("GET", &url, &[("if-none-match", &etag)], Vec::new()).await;
    assert_eq!((known.code, known.body.len()), (304, 0));
    let packed = server.call("GET", &url, &[("accept-encoding", "gzip")], Vec::new()).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut plain = String::new();
    flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_string(&mut plain).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&plain).unwrap(), document);
    get(&server, &url, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf").await.expect(406);
}

async fn answer_etag(server: &Server, path: &str) -> String {
    server.get(path).await.header("etag").to_owned()
}

#[tokio::test]
async fn openapi_v2_in_both_encodings() {
    let server = server().await;
    let json = server.get("/openapi/v2").await;
    let etag = json.header("etag").to_owned();
    let document = json.expect(200);
    assert_eq!(document["swagger"], "2.0");
    for name in ["io.k8s.api.core.v1.Pod", "dev.konzert.v1alpha1.PatchCampaign"] {
        assert!(document["definitions"][name]["properties"]["spec"].is_object(), "{name}");
    }
    let known = server.call("GET", "/openapi/v2", &[("if-none-match", &etag)], Vec::new()).await;
    assert_eq!(known.code, 304);
    let asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    let binary = get(&server, "/openapi/v2", asked).await;
    assert_eq!(binary.header("content-type"), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert!(binary.body.starts_with(b"\x0a\x032.0\x12"), "swagger, then info");
    assert!(binary.body.len() > 100_000);
}

#[tokio::test]
async fn a_definition_is_published_at_once_and_taken_back() {
    let server = server().await;
    let before = server.get("/openapi/v3").await.expect(200);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": "cars.test.dev" },
        "spec": {
            "group": "test.dev", "scope": "Namespaced",
            "names": { "plural": "cars", "singular": "car", "kind": "Car", "shortNames": ["cr"], "categories": ["all"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "selectableFields": [{ "jsonPath": ".spec.color" }],
                "schema": { "openAPIV3Schema": {
                    "type": "object", "description": "what drives",
                    "properties": { "spec": { "type": "object", "properties": {
                        "color": { "type": "string" },
                        "wheels": { "type": "array", "x-kubernetes-list-type": "set", "items": { "type": "string" } },
                        "size": { "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] },
                    } } },
                } },
            }],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    server.post(path, &definition).await.expect(201);
    let index = server.get("/openapi/v3").await.expect(200);
    assert_eq!(index["paths"]["api/v1"], before["paths"]["api/v1"], "what did not change keeps its address");
    let url = index["paths"]["apis/test.dev/v1"]["serverRelativeURL"].as_str().unwrap();
    let document = server.get(url).await.expect(200);
    let schema = &document["components"]["schemas"]["dev.test.v1.Car"];
    assert_eq!(schema["description"], "what drives");
    assert_eq!(schema["x-kubernetes-selectable-fields"], json!([{ "fieldPath": "spec.color" }]));
    let spec = &schema["properties"]["spec"]["properties"];
    assert_eq!(spec["wheels"]["x-kubernetes-list-type"], "set");
    let patch = &document["paths"]["/apis/test.dev/v1/namespaces/{namespace}/cars/{name}"]["patch"];
    let types: Vec<&String> = patch["requestBody"]["content"].as_object().unwrap().keys().collect();
    assert!(types.iter().any(|t| *t == "application/apply-patch+yaml"), "{types:?}");
    assert!(!types.iter().any(|t| t.contains("strategic")), "{types:?}");
    let old = server.get("/openapi/v2").await.expect(200);
    let car = &old["definitions"]["dev.test.v1.Car"]["properties"]["spec"]["properties"];
    assert_eq!(car["size"], json!({ "x-kubernetes-int-or-string": true }), "version 2 cannot say either");
    let resources = server.get("/apis/test.dev/v1").await.expect(200);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["cr"]));
    assert_eq!(resources["resources"][0]["categories"], json!(["all"]));
    server.delete(&format!("{path}/cars.test.dev"), &json!({})).await.expect(200);
    for _ in 0..200 {
        if server.get("/apis/test.dev/v1").await.code == 404 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("the definition is gone, but its group is still served");
}

#[tokio::test]
async fn discovery_in_detail() {
    let server = server().await;
    let core = server.get("/api/v1").await.expect(200);
    let entry = |list: &Value, name: &str| {
        list["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).unwrap().clone()
    };
    let pods = entry(&core, "pods");
    assert_eq!(pods["storageVersionHash"], "xPOwRZ+Yhw8=", "as every Kubernetes has it");
    assert_eq!((&pods["singularName"], &pods["shortNames"]), (&json!("pod"), &json!(["po"])));
    assert_eq!(pods["categories"], json!(["all"]));
    assert_eq!(pods["verbs"].as_array().unwrap().len(), 8);
    let status = entry(&core, "pods/status");
    assert_eq!((&status["kind"], &status["verbs"]), (&json!("Pod"), &json!(["get", "patch", "update"])));
    assert!(status.get("storageVersionHash").is_none());
    let apps = server.get("/apis/apps/v1").await.expect(200);
    assert_eq!(entry(&apps, "deployments")["storageVersionHash"], "8aSe+NMegvE=");
    let groups = server.get("/apis").await.expect(200);
    let names: Vec<&str> =
        groups["groups"].as_array().unwrap().iter().map(|g| g["name"].as_str().unwrap()).collect();
    let at = |name: &str| names.iter().position(|n| *n == name).unwrap();
    assert!(at("apps") < at("batch") && at("batch") < at("apiextensions.k8s.io"), "{names:?}");
    assert_eq!(at("konzert.dev"), names.len() - 1, "{names:?}");
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;profile=nopeer,application/json";
    let aggregated = get(&server, "/apis", accept).await;
    let etag = aggregated.header("etag").to_owned();
    assert!(aggregated.header("content-type").contains("as=APIGroupDiscoveryList"));
    let headers = [("accept", accept), ("if-none-match", etag.as_str())];
    let known = server.call("GET", "/apis?profile=nopeer", &headers, Vec::new()).await;
    assert_eq!(known.code, 304);
    let yaml = get(&server, "/api/v1", "application/yaml").await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    assert!(yaml.text().contains("kind: APIResourceList\n"));
}

#[tokio::test]
async fn version_health_and_metrics() {
    let server = server().await;
    let version = server.client.apiserver_version().await.unwrap();
    assert_eq!((version.major.as_str(), version.minor.as_str()), ("1", "37"));
    assert_eq!(version.git_version, "v1.37.0+konzert");
    for path in ["/healthz", "/livez", "/readyz", "/readyz/store"] {
        assert_eq!(server.get(path).await.text(), "ok", "{path}");
    }
    let verbose = server.get("/readyz?verbose").await.text();
    assert!(
        verbose.contains("[+]definitions ok\n") && verbose.ends_with("readyz check passed\n"),
        "{verbose}"
    );
    server.get("/readyz/unknown").await.expect(404);
    server.get("/api/v1/pods").await.expect(200);
    let metrics = server.get("/metrics").await.text();
    assert!(
        metrics.contains(
            "apiserver_request_total{component=\"apiserver\",verb=\"LIST\",group=\"\",version=\"v1\",resource=\"pods\",\
             subresource=\"\",scope=\"cluster\",code=\"200\"} 1"
        ),
        "{metrics}"
    );
    assert!(metrics.contains("konzert_store_revision "), "{metrics}");
    for name in [
        "apiserver_request_duration_seconds_bucket{component=\"apiserver\",verb=\"LIST\"",
        "apiserver_current_inflight_requests{request_kind=\"readOnly\"} 1",
        "apiserver_storage_objects{resource=\"namespaces\"} 4",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
        "process_open_fds ",
    ] {
        assert!(metrics.contains(name), "{name}\n{metrics}");
    }
    let watched = server.watch("/api/v1/pods?watch=1", "application/json").await;
    let open = |page: &str| {
        page.lines()
            .find(|l| l.starts_with("apiserver_longrunning_requests{"))
            .map(|l| l.rsplit_once(' ').unwrap().1 == "1")
    };
    assert_eq!(open(&server.get("/metrics").await.text()), Some(true));
    drop(watched);
    for path in ["/healthz/ping", "/livez/ping", "/readyz/definitions"] {
        assert_eq!(server.get(path).await.text(), "ok", "{path}");
    }
    let excluded = server.get("/livez?verbose&exclude=store&exclude=nobody").await.text();
    assert!(excluded.contains("[+]store excluded: ok\n"), "{excluded}");
    assert!(excluded.contains("cannot be excluded: no matches for \"nobody\""), "{excluded}");
    server.post("/version", &json!({})).await.expect(405);
    server.post("/nowhere", &json!({})).await.expect(404);
    assert_eq!(server.post("/healthz", &json!({})).await.text(), "ok");
}

#[tokio::test]
async fn reviews_of_oneself() {
    let server = server().await;
    let who = server.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", &json!({})).await.expect(201);
    assert_eq!(who["status"]["userInfo"]["username"], "system:konzert:test");
    let may = json!({ "spec": { "resourceAttributes": { "verb": "get", "resource": "pods" } } });
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    assert_eq!(server.post(path, &may).await.expect(201)["status"]["allowed"], true);
    server.post(path, &json!({ "spec": {} })).await.expect(422);
}
