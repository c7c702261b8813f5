//! The loop with real containers: the quickstart and what it leaves behind, and a campaign over a `kill -9` of the engine.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use konzert_api::own::{CampaignPhase, PatchCampaign, PatchCampaignStatus};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid as Number;
use serde_json::{Value, json};
use support::engine::Engine;
use support::process::{self, Process, Ran, Running};
use support::{PATIENCE, cgroups, cluster, fleet, have_root, leftovers, until};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");
const ADVISORY_FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/quickstart/advisory.json");
const ADVISORY: &str = "CVE-0000-0001";

/// Whole fleets, one after the other: side by side they only wait for each other.
static STAGE: Mutex<()> = Mutex::new(());

// ---- quickstart

/// `konzert quickstart -o json` under way, with a directory of its own for temporary files.
struct Quickstart {
    running: Running,
    tmp: tempfile::TempDir,
    data: PathBuf,
}

impl Quickstart {
    fn start() -> Self {
        let tmp = tempfile::Builder::new().prefix("konzert-test-").tempdir().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(["quickstart", "-o", "json"]).env("TMPDIR", tmp.path()).env_remove("KONZERT_LOG");
        let mut running = process::start(command, None, "");
        let data = until("a throwaway data directory", || {
            assert!(!running.has_ended(), "it ended at once: {}", running.stderr());
            let entry = std::fs::read_dir(tmp.path()).unwrap().flatten().next()?;
            Some(entry.path().canonicalize().unwrap())
        });
        Self { running, tmp, data }
    }

    /// The process inside the sandbox: the child of its init.
    fn story(&mut self) -> i32 {
        until("a process inside the sandbox", || {
            assert!(!self.running.has_ended(), "it ended at once: {}", self.running.stderr());
            process::children(self.init()?).first().copied()
        })
    }

    fn init(&self) -> Option<i32> {
        process::children(self.running.pid()).first().copied()
    }

    /// Waits until the fleet is half there.
    fn wait_for_containers(&mut self) {
        let instance = leftovers::instance_of(&self.data);
        until("containers", || {
            assert!(!self.running.has_ended(), "it ended early: {}", self.running.stderr());
            (cgroups::processes_of_instance(&instance).len() >= 5).then_some(())
        });
    }

    /// Waits for the end; nothing may be left on the machine.
    fn end(self, namespace: &str) -> Ran {
        let ran = self.running.end();
        let mut left = leftovers::of_data_dir(&self.data);
        left.extend(leftovers::files(self.tmp.path()));
        for pid in process::all() {
            if process_namespace(pid).as_deref() == Some(namespace) {
                left.push(format!("process {pid}"));
            }
        }
        assert!(left.is_empty(), "the quickstart left behind:\n{}\n{ran}", left.join("\n"));
        ran
    }
}

/// Which process gets the signal.
type Victim = fn(&mut Quickstart) -> i32;

fn process_namespace(pid: i32) -> Option<String> {
    Some(std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()?.to_string_lossy().into_owned())
}

