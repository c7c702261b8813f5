//! The node with the real runtime, image store and network, against a small API in memory. This executable is test,
//! shim and container program at once: it is linked statically, so it is a whole image.
//!
//! Needs root; says so loudly where it has to skip.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test with a main of its own: the exceptions for tests do not reach it, and printing is its report"
)]

#[allow(dead_code, reason = "the tests inside the crate use more of it")]
#[path = "../../src/tests/api.rs"]
mod api;
mod program;

use std::future::Future;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::FakeApi;
use futures::{FutureExt, StreamExt};
use konzert_images::{ContentStore, ImageBuilder, LayerBuilder, Reference};
use konzert_network::{Network, NetworkConfig};
use konzert_node::{LogQuery, Node, NodeConfig, destroy_all};
use konzert_runtime::{Runtime, RuntimeConfig};
use serde_json::{Value, json};

const POD: &str = "/api/v1/namespaces/shop/pods/web";
const MAP: &str = "/api/v1/namespaces/shop/configmaps/cfg";

fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().skip(1).collect();
    match args.first().and_then(|first| first.to_str()) {
        Some("shim") => return konzert_runtime::shim_main(&args[1..]),
        Some("serve") => return program::serve(),
        Some("--list") => {
            println!("a_real_pod: test");
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if !nix::unistd::geteuid().is_root() {
        println!("SKIPPED: a real pod needs root; run as root to test anything");
        return ExitCode::SUCCESS;
    }
    println!("\nrunning 1 test");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let log = tracing_subscriber::fmt().with_env_filter("warn");
    log.with_writer(std::io::stderr).with_ansi(false).init();
    let places =
        Places { temp: tempfile::tempdir().unwrap(), run: PathBuf::from("/run/konzert").join(instance()) };
    let outcome = runtime.block_on(AssertUnwindSafe(a_real_pod(&places)).catch_unwind());
    runtime.block_on(clean_up(&places));
    if outcome.is_err() {
        println!("test a_real_pod ... FAILED\n\ntest result: FAILED. 0 passed; 1 failed; 0 ignored\n");
        return ExitCode::from(101);
    }
    println!("test a_real_pod ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n");
    ExitCode::SUCCESS
}

/// Ends a test that hangs; nothing is measured by it.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(1), work)
        .await
        .unwrap_or_else(|_| panic!("never happened: {what}"))
}

struct Machine {
    data: PathBuf,
    run: PathBuf,
    runtime: Arc<Runtime>,
    images: Arc<ContentStore>,
    network: Arc<Network>,
}

impl Machine {
    async fn open(data: &Path, run: &Path) -> Self {
        let runtime = Runtime::open(RuntimeConfig {
            run_dir: run.join("shims"),
            shim_exe: std::env::current_exe().unwrap(),
            shim_args: vec!["shim".to_owned()],
        });
        let network = NetworkConfig {
            run_dir: run.to_owned(),
            instance: instance(),
            pod_cidr: "10.211.0.0/16".parse().unwrap(),
            service_cidr: "10.212.0.0/16".parse().unwrap(),
        };
        Self {
            data: data.to_owned(),
            run: run.to_owned(),
            runtime: Arc::new(runtime.unwrap()),
            images: Arc::new(ContentStore::open(&data.join("images")).unwrap()),
            network: Arc::new(Network::open(network).await.unwrap()),
        }
    }

    fn config(&self) -> NodeConfig {
        NodeConfig::new("node-1", &self.data, &self.run, &instance())
    }

    async fn node(&self, api: &Arc<FakeApi>) -> Node {
        let (runtime, images, network) = (self.runtime.clone(), self.images.clone(), self.network.clone());
        Node::start(api.client(), runtime, images, network, self.config()).await.unwrap()
    }
}

fn instance() -> String {
    format!("nt{}", std::process::id())
}

fn build_image(store: &ContentStore) {
    let layer = LayerBuilder::new()
        .file_from("/program", 0o755, &std::env::current_exe().unwrap())
        .file("/etc/passwd", 0o644, "root:x:0:0::/:/\nweb:x:33:44::/:/\n")
        .dir("/tmp", 0o1777);
    let name = Reference::parse("web:1").unwrap();
    ImageBuilder::from_scratch()
        .add_layer(layer)
        .entrypoint(["/program", "serve"])
        .user("web")
        .env("GREETING", "hello")
        .commit(store, &name)
        .unwrap();
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop", "uid": "0b1b9b0e-1", "generation": 1, "labels": {"app": "web"}},
        "spec": {
            "nodeName": "node-1", "terminationGracePeriodSeconds": 20,
            "volumes": [{"name": "cfg", "configMap": {"name": "cfg"}}, {"name": "tmp", "emptyDir": {"medium": "Memory"}}],
            "containers": [{
                "name": "app", "image": "web:1", "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log",
                "env": [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                "resources": {"limits": {"memory": "64Mi", "cpu": "500m"}},
                "volumeMounts": [{"name": "cfg", "mountPath": "/cfg"}, {"name": "tmp", "mountPath": "/scratch", "subPath": "a/b"}],
                "readinessProbe": {"httpGet": {"port": 8080, "path": "/"}, "periodSeconds": 1},
                "livenessProbe": {"exec": {"command": ["/program", "shim"]}, "periodSeconds": 3600, "failureThreshold": 100},
            }]},
        "status": {"phase": "Pending"},
    })
}

struct Places {
    temp: tempfile::TempDir,
    run: PathBuf,
}

/// Whatever happened before, nothing stays on the machine.
async fn clean_up(places: &Places) {
    let machine = Machine::open(&places.temp.path().canonicalize().unwrap(), &places.run).await;
    destroy_all(&machine.runtime, &machine.images, &machine.network, &machine.config()).await;
    machine.network.teardown().await.unwrap();
    assert!(machine.runtime.list().await.is_empty());
    std::fs::remove_dir_all(&places.run).unwrap();
}

