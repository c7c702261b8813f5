//! The controllers against a real API server in the same process, with a node that only pretends.
//!
//! Nothing here asserts on how long something takes; the patience of a wait only bounds a test that would hang.
#![allow(clippy::unwrap_used, reason = "the helpers of these tests fail like the tests themselves")]

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use konzert_apiserver::{ApiServer, ApiServerConfig};
use konzert_controllers::{ControllersConfig, run};
use konzert_store::{Store, StoreConfig};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_mins(1);

/// An engine with controllers and one pretended node.
struct Engine {
    store: Store,
    client: Client,
    stop: watch::Sender<bool>,
    controllers: JoinHandle<()>,
    node: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Engine {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig { stamp: konzert_apiserver::stamp, ..StoreConfig::default() };
        let store = Store::in_memory(config).await.unwrap();
        let server = ApiServer::open(store.clone(), ApiServerConfig::new(dir.path())).await.unwrap();
        let client = server.client("test");
        let (stop, stopped) = watch::channel(false);
        let running = run(server.client("controllers"), ControllersConfig::default(), stopped);
        let controllers = tokio::spawn(async move {
            let held = server;
            running.await.unwrap();
            drop(held);
        });
        let node = tokio::spawn(pretend(client.clone()));
        let engine = Self { store, client, stop, controllers, node, _dir: dir };
        engine.add_node("4", "110").await;
        engine
    }

    async fn add_node(&self, cpu: &str, pods: &str) {
        let nodes: Api<Node> = Api::all(self.client.clone());
        create(&nodes, json!({"metadata": {"name": "node"}, "spec": {}})).await;
        let room = json!({"cpu": cpu, "memory": "8Gi", "pods": pods});
        let status = json!({"status": {"capacity": room, "allocatable": room}});
        nodes.patch_status("node", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    }

    fn in_default<K>(&self) -> Api<K>
    where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), "default")
    }

    /// The node goes first, while there is still a server: its watch must not meet the end of the server.
    async fn stop(self) {
        self.node.abort();
        assert!(self.node.await.is_err_and(|ended| ended.is_cancelled()));
        self.stop.send_replace(true);
        self.controllers.await.unwrap();
    }
}

/// The node: bound pods run and get ready; pods of Jobs succeed; deleted pods go.
async fn pretend(client: Client) {
    let pods: Api<Pod> = Api::all(client.clone());
    let addresses = AtomicU32::new(1);
    let mut events = std::pin::pin!(watcher::watcher(pods, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) = event else { continue };
        let api: Api<Pod> = Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap());
        let name = pod.metadata.name.clone().unwrap();
        let bound = pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some());
        if pod.metadata.deletion_timestamp.is_some() {
            // Twice is no error: the second finds nothing.
            drop(api.delete(&name, &DeleteParams::default().grace_period(0)).await);
            continue;
        }
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or("Pending");
        if !bound || phase != "Pending" {
            continue;
        }
        let labels = pod.metadata.labels.clone().unwrap_or_default();
        let now = jiff_now();
        let number = addresses.fetch_add(1, Ordering::Relaxed);
        let ip = format!("10.244.{}.{}", number / 250, number % 250 + 1);
        let status = if labels.contains_key("batch.kubernetes.io/job-name") {
            json!({"phase": "Succeeded"})
        } else {
            let ready = if labels.contains_key("never-ready") { "False" } else { "True" };
            json!({"phase": "Running", "podIP": ip,
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": now}]})
        };
        drop(
            api.patch_status(&name, &PatchParams::default(), &Patch::Merge(json!({"status": status}))).await,
        );
    }
}

fn jiff_now() -> String {
    k8s_openapi::jiff::Timestamp::now().to_string()
}

async fn create<K>(api: &Api<K>, object: Value) -> K
where
    K: Clone + DeserializeOwned + Debug + Serialize + Resource<DynamicType = ()>,
{
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

/// Waits until the question is answered with something.
async fn eventually<T, F>(what: &str, question: impl Fn() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(answer) = question().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

fn web(replicas: i32, image: &str) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]}}}})
}

