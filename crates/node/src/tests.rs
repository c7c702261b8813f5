//! The agent against an API and a host that are small but keep their promises: watches, patches, exits.

mod api;
mod host;
mod life;
mod pulling;
mod volumes;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::NodeConfig;
use crate::node::{Node, Parts};

use api::FakeApi;
use host::FakeHost;

/// A node on a fake host.
pub(crate) struct Rig {
    pub(crate) api: Arc<FakeApi>,
    pub(crate) host: Arc<FakeHost>,
    pub(crate) data: tempfile::TempDir,
    pub(crate) node: Option<Node>,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let host = Arc::new(FakeHost::new(&data.path().join("rootfs")));
        std::fs::create_dir_all(data.path().join("images")).unwrap();
        let mut rig = Self { api: Arc::new(FakeApi::default()), host, data, node: None };
        rig.restart().await;
        rig
    }

    /// Starts the node again, as after kill -9 of the one before.
    pub(crate) async fn restart(&mut self) {
        let config = NodeConfig::new("node-1", self.data.path(), &self.data.path().join("run"), "test");
        let parts =
            Parts { containers: self.host.clone(), images: self.host.clone(), nets: self.host.clone() };
        self.node = Some(Node::start_with(self.api.client(), parts, config).await.unwrap());
    }

    pub(crate) async fn stop(&mut self) {
        self.node.take().unwrap().shutdown().await;
    }

    pub(crate) fn create_pod(&self, name: &str, mut spec: Value) {
        spec["nodeName"] = json!("node-1");
        let uid = format!("uid-{name}");
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "shop", "uid": uid, "generation": 1, "labels": {"app": name}},
            "spec": spec, "status": {"phase": "Pending"},
        });
        self.api.put(&path(name), object);
    }

    /// Waits until the served pod satisfies `wanted`.
    pub(crate) async fn pod(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.api.until(&path(name), |pod| pod.filter(|pod| wanted(pod)).cloned()).await
    }

    pub(crate) async fn running(&self, name: &str) -> Value {
        self.pod(name, |pod| pod["status"]["phase"] == "Running").await
    }

    /// Waits until the pod has been recorded with an event of this reason; answers its message.
    pub(crate) async fn event(&self, name: &str, reason: &str) -> String {
        let found = self.api.until_any("/api/v1/namespaces/shop/events/", |event| {
            (event["reason"] == reason && event["involvedObject"]["name"] == name).then(|| event.clone())
        });
        found.await["message"].as_str().unwrap().to_owned()
    }
}

/// API path of a pod.
pub(crate) fn path(name: &str) -> String {
    format!("/api/v1/namespaces/shop/pods/{name}")
}

/// Ends a test that hangs; nothing is measured by it.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"))
}
