//! Volumes of running pods: content, live updates, waiting for what is missing, refusals.

use std::path::Path;

use serde_json::{Value, json};

use super::{Rig, path, soon};

fn spec(volume: Value) -> Value {
    let mut volume = volume;
    volume["name"] = json!("v");
    json!({"volumes": [volume], "containers": [{"name": "app", "image": "a:1",
           "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]})
}

fn map(data: &Value) -> Value {
    json!({"metadata": {"name": "cfg", "namespace": "shop"}, "data": data})
}

const MAP: &str = "/api/v1/namespaces/shop/configmaps/cfg";

async fn content(path: &Path, wanted: &str) {
    // The only thing to wait for is the file itself; inotify would test less, not more.
    let work = async {
        while std::fs::read_to_string(path).ok().as_deref() != Some(wanted) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    soon(&format!("{} is {wanted:?}", path.display()), work).await;
}

#[tokio::test]
async fn a_missing_object_is_waited_for_and_followed() {
    let mut rig = Rig::start().await;
    rig.create_pod("web", spec(json!({"configMap": {"name": "cfg"}})));
    let told = rig.event("web", "FailedMount").await;
    assert_eq!(told, "MountVolume.SetUp failed for volume \"v\": configmap \"cfg\" not found");
    let pod = rig.pod("web", |pod| {
        let conditions = pod["status"]["conditions"].as_array();
        conditions.into_iter().flatten().any(|condition| condition["reason"] == "SandboxFailed")
    });
    pod.await;
    rig.api.put(MAP, map(&json!({"color": "red"})));
    rig.running("web").await;
    let file = rig.data.path().join("pods/uid-web/volumes/v/color");
    content(&file, "red").await;
    rig.api.put(MAP, map(&json!({"color": "blue"})));
    content(&file, "blue").await;
    rig.api.remove(MAP);
    rig.api.put(MAP, map(&json!({"color": "green"})));
    content(&file, "green").await;
    rig.stop().await;
}

#[tokio::test]
async fn adopted_pods_follow_their_objects_again() {
    let mut rig = Rig::start().await;
    rig.api.put(MAP, map(&json!({"color": "red"})));
    rig.create_pod("web", spec(json!({"configMap": {"name": "cfg"}})));
    rig.running("web").await;
    rig.stop().await;
    rig.api.put(MAP, map(&json!({"color": "blue"})));
    rig.restart().await;
    content(&rig.data.path().join("pods/uid-web/volumes/v/color"), "blue").await;
    rig.api.put(MAP, map(&json!({"color": "green"})));
    content(&rig.data.path().join("pods/uid-web/volumes/v/color"), "green").await;
    assert_eq!(rig.host.created(), ["app#0"]);
    rig.stop().await;
}

#[tokio::test]
async fn the_downward_api_shows_changes_of_labels() {
    let mut rig = Rig::start().await;
    let items = json!([{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}},
                       {"path": "ip", "fieldRef": {"fieldPath": "status.podIP"}}]);
    rig.create_pod("web", spec(json!({"downwardAPI": {"items": items}})));
    rig.running("web").await;
    let root = rig.data.path().join("pods/uid-web/volumes/v");
    content(&root.join("labels"), "app=\"web\"").await;
    content(&root.join("ip"), "127.0.0.5").await;
    rig.api.change(&path("web"), |pod| pod["metadata"]["labels"]["tier"] = json!("front"));
    content(&root.join("labels"), "app=\"web\"\ntier=\"front\"").await;
    rig.stop().await;
}

#[tokio::test]
async fn a_missing_key_of_the_environment_is_waited_for() {
    let mut rig = Rig::start().await;
    let env = json!([{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "cfg", "key": "k"}}}]);
    rig.create_pod("web", json!({"containers": [{"name": "app", "image": "a:1", "env": env}]}));
    let pod = rig.pod("web", |pod| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError"
    });
    let pod = pod.await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        "configmap \"cfg\" not found"
    );
    rig.api.put(MAP, map(&json!({"k": "v"})));
    rig.running("web").await;
    assert!(rig.host.spec("app#0").await.env.contains(&"X=v".to_owned()));
    rig.stop().await;
}

#[tokio::test]
async fn unknown_volumes_are_refused_by_name() {
    let mut rig = Rig::start().await;
    rig.create_pod("web", spec(json!({"nfs": {"server": "s", "path": "/"}})));
    let told = rig.event("web", "FailedMount").await;
    assert!(told.contains("volume v of type nfs is not supported by this engine"), "{told}");
    rig.stop().await;
}

#[tokio::test]
async fn secrets_live_in_memory_and_go_with_the_pod() {
    if !nix::unistd::geteuid().is_root() {
        skipped();
        return;
    }
    let mut rig = Rig::start().await;
    rig.api.put(
        "/api/v1/namespaces/shop/secrets/sec",
        json!({"metadata": {"name": "sec", "namespace": "shop"}, "data": {"key": "czNjcjN0"}}),
    );
    rig.create_pod("web", spec(json!({"secret": {"secretName": "sec", "defaultMode": 256}})));
    rig.running("web").await;
    let root = rig.data.path().join("pods/uid-web/volumes/v");
    content(&root.join("key"), "s3cr3t").await;
    assert!(crate::volumes::host::is_mount(&root).unwrap());
    rig.api.change(&path("web"), |pod| pod["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z"));
    rig.api.until(&path("web"), |pod| pod.is_none().then_some(())).await;
    rig.stop().await;
    assert!(!root.exists());
}

#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn skipped() {
    eprintln!("SKIPPED: secrets are mounted as tmpfs; run the tests as root");
}
