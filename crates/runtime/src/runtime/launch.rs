//! Starting a shim and waiting for what becomes of its container.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;
use std::sync::Arc;

use super::{Entry, Inner, Origin, Phase, RuntimeConfig, blocking, follow, remove};
use crate::error::RuntimeError;
use crate::observed::Started;
use crate::oci;
use crate::record::{Failure, ShimDir};
use crate::spec::{ContainerId, ContainerSpec};

/// Exit code of a start that failed for reasons of our own.
const NOT_STARTED: i32 = 128;
/// How much of a dead shim's error file goes into a message.
const MAX_LAST_WORDS: u64 = 2048;

pub(super) async fn create_and_start(
    inner: &Arc<Inner>,
    spec: &ContainerSpec,
) -> Result<Started, RuntimeError> {
    spec.check()?;
    let config = oci::runtime_spec(spec, &inner.host)?;
    let entry = inner.new_entry(spec, Origin::Created, Phase::Starting);
    {
        let mut containers = inner.lock();
        if containers.contains_key(&spec.id) {
            return Err(RuntimeError::AlreadyExists { id: spec.id.to_string() });
        }
        containers.insert(spec.id.clone(), Arc::clone(&entry));
    }
    let creating = inner.creating.read().await;
    let result = start_shim(inner, &entry, spec.clone(), config).await;
    let outcome = match result {
        Ok(()) => Ok(entry.started().await),
        Err(error) => Err(error),
    };
    drop(creating);
    let failed = match outcome {
        Ok(Phase::Running(start) | Phase::Exited { start: Some(start), .. }) => {
            return Ok(Started { pid: start.pid, started_at: start.started_at });
        }
        Ok(Phase::Exited { failure: Some(Failure { message, exit_code }), .. }) => {
            RuntimeError::StartFailed { id: spec.id.to_string(), message, exit_code }
        }
        Ok(Phase::Exited { .. } | Phase::Starting) => {
            let message = format!("the shim died: {}", last_words(&entry.dir));
            RuntimeError::StartFailed { id: spec.id.to_string(), message, exit_code: NOT_STARTED }
        }
        Err(error) => error,
    };
    // The reason for the failure matters more than one of cleaning up after it, which is tried again on the next start.
    if let Err(error) = remove::remove(inner, &spec.id).await {
        tracing::warn!(container = %spec.id, error = &error as &dyn std::error::Error, "cannot clean up a failed start");
    }
    Err(failed)
}

/// Writes the shim's directory, starts the shim and begins to follow it.
async fn start_shim(
    inner: &Arc<Inner>,
    entry: &Arc<Entry>,
    spec: ContainerSpec,
    config: oci_spec::runtime::Spec,
) -> Result<(), RuntimeError> {
    let dir = entry.dir.clone();
    let io_error = |source| RuntimeError::Io { action: "write", path: dir.path().to_owned(), source };
    let prepared = Arc::clone(entry);
    let listener = blocking(&entry.id, move || {
        prepared.dir.create()?;
        prepared.dir.write_spec(&spec)?;
        prepared.dir.write_config(&config)?;
        let (_held, path) = prepared.dir.socket()?;
        let listener = UnixListener::bind(path)?;
        let stream = follow::watch(&prepared)?;
        Ok::<_, io::Error>((listener, stream))
    });
    let (listener, stream): (UnixListener, UnixStream) = listener.await?.map_err(io_error)?;
    spawn(&inner.config, &entry.id, &dir, listener)?;
    follow::follow(entry, stream, inner.events.clone())
}

/// Starts the shim process. It becomes independent by itself; here it is only waited for, so that it leaves no zombie.
fn spawn(
    config: &RuntimeConfig,
    id: &ContainerId,
    dir: &ShimDir,
    listener: UnixListener,
) -> Result<(), RuntimeError> {
    let error = |source| RuntimeError::Spawn { id: id.to_string(), exe: config.shim_exe.clone(), source };
    let errors: File =
        OpenOptions::new().append(true).create(true).mode(0o600).open(dir.shim_log()).map_err(error)?;
    let mut shim = tokio::process::Command::new(&config.shim_exe)
        .args(&config.shim_args)
        .arg("run")
        .arg(dir.path())
        // libcontainer trusts its environment in places, and the engine's may hold secrets.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::from(errors))
        .spawn()
        .map_err(error)?;
    tokio::spawn(async move {
        // Its exit is told over its socket; the status of the process adds nothing.
        shim.wait().await.ok();
    });
    Ok(())
}

/// What a shim wrote before it died.
fn last_words(dir: &ShimDir) -> String {
    let mut text = String::new();
    let read =
        File::open(dir.shim_log()).and_then(|file| file.take(MAX_LAST_WORDS).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().replace('\n', "; "),
        _ => "it left no message".to_owned(),
    }
}