async fn a_real_pod(places: &Places) {
    let data = places.temp.path().canonicalize().unwrap();
    let run = places.run.clone();
    std::fs::create_dir_all(&run).unwrap();
    let machine = Machine::open(&data, &run).await;
    build_image(&machine.images);
    let api = Arc::new(FakeApi::default());
    let node = machine.node(&api).await;

    let ready = |pod: Option<&Value>| {
        pod.filter(|pod| pod["status"]["containerStatuses"][0]["ready"] == true).cloned()
    };
    let running = |pod: Option<&Value>| pod.filter(|pod| pod["status"]["phase"] == "Running").map(|_| ());
    api.put(MAP, json!({"metadata": {"name": "cfg", "namespace": "shop"}, "data": {"color": "red"}}));
    let begin = Instant::now();
    api.put(POD, pod());
    api.until(POD, running).await;
    println!("create to Running: {} ms", begin.elapsed().as_millis());
    let served = api.until(POD, ready).await;
    println!("create to Ready: {} ms", begin.elapsed().as_millis());
    let ip = served["status"]["podIP"].as_str().unwrap().to_owned();
    let answer = ask(&format!("{ip}:8080")).await;
    assert_eq!(answer, format!("color=red ip={ip} greeting=hello uid=33 gid=44 host=web scratch=ok"));
    through_the_service(&api, &ip).await;
    assert!(read_log(&node).await.contains("serving on 8080"));
    let id = served["status"]["containerStatuses"][0]["containerID"].clone();
    measure(&api).await;

    // Another engine takes over: the same container goes on, and its volume follows its object again.
    node.shutdown().await;
    drop(machine);
    let machine = Machine::open(&data, &run).await;
    let node = machine.node(&api).await;
    api.put(MAP, json!({"metadata": {"name": "cfg", "namespace": "shop"}, "data": {"color": "blue"}}));
    let expected = format!("color=blue ip={ip} greeting=hello uid=33 gid=44 host=web scratch=ok");
    soon("the volume is rewritten", async { while ask(&format!("{ip}:8080")).await != expected {} }).await;
    let served = api.get(POD).unwrap();
    assert_eq!(served["status"]["containerStatuses"][0]["containerID"], id);
    assert_eq!(served["status"]["containerStatuses"][0]["ready"], true);

    deletion(&api, &machine).await;
    node.shutdown().await;
}

/// Prints how long more pods of the same image take; a figure for people, not an assertion.
async fn measure(api: &FakeApi) {
    let mut running = Vec::new();
    let mut gone = Vec::new();
    for number in 0..15 {
        let (name, path) = (format!("m{number}"), format!("/api/v1/namespaces/shop/pods/m{number}"));
        let mut object = pod();
        object["metadata"]["name"] = json!(name);
        object["metadata"]["uid"] = json!(format!("0b1b9b0e-m{number}"));
        let begin = Instant::now();
        api.put(&path, object);
        api.until(&path, |pod| pod.filter(|pod| pod["status"]["phase"] == "Running").map(|_| ())).await;
        running.push(begin.elapsed().as_millis());
        let begin = Instant::now();
        api.change(&path, |pod| pod["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z"));
        api.until(&path, |pod| pod.is_none().then_some(())).await;
        gone.push(begin.elapsed().as_millis());
    }
    running.sort_unstable();
    gone.sort_unstable();
    println!("fifteen more pods, create to Running {running:?} ms, deletion {gone:?} ms");
}

async fn deletion(api: &FakeApi, machine: &Machine) {
    api.change(POD, |pod| {
        pod["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(20);
    });
    let begin = Instant::now();
    api.until(POD, |pod| pod.is_none().then_some(())).await;
    println!("deletion: {} ms", begin.elapsed().as_millis());
    let last = api.last(POD);
    let ended = &last["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((ended["exitCode"].as_i64(), ended["message"].as_str()), (Some(0), Some("asked to stop")));
    assert_eq!(last["status"]["phase"], "Succeeded");
    assert!(machine.runtime.list().await.is_empty());
    assert!(machine.images.snapshots().is_empty() && machine.network.pods().is_empty());
    assert!(!machine.data.join("pods/0b1b9b0e-1").exists());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(machine.data.to_str().unwrap()), "{mounts}");
}

async fn through_the_service(api: &FakeApi, ip: &str) {
    api.put(
        "/api/v1/namespaces/shop/services/web",
        json!({"metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.212.0.9", "ports": [{"port": 80}]}}),
    );
    api.put(
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices/web-1",
        json!({
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4", "ports": [{"port": 8080}], "endpoints": [{"addresses": [ip]}]}),
    );
    let answered = async { while !ask("10.212.0.9:80").await.starts_with("color=red") {} };
    soon("the service answers", answered).await;
}

/// One request; empty when there is no answer.
async fn ask(address: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address: SocketAddr = address.parse().unwrap();
    let work = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok::<_, std::io::Error>(text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
    };
    let answer = tokio::time::timeout(Duration::from_secs(1), work).await;
    if let Ok(Ok(text)) = answer {
        return text;
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    String::new()
}

async fn read_log(node: &Node) -> String {
    let query = LogQuery {
        namespace: "shop".into(),
        pod: "web".into(),
        uid: "0b1b9b0e-1".into(),
        container: "app".into(),
        ..LogQuery::default()
    };
    let chunks: Vec<_> = node.logs(&query).await.unwrap().collect().await;
    chunks.into_iter().map(|chunk| String::from_utf8_lossy(&chunk.unwrap()).into_owned()).collect()
}
