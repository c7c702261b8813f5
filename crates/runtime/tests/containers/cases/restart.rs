//! Engines and shims that die: containers go on, or are ended and recorded; nothing runs unobserved.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use konzert_runtime::{ContainerSpec, Runtime, Status};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Case;
use crate::bed::{self, Bed, wait_exit};

pub(crate) fn cases() -> Vec<(&'static str, Case)> {
    vec![
        ("a_new_engine_adopts_what_runs", |bed| Box::pin(adopts(bed))),
        ("an_exit_without_an_engine_is_not_lost", |bed| Box::pin(exit_meanwhile(bed))),
        ("kill_9_of_the_engine_stops_nothing", |bed| Box::pin(killed_engine(bed))),
        ("a_shim_ignores_signals_to_its_group", |bed| Box::pin(stubborn_shim(bed))),
        ("kill_9_of_a_shim_ends_its_container", |bed| Box::pin(killed_shim(bed))),
        ("a_shim_killed_without_an_engine_is_found", |bed| Box::pin(killed_shim_unseen(bed))),
        ("half_made_directories_are_removed", |bed| Box::pin(half_made(bed))),
        ("shims_leave_their_parent_s_cgroup", |bed| Box::pin(own_cgroup(bed))),
    ]
}

fn alive(pid: u32) -> bool {
    // A zombie has no executable.
    fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

fn kill_9(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
}

async fn wait_dead(pid: u32) {
    while alive(pid) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn adopts(bed: &mut Bed) {
    let spec = bed.spec("survivor", &["obey", "SIGTERM", "9"]);
    let started = bed.runtime.create_and_start(&spec).await.unwrap();
    bed.wait_log("survivor", "stdout F ready").await;
    bed.reopen();
    let all = bed.runtime.list().await;
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].pid, all[0].started_at, &all[0].labels),
        (started.pid, started.started_at, &spec.labels)
    );
    assert_eq!(all[0].status, Status::Running);
    let mut events = bed.runtime.events();
    bed.runtime.stop(&spec.id).await.unwrap();
    assert_eq!(wait_exit(&mut events, &spec.id).await.code, 9);
}

async fn exit_meanwhile(bed: &mut Bed) {
    let spec = bed.spec("leaver", &["obey", "SIGTERM", "4"]);
    let started = bed.runtime.create_and_start(&spec).await.unwrap();
    bed.wait_log("leaver", "stdout F ready").await;
    let shim = bed.shim_pid("leaver");
    bed.drop_runtime();
    kill(Pid::from_raw(started.pid.cast_signed()), Signal::SIGTERM).unwrap();
    wait_dead(shim).await;
    bed.reopen();
    let exit = bed.wait_exited("leaver").await;
    assert_eq!((exit.code, exit.signal), (4, None));
}

/// Another process as engine: starts one container and waits to be killed.
pub(crate) fn engine(args: &[OsString]) -> ExitCode {
    let spec = serde_json::from_str(args[1].to_str().unwrap()).unwrap();
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    tokio.block_on(async {
        let runtime = Runtime::open(bed::config(args[0].as_ref())).unwrap();
        let started = runtime.create_and_start(&spec).await.unwrap();
        println!("{}", started.pid);
        std::future::pending::<()>().await;
    });
    ExitCode::SUCCESS
}

/// Lets another process start the container and kills that process; gives back the container's.
fn orphaned(bed: &mut Bed, spec: &ContainerSpec) -> u32 {
    bed.drop_runtime();
    let mut engine = Command::new("/proc/self/exe")
        .arg("engine")
        .arg(bed.run_dir())
        .arg(serde_json::to_string(spec).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(engine.stdout.take().unwrap()).read_line(&mut line).unwrap();
    engine.kill().unwrap();
    engine.wait().unwrap();
    line.trim().parse().unwrap()
}

async fn killed_engine(bed: &mut Bed) {
    let spec = bed.spec("orphan", &["obey", "SIGTERM", "6"]);
    let pid = orphaned(bed, &spec);
    assert!(alive(pid));
    bed.wait_log("orphan", "stdout F ready").await;
    bed.reopen();
    assert_eq!(bed.status("orphan").await, Some(Status::Running));
    let mut events = bed.runtime.events();
    bed.runtime.stop(&spec.id).await.unwrap();
    assert_eq!(wait_exit(&mut events, &spec.id).await.code, 6);
    assert!(bed.log("orphan").contains(&"stdout F got SIGTERM".to_owned()));
}

async fn stubborn_shim(bed: &mut Bed) {
    let spec = bed.spec("calm", &["sleep"]);
    bed.runtime.create_and_start(&spec).await.unwrap();
    let shim = bed.shim_pid("calm");
    let stat = fs::read_to_string(format!("/proc/{shim}/stat")).unwrap();
    let session: u32 = stat.rsplit(") ").next().unwrap().split(' ').nth(3).unwrap().parse().unwrap();
    assert_eq!(session, shim, "the shim leads a session of its own");
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        kill(Pid::from_raw(shim.cast_signed()), signal).unwrap();
    }
    bed.runtime.signal(&spec.id, 18).await.unwrap();
    assert!(alive(shim));
    let mut threads = fs::read_dir(format!("/proc/{shim}/task")).unwrap();
    assert!(threads.next().is_some() && threads.next().is_none(), "a shim has one thread");
}

async fn killed_shim(bed: &mut Bed) {
    let mut events = bed.runtime.events();
    let spec = bed.spec("bereft", &["sleep"]);
    let started = bed.runtime.create_and_start(&spec).await.unwrap();
    kill_9(bed.shim_pid("bereft"));
    let exit = wait_exit(&mut events, &spec.id).await;
    assert_eq!((exit.code, exit.signal), (255, None));
    wait_dead(started.pid).await;
    bed.reopen();
    assert_eq!(bed.status("bereft").await, Some(Status::Exited(exit)));
}

async fn killed_shim_unseen(bed: &mut Bed) {
    let spec = bed.spec("forgotten", &["sleep"]);
    let pid = orphaned(bed, &spec);
    let shim = bed.shim_pid("forgotten");
    kill_9(shim);
    wait_dead(shim).await;
    assert!(alive(pid), "nobody is there to notice");
    bed.reopen();
    wait_dead(pid).await;
    // Its socket may take connections for a moment longer than the shim lives.
    assert_eq!(bed.wait_exited("forgotten").await.code, 255);
}

async fn half_made(bed: &mut Bed) {
    bed.drop_runtime();
    fs::create_dir_all(bed.shims_dir().join("half/state")).unwrap();
    bed.reopen();
    assert!(bed.runtime.list().await.is_empty());
    assert!(!bed.shims_dir().join("half").exists());
}

async fn own_cgroup(bed: &mut Bed) {
    let spec = bed.spec("apart", &["sleep"]);
    bed.runtime.create_and_start(&spec).await.unwrap();
    let shims = format!("{}/shims", bed.cgroup);
    let shim = fs::read_to_string(format!("/proc/{}/cgroup", bed.shim_pid("apart"))).unwrap();
    for line in shim.lines() {
        let path = line.splitn(3, ':').nth(2).unwrap();
        assert!(path == "/" || path == shims, "{line}");
    }
}
