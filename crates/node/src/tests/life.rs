//! Lives of pods: up, crash, probes, image change, deletion, restart of the engine.

use std::io::Write;

use serde_json::{Value, json};

use super::{Rig, path};
use crate::logs::LogQuery;

fn spec(container: Value) -> Value {
    let mut container = container;
    container["name"] = json!("app");
    container["image"] = json!("a:1");
    json!({"containers": [container], "terminationGracePeriodSeconds": 5})
}

fn append(path: &std::path::Path, text: &str) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[tokio::test]
async fn up_and_away() {
    let mut rig = Rig::start().await;
    rig.create_pod("web", spec(json!({
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "lifecycle": {"preStop": {"exec": {"command": ["/bye"]}}, "postStart": {"exec": {"command": ["/hello"]}}}})));
    let pod = rig.running("web").await;
    let status = &pod["status"];
    assert_eq!(status["podIP"], "127.0.0.5");
    assert_eq!(status["containerStatuses"][0]["imageID"], "sha256:a:1");
    let id = status["containerStatuses"][0]["containerID"].as_str().unwrap();
    let spec = rig.host.spec("app#0").await;
    assert_eq!(id, format!("konzert://{}", spec.id));
    assert!(spec.env.contains(&"IP=127.0.0.5".to_owned()));
    assert_eq!(spec.netns.unwrap(), std::path::Path::new("/run/netns/uid-web"));
    assert_eq!(rig.event("web", "Pulled").await, "Container image \"a:1\" already present on machine");
    rig.event("web", "Started").await;
    rig.pod("web", |pod| pod["status"]["containerStatuses"][0]["ready"] == true).await;
    let place = rig.data.path().join("pods/uid-web");
    assert!(std::fs::read_to_string(place.join("files/hosts")).unwrap().contains("127.0.0.5\tweb"));

    append(&spec.log.path, "2030-01-01T00:00:00Z stdout F hi\n");
    let query = LogQuery {
        namespace: "shop".into(),
        pod: "web".into(),
        uid: "uid-web".into(),
        container: "app".into(),
        ..LogQuery::default()
    };
    let chunks: Vec<_> =
        futures::StreamExt::collect(rig.node.as_ref().unwrap().logs(&query).await.unwrap()).await;
    assert_eq!(chunks[0].as_ref().unwrap().as_ref(), b"hi\n");

    rig.api.change(&path("web"), |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(5);
    });
    rig.api.until(&path("web"), |pod| pod.is_none().then_some(())).await;
    rig.host.empty().await;
    let last = rig.api.last(&path("web"));
    assert_eq!(last["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 143);
    assert_eq!(rig.host.execs(), [["/hello"], ["/bye"]]);
    rig.stop().await;
    assert!(!place.exists() && !rig.data.path().join("logs/pods/shop_web_uid-web").exists());
    assert!(rig.api.get("/api/v1/nodes/node-1").unwrap()["status"]["capacity"]["pods"] == "250");
}

#[tokio::test]
async fn a_crash_restarts_and_leaves_its_last_words() {
    let mut rig = Rig::start().await;
    rig.create_pod("web", spec(json!({"terminationMessagePolicy": "FallbackToLogsOnError"})));
    rig.running("web").await;
    let first = rig.host.spec("app#0").await;
    append(&rig.data.path().join("pods/uid-web/containers/app/0/termination-log"), "out of luck");
    rig.host.exit(&first.id, 3);
    let second = rig.host.spec("app#1").await;
    rig.host.removed(&first.id).await;
    let pod = rig.pod("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!((last["exitCode"].as_i64(), last["message"].as_str()), (Some(3), Some("out of luck")));
    append(&second.log.path, "2030-01-01T00:00:00Z stderr F no config\n");
    rig.host.exit(&second.id, 1);
    let pod = rig.pod("web", |pod| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    });
    let pod = pod.await;
    let last = &pod["status"]["containerStatuses"][0]["lastState"]["terminated"];
    assert_eq!(last["message"], "no config\n");
    assert_eq!(rig.event("web", "BackOff").await, "Back-off restarting failed container app in pod web_shop");
    rig.stop().await;
}

#[tokio::test]
async fn a_program_that_cannot_start_is_a_start_error() {
    let mut rig = Rig::start().await;
    rig.host.refuse("app");
    let mut spec = spec(json!({}));
    spec["restartPolicy"] = json!("Never");
    rig.create_pod("job", spec);
    let pod = rig.pod("job", |pod| pod["status"]["phase"] == "Failed").await;
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((ended["reason"].as_str(), ended["exitCode"].as_i64()), (Some("StartError"), Some(128)));
    assert!(ended["message"].as_str().unwrap().contains("/nope"));
    rig.host.empty().await;
    rig.stop().await;
}

#[tokio::test]
async fn an_image_that_is_loaded_later_starts_at_once() {
    let mut rig = Rig::start().await;
    rig.host.missing("a:1");
    rig.create_pod("web", spec(json!({})));
    let pod = rig
        .pod("web", |pod| !pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"].is_null())
        .await;
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "ErrImagePull");
    assert!(waiting["message"].as_str().unwrap().contains("`konzert image load`"));
    rig.host.load("a:1");
    let index = rig.data.path().join("images/index.json");
    append(&index.with_extension("tmp"), "{}");
    std::fs::rename(index.with_extension("tmp"), &index).unwrap();
    rig.running("web").await;
    rig.stop().await;
}

#[tokio::test]
async fn probes_decide_readiness_and_life() {
    let mut rig = Rig::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.5:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 204 No Content\r\n\r\n").await.ok();
        }
    });
    rig.create_pod(
        "web",
        spec(json!({
        "ports": [{"name": "http", "containerPort": port}],
        "readinessProbe": {"httpGet": {"port": "http", "path": "/ready"}, "periodSeconds": 1},
        "livenessProbe": {"exec": {"command": ["/alive"]}, "periodSeconds": 1, "failureThreshold": 1}})),
    );
    rig.pod("web", |pod| pod["status"]["containerStatuses"][0]["ready"] == true).await;
    rig.host.fail_execs(9);
    rig.host.spec("app#1").await;
    rig.host.fail_execs(0);
    assert_eq!(rig.event("web", "Unhealthy").await, "Liveness probe failed: exit code 9: said so");
    assert_eq!(rig.event("web", "Killing").await, "Container app failed liveness probe, will be restarted");
    rig.stop().await;
}

