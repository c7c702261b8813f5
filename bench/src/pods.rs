//! How long pods take to run, one by one and many at once, and what each costs. The same code measures a peer.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, PostParams, WatchEvent, WatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

use crate::numbers::{Samples, float};
use crate::proc;
use crate::report::{KUBERNETES, Peer, Row};
use crate::support::cluster::phase;
use crate::support::engine::Engine;
use crate::support::{engine, fleet, process};

const NAMESPACE: &str = "konzert-bench";
/// A peer without limits raised takes minutes for many pods.
const PATIENCE: Duration = Duration::from_mins(10);
const DEFAULT_PEER_IMAGE: &str = "registry.k8s.io/pause:3.10";

/// What runs in the pods.
struct Program {
    image: String,
    args: Vec<String>,
}

/// What was measured on one cluster.
struct Measured {
    create_to_running_ms: Samples,
    deployment: Duration,
}

/// Measures the engine, and the Kubernetes that the environment names.
pub(crate) fn measure(program: &Path, pods: usize, replicas: usize) -> anyhow::Result<Vec<Row>> {
    let engine = Engine::up(program);
    let images = fleet::images(&engine.data());
    let base = fleet::build_base(&images, "1.0", fleet::FIXED);
    fleet::build_apps(&images, &base, program, "wait", &["app"]);
    let runs = Program { image: "test/app:1.0".into(), args: vec!["wait".into(), "bench".into()] };
    let (_, before) = proc::memory_mib(engine.pid()).context("memory of the engine")?;
    let mut memory = None;
    let own = engine.ask(async |client| {
        let look = || memory = Some((shims_pss_mib(&engine), proc::memory_mib(engine.pid())));
        cluster(client, &runs, pods, replicas, look).await
    })?;
    let Some((shims, Some((_, after)))) = memory else { bail!("the memory was not measured") };
    engine.purge();
    let peer = peer(pods, replicas)?;
    let against = |published: &str, value: fn(&Measured) -> f64| {
        peer.as_ref().map_or_else(
            || Peer::published(KUBERNETES, published),
            |(name, found)| Peer::measured(name, value(found)),
        )
    };
    let seconds = own.deployment.as_secs_f64();
    let scale = if replicas == 100 { "19-20" } else { "19-20, for 100" };
    Ok(vec![
        Row::of("pod_running_ms", "pod create to Running, image present", &own.create_to_running_ms, "ms")
            .peer(against("1 002", |m| m.create_to_running_ms.median())),
        Row::one("deployment_running_s", format!("Deployment to {replicas} Running"), seconds, "s")
            .peer(against(scale, |m| m.deployment.as_secs_f64())),
        Row::of("pod_pss_mib", "shim memory per pod, proportional", &shims, "MiB")
            .peer(Peer::published(KUBERNETES, "4.0")),
        Row::one(
            "engine_growth_per_pod_mib",
            "growth of the engine per pod",
            (after - before) / float(replicas as u64),
            "MiB",
        ),
    ])
}

/// Memory of every shim of the engine; they carry its name in their command line.
fn shims_pss_mib(engine: &Engine) -> Samples {
    let instance = engine.instance();
    let shim = |pid: &i32| {
        let arguments = proc::arguments(*pid);
        arguments.get(1).is_some_and(|verb| verb == "shim")
            && arguments.iter().any(|word| word.contains(&instance))
    };
    let shims = process::all().into_iter().filter(shim);
    Samples::new(shims.filter_map(|pid| Some(proc::memory_mib(pid)?.1)).collect())
}

