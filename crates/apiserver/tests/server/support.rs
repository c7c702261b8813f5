//! A server in a temporary directory and ways to call it.

use std::time::Duration;

use futures::{AsyncBufReadExt, StreamExt, TryStreamExt};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use konzert_apiserver::{ApiServer, ApiServerConfig, stamp};
use konzert_store::{Store, StoreConfig};
use kube::client::Body;
use serde_json::{Value, json};

pub(crate) struct Server {
    pub(crate) api: ApiServer,
    pub(crate) client: kube::Client,
    pub(crate) store: Store,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// The object, after the code was checked.
    pub(crate) fn expect(self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", String::from_utf8_lossy(&self.body));
        // Where nobody answers for a path, the answer is text.
        if self.header("content-type").starts_with("text/plain") { self.text().into() } else { self.json() }
    }
}

pub(crate) async fn server() -> Server {
    server_with(StoreConfig::default()).await
}

pub(crate) async fn server_with(config: StoreConfig) -> Server {
    let dir = tempfile::tempdir().unwrap();
    open_in(dir, config).await
}

pub(crate) async fn open_in(dir: tempfile::TempDir, config: StoreConfig) -> Server {
    let store = Store::open_sqlite(&dir.path().join("state"), StoreConfig { stamp, ..config }).await.unwrap();
    let api = ApiServer::open(store.clone(), ApiServerConfig::new(dir.path())).await.unwrap();
    let client = api.client("test");
    Server { api, client, store, dir }
}

impl Server {
    /// Ends this server and opens another one over the same directory.
    pub(crate) async fn restart(self) -> Self {
        let Self { api, client, store, dir } = self;
        api.end_streams();
        drop((api, client));
        store.close().await.unwrap();
        open_in(dir, StoreConfig::default()).await
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.client.send(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { code: parts.status.as_u16(), headers: parts.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[("content-type", "application/json")], body.to_string().into()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, &[("content-type", "application/json")], body.to_string().into()).await
    }

    pub(crate) async fn delete(&self, path: &str, options: &Value) -> Answer {
        self.call("DELETE", path, &[("content-type", "application/json")], options.to_string().into()).await
    }

    /// `kind` is `merge`, `json` or `strategic`.
    pub(crate) async fn patch(&self, path: &str, kind: &str, body: &Value) -> Answer {
        let media = match kind {
            "merge" => "application/merge-patch+json",
            "json" => "application/json-patch+json",
            "strategic" => "application/strategic-merge-patch+json",
            other => other,
        };
        self.call("PATCH", path, &[("content-type", media)], body.to_string().into()).await
    }

    /// A watch as a channel of events.
    pub(crate) async fn watch(&self, path: &str, accept: &str) -> Events {
        let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        let answer = self.client.send(request).await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let stream = answer.into_body().into_data_stream().map(|r| r.map_err(std::io::Error::other));
        let (send, events) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut lines = stream.into_async_read().lines();
            while let Some(Ok(line)) = lines.next().await {
                if send.send(serde_json::from_str(&line).unwrap()).is_err() {
                    return;
                }
            }
        });
        Events(events)
    }
}

pub(crate) struct Events(tokio::sync::mpsc::UnboundedReceiver<Value>);

impl Events {
    /// The next event; `None` when the stream ended.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        tokio::time::timeout(Duration::from_secs(20), self.0.recv()).await.expect("an event within 20 s")
    }

    /// Type and name of the next event.
    pub(crate) async fn brief(&mut self) -> String {
        let event = self.next().await.expect("an event");
        let name = event["object"]["metadata"]["name"].as_str().unwrap_or_default();
        format!("{} {name}", event["type"].as_str().unwrap())
    }
}

pub(crate) fn config_map(name: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "k": "v" } })
}

pub(crate) fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": name } },
        "spec": { "containers": [{ "name": "main", "image": "example:1" }] },
    })
}

pub(crate) fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": { "containers": [{ "name": "main", "image": "example:1" }] },
            },
        },
    })
}

pub(crate) const CONFIG_MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";
pub(crate) const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
