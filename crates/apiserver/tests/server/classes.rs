//! Classes that pods and Ingresses name: priorities, runtimes, defaults.

use serde_json::{Value, json};

use crate::support::{PODS, Server, pod, server};

const PRIORITIES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
const RUNTIMES: &str = "/apis/node.k8s.io/v1/runtimeclasses";

fn pod_with(name: &str, spec: &Value) -> Value {
    let mut object = pod(name);
    for (key, value) in spec.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    object
}

async fn refused(server: &Server, spec: Value) -> String {
    let answer = server.post(PODS, &pod_with("p", &spec)).await.expect(403);
    answer["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn priorities() {
    let server = server().await;
    let plain = server.post(PODS, &pod("plain")).await.expect(201);
    assert_eq!((&plain["spec"]["priority"], plain["spec"].get("priorityClassName")), (&json!(0), None));
    assert_eq!(plain["spec"]["preemptionPolicy"], "PreemptLowerPriority");
    let critical = pod_with("critical", &json!({ "priorityClassName": "system-node-critical" }));
    assert_eq!(server.post(PODS, &critical).await.expect(201)["spec"]["priority"], 2_000_001_000);
    assert_eq!(
        refused(&server, json!({ "priorityClassName": "none" })).await,
        "pods \"p\" is forbidden: no PriorityClass with name none was found"
    );

    let class = |name: &str, value: i64, default: bool| json!({ "metadata": { "name": name }, "value": value, "globalDefault": default, "preemptionPolicy": "Never" });
    server.post(PRIORITIES, &class("usual", 10, true)).await.expect(201);
    let second = server.post(PRIORITIES, &class("second", 11, true)).await.expect(403);
    assert_eq!(
        second["message"],
        "priorityclasses.scheduling.k8s.io \"second\" is forbidden: PriorityClass usual is already marked as default. \
         Only one default can exist"
    );
    let other = server.post(PRIORITIES, &class("other", 12, false)).await;
    assert!(other.header("warning").contains("neither orders pods by priority nor preempts any"));
    other.expect(201);
    let mark = json!({ "globalDefault": true });
    server.patch(&format!("{PRIORITIES}/other"), "merge", &mark).await.expect(403);
    server.patch(&format!("{PRIORITIES}/usual"), "merge", &mark).await.expect(200);

    let usual = server.post(PODS, &pod("usual")).await.expect(201);
    assert_eq!(
        (&usual["spec"]["priority"], &usual["spec"]["priorityClassName"]),
        (&json!(10), &json!("usual"))
    );
    assert_eq!(usual["spec"]["preemptionPolicy"], "Never");
    assert_eq!(
        refused(&server, json!({ "priority": 3 })).await,
        "pods \"p\" is forbidden: the integer value of priority (3) must not be provided in pod spec; priority \
         admission controller computed 10 from the given PriorityClass name"
    );
    assert_eq!(
        refused(&server, json!({ "priorityClassName": "other", "preemptionPolicy": "PreemptLowerPriority" }))
            .await,
        "pods \"p\" is forbidden: the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided in \
         pod spec; priority admission controller computed Never from the given PriorityClass name"
    );
    let mut again = usual.clone();
    let spec = again["spec"].as_object_mut().unwrap();
    spec.remove("priority");
    spec.remove("preemptionPolicy");
    let replaced = server.put(&format!("{PODS}/usual"), &again).await.expect(200);
    assert_eq!(replaced["spec"], usual["spec"], "what was resolved is kept");
}

#[tokio::test]
async fn runtimes() {
    let server = server().await;
    assert_eq!(
        refused(&server, json!({ "runtimeClassName": "none" })).await,
        "pods \"p\" is forbidden: pod rejected: RuntimeClass \"none\" not found"
    );
    let class = json!({
        "metadata": { "name": "vm" }, "handler": "vm", "overhead": { "podFixed": { "cpu": "0.5" } },
        "scheduling": { "nodeSelector": { "vm": "yes" }, "tolerations": [{ "key": "vm", "operator": "Exists" }] },
    });
    server.post(RUNTIMES, &class).await.expect(201);
    let pod = server.post(PODS, &pod_with("a", &json!({ "runtimeClassName": "vm" }))).await.expect(201);
    assert_eq!(pod["spec"]["overhead"], json!({ "cpu": "500m" }));
    assert_eq!(pod["spec"]["nodeSelector"], json!({ "vm": "yes" }));
    assert_eq!(pod["spec"]["tolerations"][0]["key"], "vm");
    let clash = json!({ "runtimeClassName": "vm", "nodeSelector": { "vm": "no" } });
    assert!(refused(&server, clash).await.ends_with("pod.spec.nodeSelector[vm] = no"));
    let other = json!({ "runtimeClassName": "vm", "overhead": { "cpu": "1" } });
    assert!(
        refused(&server, other)
            .await
            .contains("Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    );
    let none = json!({ "overhead": { "cpu": "1" } });
    assert!(refused(&server, none).await.contains("without corresponding RuntimeClass defined Overhead"));
}

#[tokio::test]
async fn default_classes() {
    let server = server().await;
    let ingresses = "/apis/networking.k8s.io/v1/namespaces/default/ingresses";
    let ingress = |name: &str, annotations: Value| {
        let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
        json!({ "metadata": { "name": name, "annotations": annotations }, "spec": { "defaultBackend": backend } })
    };
    let first = server.post(ingresses, &ingress("first", json!({}))).await.expect(201);
    assert_eq!(first["spec"].get("ingressClassName"), None, "there is no default yet");
    let marks = json!({ "ingressclass.kubernetes.io/is-default-class": "true" });
    let class = json!({
        "metadata": { "name": "nginx", "annotations": marks }, "spec": { "controller": "k8s.io/ingress-nginx" },
    });
    server.post("/apis/networking.k8s.io/v1/ingressclasses", &class).await.expect(201);
    let second = server.post(ingresses, &ingress("second", json!({}))).await.expect(201);
    assert_eq!(second["spec"]["ingressClassName"], "nginx");
    let old = server.post(ingresses, &ingress("old", json!({ "kubernetes.io/ingress.class": "x" }))).await;
    assert!(old.header("warning").contains("is deprecated, please use 'spec.ingressClassName' instead"));
    assert_eq!(old.expect(201)["spec"].get("ingressClassName"), None);
}
