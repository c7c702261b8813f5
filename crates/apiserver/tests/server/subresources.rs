//! status, scale, binding, eviction, log.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use konzert_api::ApiError;
use konzert_apiserver::{LogRequest, PodStreams};
use serde_json::json;

use crate::support::{DEPLOYMENTS, PODS, deployment, pod, server};

#[tokio::test]
async fn status_is_written_only_through_its_own_path() {
    let server = server().await;
    let created = server.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d");
    let both = json!({ "spec": { "replicas": 9 }, "status": { "replicas": 7 } });
    let main = server.patch(&path, "merge", &both).await.expect(200);
    assert_eq!((&main["spec"]["replicas"], main["status"].get("replicas")), (&json!(9), None));
    assert_eq!(main["metadata"]["generation"], 2);
    let mut stale = created.clone();
    stale["status"] = json!({ "replicas": 7 });
    server.put(&format!("{path}/status"), &stale).await.expect(409);
    let both = json!({ "spec": { "replicas": 1 }, "status": { "replicas": 7 } });
    let status = server.patch(&format!("{path}/status"), "merge", &both).await.expect(200);
    assert_eq!((&status["spec"]["replicas"], &status["status"]["replicas"]), (&json!(9), &json!(7)));
    assert_eq!(status["metadata"]["generation"], 2);
    assert_eq!(server.get(&format!("{path}/status")).await.expect(200), status);
}

#[tokio::test]
async fn scale() {
    let server = server().await;
    server.post(DEPLOYMENTS, &deployment("d")).await.expect(201);
    let path = format!("{DEPLOYMENTS}/d/scale");
    let mut scale = server.get(&path).await.expect(200);
    assert_eq!((&scale["kind"], &scale["apiVersion"]), (&json!("Scale"), &json!("autoscaling/v1")));
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["selector"]), (&json!(2), &json!("app=d")));
    let patched = server.patch(&path, "merge", &json!({ "spec": { "replicas": 3 } })).await.expect(200);
    assert_eq!(patched["spec"]["replicas"], 3);
    scale["spec"]["replicas"] = json!(4);
    server.put(&path, &scale).await.expect(409);
    scale["metadata"]["resourceVersion"] = patched["metadata"]["resourceVersion"].clone();
    server.put(&path, &scale).await.expect(200);
    let deployment = server.get(&format!("{DEPLOYMENTS}/d")).await.expect(200);
    assert_eq!(
        (&deployment["spec"]["replicas"], &deployment["metadata"]["generation"]),
        (&json!(4), &json!(3))
    );
    server.patch(&path, "merge", &json!({ "spec": { "replicas": -1 } })).await.expect(422);
    server.patch(&path, "merge", &json!({ "spec": { "replicas": "x" } })).await.expect(422);
    server.put(&path, &json!({ "kind": "Deployment", "metadata": { "name": "d" } })).await.expect(400);
    server.get(&format!("{PODS}/p/scale")).await.expect(404);
}

#[tokio::test]
async fn binding() {
    let server = server().await;
    server.post(PODS, &pod("p")).await.expect(201);
    let path = format!("{PODS}/p/binding");
    let binding = |node: &str| {
        json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "p", "annotations": { "by": "test" } },
            "target": { "kind": "Node", "name": node },
        })
    };
    server.post(&path, &binding("")).await.expect(422);
    assert_eq!(server.post(&path, &binding("n1")).await.expect(201)["status"], "Success");
    let bound = server.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(bound["spec"]["nodeName"], "n1");
    assert_eq!(bound["metadata"]["annotations"]["by"], "test");
    let conditions = bound["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "PodScheduled" && c["status"] == "True"));
    let again = server.post(&path, &binding("n2")).await.expect(409);
    assert!(again["message"].as_str().unwrap().contains("already assigned to node \"n1\""), "{again}");
    let mut unknown = binding("n");
    unknown["metadata"]["name"] = json!("none");
    server.post(&format!("{PODS}/none/binding"), &unknown).await.expect(404);
}

#[tokio::test]
async fn eviction() {
    let server = server().await;
    let mut bound = pod("p");
    bound["spec"]["nodeName"] = json!("n");
    server.post(PODS, &bound).await.expect(201);
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "p" },
        "deleteOptions": { "gracePeriodSeconds": 7 },
    });
    server.post(&format!("{PODS}/p/eviction"), &eviction).await.expect(201);
    let pod = server.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 7);
}

struct Echo;

#[async_trait::async_trait]
impl PodStreams for Echo {
    async fn logs(&self, request: LogRequest) -> Result<BoxStream<'static, io::Result<Bytes>>, ApiError> {
        let line =
            format!("{}/{} {} {:?}\n", request.namespace, request.pod, request.container, request.tail_lines);
        let first = stream::iter([Ok(Bytes::from(line))]);
        Ok(if request.follow { first.chain(stream::pending()).boxed() } else { first.boxed() })
    }
}

#[tokio::test]
async fn log() {
    let server = server().await;
    let path = format!("{PODS}/p/log");
    server.get(&path).await.expect(404);
    server.post(PODS, &pod("p")).await.expect(201);
    server.get(&path).await.expect(400);
    let node = json!({ "metadata": { "name": "p" }, "target": { "name": "n" } });
    server.post(&format!("{PODS}/p/binding"), &node).await.expect(201);
    server.get(&path).await.expect(503);
    server.api.set_pod_streams(Arc::new(Echo));
    assert_eq!(server.get(&format!("{path}?tailLines=3")).await.text(), "default/p main Some(3)\n");
    server.get(&format!("{path}?container=none")).await.expect(400);
    server.get(&format!("{path}?tailLines=-1")).await.expect(400);
    let follow = format!("{path}?follow=true");
    let (answer, ()) = tokio::join!(server.get(&follow), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        server.api.end_streams();
    });
    assert_eq!(answer.text(), "default/p main None\n");
}