async fn available(engine: &Engine, replicas: i32) -> Deployment {
    let api: Api<Deployment> = engine.in_default();
    eventually("the deployment is available", || async {
        let deployment = api.get("web").await.unwrap();
        let status = deployment.status.clone().unwrap_or_default();
        let done = status.available_replicas.unwrap_or(0) == replicas
            && status.updated_replicas.unwrap_or(0) == replicas
            && status.replicas.unwrap_or(0) == replicas
            && status.observed_generation == deployment.metadata.generation;
        done.then_some(deployment)
    })
    .await
}

async fn names<K>(api: &Api<K>, labels: &str) -> Vec<String>
where
    K: Clone + DeserializeOwned + Debug + Resource<DynamicType = ()>,
{
    let list = api.list(&ListParams::default().labels(labels)).await.unwrap();
    list.items.iter().map(|object| object.meta().name.clone().unwrap()).collect()
}

/// No write for a while: the engine has come to rest.
async fn rest(engine: &Engine) {
    let mut before = engine.store.revision();
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = engine.store.revision();
        if now == before {
            return;
        }
        before = now;
    }
    panic!("the engine keeps writing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_runs_rolls_and_serves() {
    let engine = Engine::start().await;
    let deployments: Api<Deployment> = engine.in_default();
    let pods: Api<Pod> = engine.in_default();
    let services: Api<Service> = engine.in_default();
    create(
        &services,
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": "http"}]}}),
    )
    .await;
    create(&deployments, web(30, "v1")).await;
    available(&engine, 30).await;
    assert_eq!(names(&pods, "app=web").await.len(), 30);

    let slices: Api<EndpointSlice> = engine.in_default();
    let endpoints = |slices: Api<EndpointSlice>| async move {
        let list =
            slices.list(&ListParams::default().labels("kubernetes.io/service-name=web")).await.unwrap();
        let ready = list.items.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let ready =
            ready.filter(|endpoint| endpoint.conditions.as_ref().unwrap().ready == Some(true)).count();
        (list.items.len(), ready)
    };
    eventually("the service has its endpoints", || async {
        (endpoints(slices.clone()).await == (1, 30)).then_some(())
    })
    .await;

    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "v2"}]}}}});
    deployments.patch("web", &PatchParams::default(), &Patch::Strategic(image)).await.unwrap();
    let rolled = available(&engine, 30).await;
    eventually("the old pods are gone", || async {
        let list = pods.list(&ListParams::default().labels("app=web")).await.unwrap();
        let new = list
            .items
            .iter()
            .all(|pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("v2"));
        (new && list.items.len() == 30).then_some(())
    })
    .await;
    let conditions = rolled.status.unwrap().conditions.unwrap();
    let progressing = conditions.iter().find(|c| c.type_.as_deref() == Some("Progressing")).unwrap();
    assert_eq!(progressing.status.as_deref(), Some("True"));
    eventually("the revision is published", || async {
        let annotations = deployments.get("web").await.unwrap().metadata.annotations.unwrap_or_default();
        (annotations.get("deployment.kubernetes.io/revision").map(String::as_str) == Some("2")).then_some(())
    })
    .await;
    let scale = json!({"spec": {"replicas": 0}});
    deployments.patch_scale("web", &PatchParams::default(), &Patch::Merge(scale)).await.unwrap();
    eventually("all pods are gone", || async { names(&pods, "app=web").await.is_empty().then_some(()) })
        .await;
    rest(&engine).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_pods_are_created_exactly_once_and_then_nothing_is_written() {
    let engine = Engine::start().await;
    let pods: Api<Pod> = engine.in_default();
    let born = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&born);
    let from = pods.list(&ListParams::default()).await.unwrap().metadata.resource_version.unwrap();
    let params = kube::api::WatchParams::default();
    let mut events = pods.watch(&params, &from).await.unwrap().boxed();
    let counting = tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if let Ok(kube::api::WatchEvent::Added(_)) = event {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    create(&engine.in_default::<Deployment>(), web(100, "v1")).await;
    available(&engine, 100).await;
    rest(&engine).await;
    assert_eq!(born.load(Ordering::Relaxed), 100, "a stale cache would create more and delete them again");
    let events: Api<Event> = engine.in_default();
    let scheduled = events.list(&ListParams::default()).await.unwrap();
    let count = |reason: &str| scheduled.items.iter().filter(|e| e.reason.as_deref() == Some(reason)).count();
    assert_eq!((count("SuccessfulCreate"), count("Scheduled"), count("ScalingReplicaSet")), (100, 100, 1));
    counting.abort();
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_completes_and_its_pods_are_free() {
    let engine = Engine::start().await;
    let jobs: Api<Job> = engine.in_default();
    create(
        &jobs,
        json!({"metadata": {"name": "sum"}, "spec": {"completions": 5, "parallelism": 2,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}}),
    )
    .await;
    let done = eventually("the job completes", || async {
        let job = jobs.get("sum").await.unwrap();
        let conditions = job.status.clone().unwrap_or_default().conditions.unwrap_or_default();
        conditions.iter().any(|c| c.type_ == "Complete" && c.status == "True").then_some(job)
    })
    .await;
    assert_eq!(done.status.unwrap().succeeded, Some(5));
    rest(&engine).await;
    let pods: Api<Pod> = engine.in_default();
    let list = pods.list(&ListParams::default()).await.unwrap();
    assert_eq!(list.items.len(), 5);
    assert!(list.items.iter().all(|pod| pod.metadata.finalizers.as_ref().is_none_or(Vec::is_empty)));
    jobs.delete("sum", &DeleteParams::background()).await.unwrap();
    eventually("the pods follow their job", || async {
        pods.list(&ListParams::default()).await.unwrap().items.is_empty().then_some(())
    })
    .await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dependents_follow_their_owner_as_asked() {
    let engine = Engine::start().await;
    let deployments: Api<Deployment> = engine.in_default();
    let sets: Api<ReplicaSet> = engine.in_default();
    let pods: Api<Pod> = engine.in_default();
    for parameters in [DeleteParams::background(), DeleteParams::foreground()] {
        create(&deployments, web(3, "v1")).await;
        available(&engine, 3).await;
        deployments.delete("web", &parameters).await.unwrap();
        eventually("all three levels are gone", || async {
            let left = names(&sets, "").await.len()
                + names(&pods, "").await.len()
                + names(&deployments, "").await.len();
            (left == 0).then_some(())
        })
        .await;
    }
    create(&deployments, web(3, "v1")).await;
    available(&engine, 3).await;
    deployments.delete("web", &DeleteParams::orphan()).await.unwrap();
    eventually("the deployment is gone", || async { names(&deployments, "").await.is_empty().then_some(()) })
        .await;
    let orphan = sets.list(&ListParams::default()).await.unwrap().items.remove(0);
    assert_eq!(orphan.metadata.owner_references.unwrap_or_default(), []);
    rest(&engine).await;
    assert_eq!(names(&pods, "").await.len(), 3);
    // A new Deployment takes the orphan over.
    create(&deployments, web(3, "v1")).await;
    available(&engine, 3).await;
    let adopted = sets.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(adopted.len(), 1);
    assert_eq!(adopted[0].metadata.owner_references.as_ref().unwrap()[0].kind, "Deployment");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn custom_resources_own_as_everything_else_does() {
    let engine = Engine::start().await;
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let definitions: Api<DynamicObject> = Api::all_with(engine.client.clone(), &ApiResource::from_gvk(&gvk));
    definitions.create(&PostParams::default(), &serde_json::from_value(definition).unwrap()).await.unwrap();
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.com", "v1", "Widget"));
    let widgets: Api<DynamicObject> = Api::namespaced_with(engine.client.clone(), "default", &kind);
    let widget = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}});
    let owner = eventually("the kind is served", || async {
        widgets.create(&PostParams::default(), &serde_json::from_value(widget.clone()).unwrap()).await.ok()
    })
    .await;
    let maps: Api<ConfigMap> = engine.in_default();
    let reference = |name: &str, uid: &str| json!([{"apiVersion": "example.com/v1", "kind": "Widget", "name": name, "uid": uid}]);
    let uid = owner.metadata.uid.unwrap();
    create(&maps, json!({"metadata": {"name": "kept", "ownerReferences": reference("w", &uid)}})).await;
    create(
        &maps,
        json!({"metadata": {"name": "never-owned", "ownerReferences": reference("w", "some-other-uid")}}),
    )
    .await;
    eventually("an owner that never was is found out", || async {
        (names(&maps, "").await == ["kept"]).then_some(())
    })
    .await;
    rest(&engine).await;
    assert_eq!(names(&maps, "").await, ["kept"]);
    widgets.delete("w", &DeleteParams::default()).await.unwrap();
    eventually("the dependent is gone", || async { names(&maps, "").await.is_empty().then_some(()) }).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_gets_its_account_and_takes_everything_with_it() {
    let engine = Engine::start().await;
    let namespaces: Api<Namespace> = Api::all(engine.client.clone());
    create(&namespaces, json!({"metadata": {"name": "shop"}})).await;
    let accounts: Api<ServiceAccount> = Api::namespaced(engine.client.clone(), "shop");
    eventually("the default account is there", || async { accounts.get_opt("default").await.unwrap() }).await;
    accounts.delete("default", &DeleteParams::default()).await.unwrap();
    eventually("the default account comes back", || async { accounts.get_opt("default").await.unwrap() })
        .await;
    let deployments: Api<Deployment> = Api::namespaced(engine.client.clone(), "shop");
    create(&deployments, web(3, "v1")).await;
    let pods: Api<Pod> = Api::namespaced(engine.client.clone(), "shop");
    eventually("pods run", || async { (names(&pods, "").await.len() == 3).then_some(()) }).await;
    create(&Api::<ConfigMap>::namespaced(engine.client.clone(), "shop"), json!({"metadata": {"name": "c"}}))
        .await;
    // Kinds that no controller reads, one of them in its older version, and one that is seen through two groups.
    let others = [
        (
            "",
            "v1",
            "PersistentVolumeClaim",
            json!({"spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}
            }}),
        ),
        ("", "v1", "Event", json!({"involvedObject": {"namespace": "shop"}})),
        ("policy", "v1", "PodDisruptionBudget", json!({"spec": {"minAvailable": 1}})),
        (
            "autoscaling",
            "v1",
            "HorizontalPodAutoscaler",
            json!({"spec": {
                "maxReplicas": 2, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
            }}),
        ),
    ];
    for (group, version, kind, mut object) in others {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(engine.client.clone(), "shop", &resource);
        object["apiVersion"] = json!(resource.api_version);
        object["kind"] = json!(kind);
        object["metadata"] = json!({"name": "left"});
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    namespaces.delete("shop", &DeleteParams::default()).await.unwrap();
    eventually("the namespace is gone", || async {
        namespaces.get_opt("shop").await.unwrap().is_none().then_some(())
    })
    .await;
    assert!(names(&Api::<Pod>::all(engine.client.clone()), "").await.is_empty());
    rest(&engine).await;
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_without_room_says_so_and_goes_when_there_is_room() {
    let engine = Engine::start().await;
    let pods: Api<Pod> = engine.in_default();
    let request = |name: &str, cpu: &str| {
        json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i",
            "resources": {"requests": {"cpu": cpu}}}]}})
    };
    create(&pods, request("first", "3")).await;
    eventually("the first is bound", || async { pods.get("first").await.unwrap().spec.unwrap().node_name })
        .await;
    create(&pods, request("second", "2")).await;
    let message = eventually("the second waits", || async {
        let status = pods.get("second").await.unwrap().status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let scheduled = conditions.into_iter().find(|condition| condition.type_ == "PodScheduled");
        scheduled.filter(|condition| condition.status == "False").and_then(|condition| condition.message)
    })
    .await;
    assert_eq!(message, "0/1 nodes are available: 1 Insufficient cpu.");
    rest(&engine).await;
    let events: Api<Event> = engine.in_default();
    let failed = ListParams::default().fields("involvedObject.name=second");
    let list = events.list(&failed).await.unwrap();
    assert_eq!(
        list.items.iter().filter(|event| event.reason.as_deref() == Some("FailedScheduling")).count(),
        1
    );
    pods.delete("first", &DeleteParams::default()).await.unwrap();
    let node =
        eventually("room was made", || async { pods.get("second").await.unwrap().spec.unwrap().node_name });
    assert_eq!(node.await, "node");
    engine.stop().await;
}
