//! `konzert down`: stops the engine. Containers go on, unless `--containers` or `--purge` says otherwise.

use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Serialize;

use crate::cli::{Down, Global};
use crate::config::{self, Create, Places};
use crate::engine::{Machine, node_config};
use crate::exit::{Exit, Failure, Outcome};
use crate::lock::{self, EngineLock};
use crate::printer::Printer;

/// An engine that has not ended by then gets SIGKILL; containers survive that.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Serialize)]
struct Stopped {
    engine: Option<i32>,
    containers: bool,
    purged: bool,
}

pub(crate) async fn run(global: &Global, args: &Down, printer: &Printer) -> Outcome {
    let places = Places::of(&global.data_dir, Create::No)?;
    let engine = lock::holder(&places.data)?;
    if let Some(pid) = engine {
        let progress = printer.progress("stopping the engine");
        tokio::task::spawn_blocking(move || end(pid)).await??;
        drop(progress);
    }
    if args.containers || args.purge {
        config::need_root("stopping containers")?;
        let lock = EngineLock::take(&places.data)?;
        destroy_all(&places).await?;
        drop(lock);
    }
    if args.purge {
        std::fs::remove_dir_all(&places.data)
            .map_err(|e| Failure::failed(e).hint(format!("delete {} by hand", places.data.display())))?;
    }
    let stopped = Stopped { engine, containers: args.containers || args.purge, purged: args.purge };
    printer.result(&stopped, |s| {
        let engine = s.engine.map_or_else(
            || "no engine was running".to_owned(),
            |pid| format!("engine stopped (process {pid})"),
        );
        let containers = if s.containers { "containers stopped" } else { "containers go on" };
        let purged = if s.purged { "; data deleted" } else { "" };
        format!("{engine}; {containers}{purged}")
    })?;
    Ok(Exit::Done)
}

/// Stops every container of this engine and takes its network and mounts away.
pub(crate) async fn destroy_all(places: &Places) -> Result<(), Failure> {
    let machine = Machine::open(places).await?;
    let config = node_config(places, "");
    konzert_node::destroy_all(&machine.runtime, &machine.images, &machine.network, &config).await;
    machine.network.teardown().await?;
    match std::fs::remove_dir_all(&places.run) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::failed(error)),
        _ => Ok(()),
    }
}

/// SIGTERM, then SIGKILL. The process is held by a pidfd, so that a reused pid is never hit.
fn end(pid: i32) -> Result<(), Failure> {
    let Some(process) = rustix::process::Pid::from_raw(pid) else { return Ok(()) };
    let handle = match rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()) {
        Ok(handle) => handle,
        Err(rustix::io::Errno::SRCH) => return Ok(()),
        Err(error) => return Err(Failure::failed(error)),
    };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
            Err(error) => {
                return Err(Failure::failed(error).hint("run it as the user who started the engine"));
            }
        }
        let wait = PollTimeout::try_from(PATIENCE).unwrap_or(PollTimeout::MAX);
        if nix::poll::poll(&mut [PollFd::new(handle.as_fd(), PollFlags::POLLIN)], wait)? > 0 {
            return Ok(());
        }
    }
    Err(Failure::failed(anyhow::anyhow!("process {pid} does not end")))
}
