//! Discovery, `OpenAPI`, version, health, metrics, reviews.

use serde_json::json;

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
    // Version 2 knows no definitions, so that a client says "no matches for kind" rather than "failed to download".
    let old = server.get("/openapi/v2").await.expect(200);
    assert_eq!(
        (old["swagger"].as_str(), old["definitions"].as_object().map(serde_json::Map::len)),
        (Some("2.0"), Some(0))
    );
    let accept = [("accept", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")];
    let binary = server.call("GET", "/openapi/v2", &accept, Vec::new()).await;
    assert_eq!(binary.header("content-type"), "application/com.github.proto-openapi.spec.v2.v1.0+protobuf");
    assert!(binary.body.starts_with(b"\x0a\x032.0\x12\x10"), "swagger, then 16 bytes of info");
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
        metrics.contains("apiserver_request_total{verb=\"list\",resource=\"pods\",code=\"200\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("konzert_store_revision "), "{metrics}");
    server.post("/healthz", &json!({})).await.expect(405);
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
