//! Images that are in registries: policies, secrets, waiting for each other.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::host::RegistrySays;
use super::{Rig, path};
use crate::ports::PullSecret;

fn spec(image: &str, policy: &str) -> Value {
    json!({"containers": [{"name": "app", "image": image, "imagePullPolicy": policy}]})
}

fn secret(name: &str, key: &str, value: &str) -> Value {
    // `eyJh…` is base64; what is in it is for whoever reads it.
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "shop"}, "data": {key: value}})
}

async fn waits(rig: &Rig, name: &str) -> Value {
    let pod = rig
        .pod(name, |pod| !pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].is_null())
        .await;
    pod["status"]["containerStatuses"][0]["state"]["waiting"].clone()
}

#[tokio::test]
async fn an_image_that_is_not_here_is_pulled() {
    let mut rig = Rig::start().await;
    rig.host.missing("r/a:1");
    rig.host.registry("r/a:1", RegistrySays::Yes);
    rig.create_pod("web", spec("r/a:1", "IfNotPresent"));
    rig.running("web").await;
    assert_eq!(rig.event("web", "Pulling").await, "Pulling image \"r/a:1\"");
    let pulled = rig.event("web", "Pulled").await;
    assert!(pulled.starts_with("Successfully pulled image \"r/a:1\" in "), "{pulled}");
    // The second pod finds it.
    rig.create_pod("more", spec("r/a:1", "IfNotPresent"));
    rig.running("more").await;
    assert_eq!(rig.event("more", "Pulled").await, "Container image \"r/a:1\" already present on machine");
    assert_eq!(rig.host.pulls(1).await.len(), 1);
    rig.stop().await;
}

#[tokio::test]
async fn always_asks_the_registry_and_takes_its_no() {
    let mut rig = Rig::start().await;
    rig.host.registry("r/a:1", RegistrySays::No);
    rig.create_pod("web", spec("r/a:1", "Always"));
    let waiting = waits(&rig, "web").await;
    assert_eq!(waiting["reason"], "ErrImagePull");
    assert!(waiting["message"].as_str().unwrap().contains("denied"), "{waiting}");
    assert_eq!(rig.event("web", "Failed").await.lines().count(), 1);
    // Nobody can be asked: what is here runs.
    rig.create_pod("lonely", spec("b:1", "Always"));
    rig.running("lonely").await;
    let told = rig.event("lonely", "Pulled").await;
    assert!(
        told.contains("already present on machine; its registry cannot be asked: cannot connect"),
        "{told}"
    );
    rig.stop().await;
}

#[tokio::test]
async fn secrets_of_the_pod_and_of_its_service_account() {
    let mut rig = Rig::start().await;
    for image in ["r/a:1", "r/b:1"] {
        rig.host.missing(image);
        rig.host.registry(image, RegistrySays::Yes);
    }
    let secrets = "/api/v1/namespaces/shop/secrets";
    rig.api.put(&format!("{secrets}/new"), secret("new", ".dockerconfigjson", "YQ=="));
    rig.api.put(&format!("{secrets}/old"), secret("old", ".dockercfg", "Yg=="));
    let mut own = spec("r/a:1", "IfNotPresent");
    own["imagePullSecrets"] = json!([{"name": "new"}, {"name": "gone"}, {"name": "old"}]);
    rig.create_pod("own", own);
    let pulled = rig.host.pulls(1).await;
    let want = [PullSecret::DockerConfig(b"a".to_vec()), PullSecret::DockerCfg(b"b".to_vec())];
    assert_eq!(pulled[0], ("r/a:1".to_owned(), want.to_vec()));
    assert_eq!(
        rig.event("own", "FailedToRetrieveImagePullSecret").await,
        "Unable to retrieve some image pull secrets (gone); attempting to pull the image may not succeed."
    );
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "robot", "namespace": "shop"},
        "imagePullSecrets": [{"name": "old"}]});
    rig.api.put("/api/v1/namespaces/shop/serviceaccounts/robot", account);
    let mut given = spec("r/b:1", "IfNotPresent");
    given["serviceAccountName"] = json!("robot");
    rig.create_pod("given", given);
    let pulled = rig.host.pulls(2).await;
    assert_eq!(pulled[1], ("r/b:1".to_owned(), vec![want[1].clone()]));
    rig.stop().await;
}

#[tokio::test]
async fn pods_of_one_image_wait_for_one_pull_and_a_deleted_one_does_not_wait() {
    let mut rig = Rig::start().await;
    let hold = Arc::new(Mutex::new(()));
    rig.host.missing("r/a:1");
    rig.host.registry("r/a:1", RegistrySays::Yes);
    rig.host.hold_pulls(hold.clone());
    // The pull runs on another thread and waits for this lock.
    let gate = Gate::close(hold);
    for name in ["one", "two", "three"] {
        rig.create_pod(name, spec("r/a:1", "IfNotPresent"));
    }
    for name in ["one", "two", "three"] {
        rig.event(name, "Pulling").await;
    }
    rig.host.pulls(1).await;
    rig.create_pod("late", spec("r/c:1", "Always"));
    rig.host.pulls(2).await;
    rig.api.change(&path("late"), |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    });
    rig.api.until(&path("late"), |pod| pod.is_none().then_some(())).await;
    gate.open();
    for name in ["one", "two", "three"] {
        rig.running(name).await;
    }
    let pulls = rig.host.pulls(2).await;
    assert_eq!(pulls.iter().filter(|(image, _)| image == "r/a:1").count(), 1);
    rig.stop().await;
}

/// A lock held by a thread of its own, so that the test may wait for other things meanwhile.
struct Gate {
    open: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<()>,
}

impl Gate {
    fn close(lock: Arc<Mutex<()>>) -> Self {
        let (open, opened) = std::sync::mpsc::channel::<()>();
        let (closed, is_closed) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let held = lock.lock();
            closed.send(()).unwrap();
            opened.recv().unwrap();
            drop(held);
        });
        is_closed.recv().unwrap();
        Self { open, thread }
    }

    fn open(self) {
        self.open.send(()).unwrap();
        self.thread.join().unwrap();
    }
}