#[tokio::test]
async fn a_new_image_replaces_the_container_in_place() {
    let mut rig = Rig::start().await;
    rig.create_pod("web", spec(json!({})));
    rig.running("web").await;
    rig.api.change(&path("web"), |pod| pod["spec"]["containers"][0]["image"] = json!("a:2"));
    let second = rig.host.spec("app#1").await;
    assert_eq!(second.labels[crate::spec::label::IMAGE_ID], "sha256:a:2");
    rig.pod("web", |pod| pod["status"]["containerStatuses"][0]["imageID"] == "sha256:a:2").await;
    assert_eq!(rig.host.alive(), [second.id]);
    rig.stop().await;
}

#[tokio::test]
async fn a_new_engine_adopts_what_runs_and_removes_orphans() {
    let mut rig = Rig::start().await;
    rig.create_pod(
        "web",
        spec(json!({"readinessProbe": {"exec": {"command": ["/ready"]}, "periodSeconds": 3600}})),
    );
    rig.create_pod("gone", spec(json!({})));
    rig.pod("web", |pod| pod["status"]["containerStatuses"][0]["ready"] == true).await;
    rig.running("gone").await;
    let alive = rig.host.alive();
    rig.stop().await;
    assert_eq!(rig.host.alive(), alive, "containers go on without the engine");
    rig.api.remove(&path("gone"));
    let orphan = crate::spec::container_id("uid-gone", "app", 0);
    let writes = rig.api.status_writes(&path("web"));
    rig.host.fail_execs(1);
    rig.restart().await;
    rig.host.removed(&orphan).await;
    let kept = crate::spec::container_id("uid-web", "app", 0);
    // An end after the adoption is seen: the new engine follows the container it did not start.
    let ready = rig.api.get(&path("web")).unwrap()["status"]["containerStatuses"][0]["ready"].clone();
    assert_eq!(ready, true);
    rig.host.exit(&kept, 4);
    rig.host.spec("app#1").await;
    let pod = rig.pod("web", |pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 4);
    assert_eq!(rig.host.created(), ["app#0", "app#0", "app#1"]);
    assert!(rig.api.status_writes(&path("web")) > writes);
    rig.stop().await;
}

#[tokio::test]
async fn a_pod_that_vanishes_is_killed() {
    let mut rig = Rig::start().await;
    rig.create_pod("web", spec(json!({})));
    rig.running("web").await;
    rig.api.remove(&path("web"));
    rig.host.empty().await;
    rig.stop().await;
}

#[tokio::test]
async fn services_reach_the_network_and_the_pods() {
    let mut rig = Rig::start().await;
    rig.api.put(
        "/api/v1/namespaces/shop/services/db",
        json!({"metadata": {"name": "db", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.0.7", "ports": [{"port": 5432}]}}),
    );
    assert!(rig.host.rules(1).await[0].endpoints.is_empty());
    rig.api.put(
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/db-1",
        json!({
        "metadata": {"name": "db-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "ports": [{"port": 5432}], "endpoints": [{"addresses": ["10.244.0.9"]}]}),
    );
    rig.create_pod("web", spec(json!({})));
    let env = rig.host.spec("app#0").await.env;
    assert!(env.contains(&"DB_SERVICE_HOST=10.96.0.7".to_owned()), "{env:?}");
    rig.stop().await;
}

#[tokio::test]
async fn a_pod_on_the_host_network_is_adopted_between_two_instances() {
    let mut rig = Rig::start().await;
    let spec = json!({"hostNetwork": true, "initContainers": [{"name": "init", "image": "a:1"}],
                      "containers": [{"name": "app", "image": "a:1"}]});
    rig.create_pod("web", spec);
    let init = rig.host.spec("init#0").await;
    assert!(init.netns.is_none());
    rig.host.exit(&init.id, 0);
    let pod = rig.running("web").await;
    assert_eq!(pod["status"]["podIP"], pod["status"]["hostIP"]);
    rig.stop().await;
    let app = crate::spec::container_id("uid-web", "app", 0);
    rig.host.exit(&app, 1);
    rig.restart().await;
    rig.host.spec("app#1").await;
    assert_eq!(rig.host.created(), ["init#0", "app#0", "app#1"], "init containers do not run again");
    rig.stop().await;
}