#[test]
fn the_quickstart_closes_the_loop_and_leaves_nothing_behind() {
    if !have_root("the quickstart") {
        return;
    }
    let _stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut quickstart = Quickstart::start();
    let namespace = process_namespace(quickstart.story()).unwrap();
    assert_ne!(Some(&namespace), process_namespace(1).as_ref(), "the sandbox has processes of its own");
    let ran = quickstart.end(&namespace);
    let said = ran.stderr.clone();
    let report = ran.json();
    let number = |field: &str| report[field].as_u64().unwrap_or_else(|| panic!("{field}: {report:#}"));
    assert!(number("containers") >= 12, "{report:#}");
    assert!(number("exposed_before") > 0, "{report:#}\n{said}");
    assert_eq!(number("exposed_after"), 0, "{report:#}\n{said}");
    assert!(number("patched_workloads") > 0, "{report:#}\n{said}");
    assert!(number("requests") > 0, "{report:#}\n{said}");
    assert_eq!(number("requests_failed"), 0, "{report:#}\n{said}");
    assert_eq!(report["rollback_checked"], json!(true), "{report:#}\n{said}");
    assert_eq!(report["undone"], json!(true), "{report:#}\n{said}");
    assert!(number("ready_ms") > 0 && number("total_ms") >= number("ready_ms"), "{report:#}");
    let reaped: Vec<&str> = report["reaped"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for rule in ["ttl", "finished-job", "unused-image"] {
        assert!(reaped.iter().any(|line| line.ends_with(rule)), "nothing reaped by {rule}: {reaped:#?}");
    }
}

#[test]
fn an_interrupted_quickstart_leaves_nothing_behind() {
    if !have_root("an interrupted quickstart") {
        return;
    }
    let _stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let table: [(&str, Signal, Victim); 3] = [
        ("kill -9 of the process inside", Signal::SIGKILL, Quickstart::story),
        ("kill -9 of the sandbox's init", Signal::SIGKILL, |q| q.init().unwrap()),
        ("Ctrl-C", Signal::SIGINT, |q| q.running.pid()),
    ];
    for (what, signal, victim) in table {
        let mut quickstart = Quickstart::start();
        let namespace = process_namespace(quickstart.story()).unwrap();
        quickstart.wait_for_containers();
        kill(Number::from_raw(victim(&mut quickstart)), signal).unwrap();
        let ran = quickstart.end(&namespace);
        assert_eq!(ran.code, Some(3), "{what}: {ran}");
        assert_eq!(ran.stdout, "", "{what}: half a report is none: {ran}");
    }
}

// ---- kill -9

const NAMESPACE: &str = "concert";
const OUTSIDE: &str = "outside";
const PATCHED: [&str; 3] = ["web", "api", "worker"];

/// Calls a Service, each time on a new connection, until dropped.
struct Caller {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Caller {
    fn start(engine: &Engine, target: SocketAddr) -> Self {
        let (stop, calls, failures) = (Arc::default(), Arc::default(), Arc::default());
        let mut caller = Self { stop, calls, failures, thread: None };
        let (net, stop) = (engine.net.clone(), caller.stop.clone());
        let (calls, failures) = (caller.calls.clone(), caller.failures.clone());
        let calling = move || {
            while !stop.load(Ordering::SeqCst) {
                if let Err(error) = call(target) {
                    failures.lock().unwrap().push(error.to_string());
                }
                calls.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        caller.thread = Some(std::thread::spawn(move || net.run(calling)));
        caller
    }

    fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn finish(mut self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
        let failures = std::mem::take(&mut *self.failures.lock().unwrap());
        (self.calls(), failures)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn call(target: SocketAddr) -> std::io::Result<()> {
    let patience = Duration::from_secs(5);
    let mut stream = TcpStream::connect_timeout(&target, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bystander\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("answer {answer:?}")))
    }
}

/// What must not change over a restart of the engine: identity, container, restarts, when it became ready, processes.
#[derive(Clone, Debug, PartialEq)]
struct Witness {
    namespace: String,
    name: String,
    uid: String,
    container_id: String,
    restarts: i32,
    ready_since: String,
    processes: BTreeSet<Process>,
}

impl Witness {
    fn of(instance: &str, pod: &Pod) -> Self {
        let status = pod.status.clone().unwrap_or_default();
        let container = status.container_statuses.unwrap_or_default().remove(0);
        let ready = status.conditions.unwrap_or_default().into_iter().find(|c| c.type_ == "Ready");
        let ready =
            ready.filter(|c| c.status == "True").unwrap_or_else(|| panic!("{} is not ready", pod.name_any()));
        let uid = pod.uid().unwrap();
        let processes = cgroups::processes_of_pod(instance, &uid);
        assert!(!processes.is_empty(), "{} has no process", pod.name_any());
        Self {
            namespace: pod.namespace().unwrap(),
            name: pod.name_any(),
            uid,
            container_id: container.container_id.unwrap_or_default(),
            restarts: container.restart_count,
            ready_since: format!("{:?}", ready.last_transition_time),
            processes,
        }
    }
}

async fn witnesses(client: Client, instance: String, apps: Vec<(&'static str, String)>) -> Vec<Witness> {
    let mut found = Vec::new();
    for (namespace, app) in apps {
        let pods = cluster::pods_of(&client, namespace, &app).await;
        assert!(!pods.is_empty(), "{app} has no pods");
        found.extend(pods.iter().map(|pod| Witness::of(&instance, pod)));
    }
    found
}

fn build_fleet(data: &Path) {
    let images = fleet::images(data);
    let base = fleet::build_base(&images, "1.0", fleet::VULNERABLE);
    let names = [&PATCHED[..], &["bystander"]].concat();
    fleet::build_apps(&images, &base, Path::new(PROGRAM), "serve", &names);
}

async fn deploy(client: Client) -> SocketAddr {
    for namespace in [NAMESPACE, OUTSIDE] {
        cluster::create_namespace(&client, namespace).await;
    }
    for name in PATCHED {
        cluster::create(&client, &fleet::server_deployment(NAMESPACE, name, 2)).await;
    }
    cluster::create(&client, &fleet::server_deployment(OUTSIDE, "bystander", 2)).await;
    let service: Service = cluster::create(&client, &fleet::service(OUTSIDE, "bystander")).await;
    for name in PATCHED {
        cluster::available(&client, NAMESPACE, name).await;
    }
    cluster::available(&client, OUTSIDE, "bystander").await;
    SocketAddr::new(service.spec.unwrap().cluster_ip.unwrap().parse().unwrap(), 80)
}

/// Waits until the only campaign is as wanted.
async fn campaign(
    client: Client,
    what: &str,
    wanted: impl Fn(&PatchCampaignStatus) -> bool,
) -> PatchCampaign {
    let api: Api<PatchCampaign> = Api::all(client);
    let look = async {
        loop {
            let listed = api.list(&ListParams::default()).await.unwrap().items;
            if let Some(one) = listed.into_iter().next()
                && one.status.as_ref().is_some_and(&wanted)
            {
                return one;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, look).await;
    if let Ok(found) = waited {
        return found;
    }
    panic!("no campaign that {what}: {:#?}", api.list(&ListParams::default()).await)
}

fn patched_apps(campaign: &PatchCampaign) -> Vec<(&'static str, String)> {
    let status = campaign.status.clone().unwrap_or_default();
    let first = status.workloads.into_iter().filter(|w| w.wave == 1);
    first.map(|w| (NAMESPACE, w.name)).chain([(OUTSIDE, "bystander".to_owned())]).collect()
}

/// Kills the engine, looks at what runs without it, starts it again. The witnesses must not notice.
fn kill_and_restart(engine: &mut Engine, caller: &Caller, before: &[Witness]) {
    let written = engine.ask(async |client| {
        let config: ConfigMap = serde_json::from_value(json!({
            "metadata": {"namespace": OUTSIDE, "generateName": "written-before-"},
        }))
        .unwrap();
        cluster::create(&client, &config).await.name_any()
    });
    engine.kill();
    let calls = caller.calls();
    until("calls while no engine runs", || (caller.calls() > calls + 20).then_some(()));
    for witness in before {
        assert!(witness.processes.iter().all(Process::runs), "stopped while no engine ran: {witness:#?}");
    }
    engine.start();
    for witness in before {
        assert!(witness.processes.iter().all(Process::runs), "stopped by the restart: {witness:#?}");
    }
    let found = engine
        .ask(async |client| Api::<ConfigMap>::namespaced(client, OUTSIDE).get_opt(&written).await.unwrap());
    assert!(found.is_some(), "an acknowledged write is lost: {written}");
}

#[test]
fn a_campaign_survives_kill_9_and_no_container_notices() {
    if !have_root("a campaign over kill -9") {
        return;
    }
    let _stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut engine = Engine::up(Path::new(PROGRAM));
    let instance = engine.instance();
    build_fleet(&engine.data());
    let target = engine.ask(deploy);
    engine.konzert(["db", "import", ADVISORY_FILE]).ok();
    fleet::build_base(&fleet::images(&engine.data()), "1.1", fleet::FIXED);
    let caller = Caller::start(&engine, target);
    let patching = engine
        .begin(["patch", ADVISORY, "-n", NAMESPACE, "--waves", "1,2,100%", "--soak", "2s", "-o", "json"]);

    // First kill: the first wave is ready and soaks.
    let soaking = engine
        .ask(async |client| campaign(client, "soaks", |s| s.wave == 1 && s.wave_ready_at.is_some()).await);
    let apps = patched_apps(&soaking);
    assert_eq!(apps.len(), 2, "the first wave is one workload: {soaking:#?}");
    let before = engine.ask(async |client| witnesses(client, instance.clone(), apps.clone()).await);
    kill_and_restart(&mut engine, &caller, &before);

    // Second kill: a later wave is being rolled out.
    engine.ask(async |client| campaign(client, "is in wave 2", |s| s.wave >= 2).await);
    kill_and_restart(&mut engine, &caller, &before);

    let ended = engine.ask(async |client| campaign(client, "has ended", |s| s.finished_at.is_some()).await);
    let status = ended.status.clone().unwrap();
    assert_eq!(status.phase, CampaignPhase::Completed, "{ended:#?}");
    assert_eq!((status.patched, status.exposed_after), (3, 0), "{ended:#?}");
    assert!(status.exposed_before >= 6, "{ended:#?}");
    for name in PATCHED {
        engine.ask(async |client| cluster::available(&client, NAMESPACE, name).await);
    }
    let after = engine.ask(async |client| witnesses(client, instance.clone(), apps.clone()).await);
    assert_eq!(before, after, "containers, readiness and restarts stay as they were");
    assert!(after.iter().all(|witness| witness.restarts == 0), "{after:#?}");
    let (calls, failures) = caller.finish();
    assert!(calls > 40 && failures.is_empty(), "{} of {calls} calls failed: {failures:#?}", failures.len());

    // The command that started the campaign saw the engine go and come back.
    let report = patching.end().json();
    assert_eq!(report["status"]["phase"], "Completed", "{report:#}");
    let scan = engine.konzert(["scan", "--advisory", ADVISORY, "-o", "json"]).json();
    let exposed: BTreeSet<&str> =
        scan["containers"].as_array().unwrap().iter().filter_map(|c| c["namespace"].as_str()).collect();
    assert_eq!(exposed, BTreeSet::from([OUTSIDE]), "only what was not asked for is still exposed: {scan:#}");
    engine.purge();
}
