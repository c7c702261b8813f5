//! The engine's side: starts shims, follows them, asks them, and cleans up after them.
//!
//! Asynchronous and without polling: a shim's socket says when its container ends, and its end of stream that the shim died.
//! What blocks (files, cgroups) is done on blocking threads. libcontainer is never called here.

mod client;
mod follow;
mod launch;
mod remove;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{RwLock, broadcast, watch};
use tokio::task::AbortHandle;

use crate::cgroup::Cgroup;
use crate::error::RuntimeError;
use crate::observed::{
    ContainerState, ExecExit, ExecOutcome, ExecRequest, Exit, RuntimeEvent, Started, Stats, Status,
};
use crate::oci::HostFacts;
use crate::protocol::{MAX_EXEC_OUTPUT_BYTES, Reply, Request};
use crate::record::{Failure, ShimDir, StartRecord};
use crate::spec::{ContainerId, ContainerSpec};

/// Events kept for a slow receiver; one that falls behind further has to list.
const EVENT_CAPACITY: usize = 1024;
/// How long the answer to a small request may take; the shim answers at once unless it is stopped or starved.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time for one exec.
const MAX_EXEC_TIMEOUT: Duration = Duration::from_hours(24);

/// Where shims live and what they are.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Directory below which `containers/<id>` are the shims' directories, on a file system that does not survive a reboot;
    /// made if it is not there.
    pub run_dir: PathBuf,
    /// Executable that leads to [`crate::shim_main`], usually the engine's own.
    pub shim_exe: PathBuf,
    /// Arguments that lead there; the shim's own follow.
    pub shim_args: Vec<String>,
}

/// All containers of one run directory.
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    config: RuntimeConfig,
    shims_dir: PathBuf,
    host: HostFacts,
    containers: Mutex<HashMap<ContainerId, Arc<Entry>>>,
    events: broadcast::Sender<RuntimeEvent>,
    /// Held for reading while a container is being created, so that no one removes the parent cgroups meanwhile.
    creating: RwLock<()>,
}

/// One container.
struct Entry {
    id: ContainerId,
    dir: ShimDir,
    cgroup: Cgroup,
    labels: std::collections::BTreeMap<String, String>,
    stop_signal: i32,
    origin: Origin,
    phase: watch::Sender<Phase>,
    follower: Mutex<Option<AbortHandle>>,
}

/// How an engine came by a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    Created,
    Adopted,
}

/// How far a container has come. Only goes forward.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Running(StartRecord),
    Exited { start: Option<StartRecord>, exit: Exit, failure: Option<Failure> },
}