/// The Kubernetes of `KONZERT_BENCH_KUBECONFIG`.
fn peer(pods: usize, replicas: usize) -> anyhow::Result<Option<(String, Measured)>> {
    let Some(kubeconfig) = std::env::var_os("KONZERT_BENCH_KUBECONFIG") else { return Ok(None) };
    let image = std::env::var_os("KONZERT_BENCH_IMAGE");
    let image =
        image.map_or_else(|| DEFAULT_PEER_IMAGE.to_owned(), |name| name.to_string_lossy().into_owned());
    let runs = Program { image, args: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = engine::client(Path::new(&kubeconfig)).await;
        let version = client.apiserver_version().await.context("KONZERT_BENCH_KUBECONFIG")?;
        crate::note(&format!("the same on Kubernetes {}", version.git_version));
        let measured = cluster(client, &runs, pods, replicas, || ()).await?;
        Ok(Some((format!("Kubernetes {}", version.git_version), measured)))
    })
}

/// Measures a cluster, and takes away what it made. `look` is called while all replicas run.
async fn cluster(
    client: Client,
    program: &Program,
    pods: usize,
    replicas: usize,
    look: impl FnOnce(),
) -> anyhow::Result<Measured> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let metadata = ObjectMeta { name: Some(NAMESPACE.into()), ..ObjectMeta::default() };
    namespaces.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
    let measured = async {
        let create_to_running_ms = one_by_one(client.clone(), program, pods).await?;
        let deployment = all_at_once(client.clone(), program, replicas).await?;
        look();
        remove_deployment(client.clone()).await?;
        Ok(Measured { create_to_running_ms, deployment })
    };
    let measured = tokio::time::timeout(PATIENCE, measured).await;
    namespaces.delete(NAMESPACE, &DeleteParams::default()).await?;
    measured.context("the cluster takes too long")?
}

fn spec(program: &Program) -> serde_json::Value {
    json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "main", "image": program.image, "args": program.args, "imagePullPolicy": "IfNotPresent"}],
    })
}

/// Time from the call that creates a pod to the event that says it runs.
async fn one_by_one(client: Client, program: &Program, count: usize) -> anyhow::Result<Samples> {
    let api: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let mut taken = Vec::new();
    for index in 0..count {
        let version = api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
        let mut events = api.watch(&WatchParams::default(), &version).await?.boxed();
        let name = format!("single-{index}");
        let pod: Pod = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec(program)}))?;
        let started = Instant::now();
        api.create(&PostParams::default(), &pod).await?;
        loop {
            match events.try_next().await? {
                Some(WatchEvent::Added(pod) | WatchEvent::Modified(pod))
                    if pod.name_any() == name && phase(&pod) == "Running" =>
                {
                    break;
                }
                Some(WatchEvent::Error(status)) => bail!("watch: {status:?}"),
                Some(_) => {}
                None => bail!("the watch ended before {name} ran"),
            }
        }
        taken.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    api.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    gone(&api).await?;
    Ok(Samples::new(taken))
}

/// Time from the call that creates a Deployment to the event of its last running pod.
async fn all_at_once(client: Client, program: &Program, replicas: usize) -> anyhow::Result<Duration> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "many"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "many"}},
            "template": {"metadata": {"labels": {"app": "many"}}, "spec": spec(program)},
        },
    }))?;
    let version = pods.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default();
    let mut events = pods.watch(&WatchParams::default(), &version).await?.boxed();
    let started = Instant::now();
    Api::namespaced(client, NAMESPACE).create(&PostParams::default(), &deployment).await?;
    let mut running = BTreeSet::new();
    while running.len() < replicas {
        match events.try_next().await? {
            Some(WatchEvent::Added(pod) | WatchEvent::Modified(pod)) if phase(&pod) == "Running" => {
                running.insert(pod.name_any());
            }
            Some(WatchEvent::Error(status)) => bail!("watch: {status:?}"),
            Some(_) => {}
            None => bail!("the watch ended with {} of {replicas} running", running.len()),
        }
    }
    Ok(started.elapsed())
}

async fn remove_deployment(client: Client) -> anyhow::Result<()> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    deployments.delete("many", &DeleteParams::background()).await?;
    gone(&Api::namespaced(client, NAMESPACE)).await
}

async fn gone(pods: &Api<Pod>) -> anyhow::Result<()> {
    while !pods.list(&ListParams::default()).await?.items.is_empty() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}