impl Runtime {
    /// Opens a run directory and adopts what is in it. Must be called inside a tokio runtime.
    ///
    /// Containers whose shim is gone without an exit record are killed here and listed as exited with code 255.
    pub fn open(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let io_error =
            |action, path: &Path, source| RuntimeError::Io { action, path: path.to_owned(), source };
        let shims_dir = config.run_dir.join("containers");
        fs::create_dir_all(&shims_dir)
            .map_err(|error| io_error("create the run directory", &shims_dir, error))?;
        let host = HostFacts::detect()
            .map_err(|error| io_error("find the cgroups below", Path::new("/sys/fs/cgroup"), error))?;
        let inner = Arc::new(Inner {
            host,
            containers: Mutex::new(HashMap::new()),
            events: broadcast::Sender::new(EVENT_CAPACITY),
            creating: RwLock::new(()),
            shims_dir,
            config,
        });
        let entries =
            fs::read_dir(&inner.shims_dir).map_err(|error| io_error("list", &inner.shims_dir, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| io_error("list", &inner.shims_dir, error))?;
            let id = entry.file_name().into_string().ok().and_then(|name| ContainerId::new(name).ok());
            if let Some(id) = id.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                follow::adopt(&inner, id)?;
            }
        }
        Ok(Self { inner })
    }

    /// Creates a container and starts its program; returns when it runs or cannot. What could not be started leaves nothing
    /// behind.
    pub async fn create_and_start(&self, spec: &ContainerSpec) -> Result<Started, RuntimeError> {
        launch::create_and_start(&self.inner, spec).await
    }

    /// Sends a signal to a container's first process.
    pub async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        let entry = self.inner.running(id)?;
        match client::ask(&entry, &Request::Signal(signal), REQUEST_TIMEOUT).await?.0 {
            Reply::Done => Ok(()),
            Reply::Exited(_) => Err(RuntimeError::NotRunning { id: id.to_string() }),
            Reply::Refused(message) => Err(RuntimeError::Refused { id: id.to_string(), message }),
            other => Err(client::unexpected(id, &other)),
        }
    }

    /// Sends the signal that asks a container to stop, as its image or specification names it.
    pub async fn stop(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let signal = self.inner.running(id)?.stop_signal;
        self.signal(id, signal).await
    }

    /// Sends SIGKILL to every process of a container.
    pub async fn kill_all(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let entry = self.inner.entry(id)?;
        blocking(id, move || entry.cgroup.kill_once()).await.map(|_| ())
    }

    /// Runs a program inside a running container and returns its output.
    pub async fn exec(&self, id: &ContainerId, request: ExecRequest) -> Result<ExecOutcome, RuntimeError> {
        let entry = self.inner.running(id)?;
        let timeout = request.timeout.min(MAX_EXEC_TIMEOUT);
        let wanted = Request::Exec {
            args: request.args,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            output_limit_bytes: request.output_limit_bytes.min(MAX_EXEC_OUTPUT_BYTES),
        };
        match client::ask(&entry, &wanted, timeout + 2 * REQUEST_TIMEOUT).await? {
            (Reply::Executed { code, truncated, .. }, output) => {
                let exit = code.map_or(ExecExit::TimedOut, ExecExit::Code);
                Ok(ExecOutcome { exit, output, truncated })
            }
            (Reply::Failed(Failure { message, exit_code }), _) => {
                Err(RuntimeError::ExecFailed { id: id.to_string(), message, exit_code })
            }
            (Reply::Exited(_), _) => Err(RuntimeError::NotRunning { id: id.to_string() }),
            (Reply::Refused(message), _) => Err(RuntimeError::Refused { id: id.to_string(), message }),
            (other, _) => Err(client::unexpected(id, &other)),
        }
    }

    /// Removes a container and all traces of it; kills it if it is still running. Removing what is not there is fine.
    pub async fn remove(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        remove::remove(&self.inner, id).await
    }

    /// Every container that runs or has ended, in the order of their names.
    pub async fn list(&self) -> Vec<ContainerState> {
        let entries: Vec<Arc<Entry>> = self.inner.lock().values().cloned().collect();
        let mut states: Vec<ContainerState> = Vec::with_capacity(entries.len());
        for entry in entries {
            states.extend(entry.known_state().await);
        }
        states.sort_by(|a, b| a.id.cmp(&b.id));
        states
    }

    /// What a container uses now.
    pub async fn stats(&self, id: &ContainerId) -> Result<Stats, RuntimeError> {
        let entry = self.inner.running(id)?;
        blocking(id, move || entry.cgroup.stats()).await
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.inner.events.subscribe()
    }

    /// Removes cgroups below and including `path` (such as the instance's) that nothing is in any more; for the end of
    /// everything, after the containers are removed. Cgroups in use stay.
    pub async fn release_cgroups(&self, path: &str) {
        let _creating = self.inner.creating.write().await;
        let cgroup = self.inner.host.cgroups.cgroup(path);
        let shims = self.inner.host.cgroups.cgroup(&format!("{path}/shims"));
        let swept = tokio::task::spawn_blocking(move || {
            shims.remove_if_empty();
            cgroup.remove_empty_below();
        });
        // A cancelled sweep leaves empty directories, no more.
        swept.await.ok();
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        for entry in self.inner.lock().values() {
            entry.unfollow();
        }
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerId, Arc<Entry>>> {
        // Nothing that can panic happens under this lock.
        self.containers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn entry(&self, id: &ContainerId) -> Result<Arc<Entry>, RuntimeError> {
        self.lock().get(id).cloned().ok_or_else(|| RuntimeError::NotFound { id: id.to_string() })
    }

    fn running(&self, id: &ContainerId) -> Result<Arc<Entry>, RuntimeError> {
        let entry = self.entry(id)?;
        match *entry.phase.borrow() {
            Phase::Exited { .. } => Err(RuntimeError::NotRunning { id: id.to_string() }),
            _ => Ok(Arc::clone(&entry)),
        }
    }

    fn new_entry(&self, spec: &ContainerSpec, origin: Origin, phase: Phase) -> Arc<Entry> {
        Arc::new(Entry {
            id: spec.id.clone(),
            dir: ShimDir::new(&self.shims_dir, &spec.id),
            cgroup: self.host.cgroups.cgroup(&spec.cgroup_path),
            labels: spec.labels.clone(),
            stop_signal: spec.stop_signal,
            origin,
            phase: watch::Sender::new(phase),
            follower: Mutex::new(None),
        })
    }
}

impl Entry {
    fn unfollow(&self) {
        if let Some(task) = self.follower.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    /// Waits until the container runs or has ended.
    async fn started(&self) -> Phase {
        let mut phase = self.phase.subscribe();
        match phase.wait_for(|phase| *phase != Phase::Starting).await {
            Ok(phase) => phase.clone(),
            // The sender lives in `self`.
            Err(_) => Phase::Starting,
        }
    }

    async fn known_state(&self) -> Option<ContainerState> {
        // One that this engine is creating is not a container yet; an adopted one is about to be known.
        let phase = match self.origin {
            Origin::Created => self.phase.borrow().clone(),
            Origin::Adopted => tokio::time::timeout(REQUEST_TIMEOUT, self.started()).await.ok()?,
        };
        let (pid, started_at, status) = match phase {
            Phase::Starting => return None,
            Phase::Running(start) => (start.pid, start.started_at, Status::Running),
            Phase::Exited { start, exit, .. } => (
                start.as_ref().map_or(0, |start| start.pid),
                start.as_ref().map_or(exit.finished_at, |start| start.started_at),
                Status::Exited(exit),
            ),
        };
        Some(ContainerState { id: self.id.clone(), pid, status, started_at, labels: self.labels.clone() })
    }
}

/// Does what blocks on a thread made for it.
async fn blocking<T: Send + 'static>(
    id: &ContainerId,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RuntimeError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|source| RuntimeError::Cancelled { id: id.to_string(), source })
}

/// An error of a shim's socket.
fn shim_error(id: &ContainerId, source: io::Error) -> RuntimeError {
    RuntimeError::Shim { id: id.to_string(), source }
}
