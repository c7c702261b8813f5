//! Following a container through its shim's socket, from the start to the exit, and adopting those of an earlier engine.

use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::sync::broadcast;

use super::{Entry, Inner, Origin, Phase, blocking, client};
use crate::error::RuntimeError;
use crate::observed::{Exit, RuntimeEvent};
use crate::protocol::{self, Reply, Request};
use crate::record::ExitRecord;
use crate::spec::ContainerId;

/// Exit code of a container whose end nobody saw.
const UNSEEN: i32 = 255;

/// Takes over a container found in the run directory.
pub(super) fn adopt(inner: &Arc<Inner>, id: ContainerId) -> Result<(), RuntimeError> {
    let dir = crate::record::ShimDir::new(&inner.shims_dir, &id);
    let Ok(spec) = dir.read_spec() else {
        // The specification is written before anything is started, so nothing was.
        tracing::warn!(container = %id, "removing a half-made shim directory");
        return fs::remove_dir_all(dir.path()).map_err(|source| RuntimeError::Io {
            action: "remove",
            path: dir.path().to_owned(),
            source,
        });
    };
    let start = dir.read_start();
    let phase = match (dir.read_exit(), &start) {
        (Some(record), _) => Phase::Exited { start, exit: record.exit, failure: record.failure },
        (None, Some(start)) => Phase::Running(start.clone()),
        (None, None) => Phase::Starting,
    };
    let ended = matches!(phase, Phase::Exited { .. });
    let entry = inner.new_entry(&spec, Origin::Adopted, phase);
    inner.lock().insert(id, Arc::clone(&entry));
    if ended {
        return Ok(());
    }
    if let Ok(stream) = watch(&entry) {
        return follow(&entry, stream, inner.events.clone());
    }
    let (exit, failure) = close_unseen(&entry);
    let start = entry.dir.read_start();
    entry.phase.send_replace(Phase::Exited { start, exit, failure });
    Ok(())
}

/// Connects and asks to be told; does not wait for an answer.
pub(super) fn watch(entry: &Entry) -> io::Result<StdStream> {
    let mut stream = client::connect(&entry.dir)?;
    stream.write_all(&protocol::line(&Request::Watch))?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Starts a task that moves the container's phase along with what the shim says.
pub(super) fn follow(
    entry: &Arc<Entry>,
    stream: StdStream,
    events: broadcast::Sender<RuntimeEvent>,
) -> Result<(), RuntimeError> {
    let stream = UnixStream::from_std(stream).map_err(|error| super::shim_error(&entry.id, error))?;
    let followed = Arc::clone(entry);
    let task = tokio::spawn(async move { follow_to_end(&followed, stream, &events).await });
    *entry.follower.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.abort_handle());
    Ok(())
}

async fn follow_to_end(entry: &Arc<Entry>, stream: UnixStream, events: &broadcast::Sender<RuntimeEvent>) {
    let mut stream = BufReader::new(stream);
    let (exit, failure) = loop {
        match client::read_reply(&mut stream).await {
            Ok(Some(Reply::Running(start))) => {
                entry.phase.send_replace(Phase::Running(start));
            }
            Ok(Some(Reply::Exited(exit))) => break (exit, None),
            Ok(Some(Reply::Failed(failure))) => {
                let finished_at = Timestamp::now();
                let exit = Exit { code: failure.exit_code, signal: None, oom_killed: false, finished_at };
                break (exit, Some(failure));
            }
            // Anything else, and silence, means that the shim is no longer there to trust.
            _ => {
                let dead = Arc::clone(entry);
                match blocking(&entry.id, move || close_unseen(&dead)).await {
                    Ok(end) => break end,
                    // The runtime is shutting down; the next one will find the container.
                    Err(_) => return,
                }
            }
        }
    };
    let start = entry.dir.read_start();
    entry.phase.send_replace(Phase::Exited { start, exit: exit.clone(), failure: failure.clone() });
    if failure.is_none() {
        // Without receivers there is no one to tell.
        events.send(RuntimeEvent::Exited { id: entry.id.clone(), exit }).ok();
    }
}

/// Ends a container whose shim is gone: kills what is left of it and records the exit, unless the shim did that last.
fn close_unseen(entry: &Entry) -> (Exit, Option<crate::record::Failure>) {
    let left = entry.cgroup.kill_all();
    if left > 0 {
        tracing::warn!(container = %entry.id, left, "processes of a container without a shim survive SIGKILL");
    }
    if let Some(record) = entry.dir.read_exit() {
        return (record.exit, record.failure);
    }
    let killed_for_memory = entry.cgroup.oom_kills() > 0;
    let finished_at = Timestamp::now();
    let exit = Exit { code: UNSEEN, signal: None, oom_killed: killed_for_memory, finished_at };
    if let Err(error) = entry.dir.write_exit(&ExitRecord { exit: exit.clone(), failure: None }) {
        // Its directory may be on its way out with the container.
        tracing::debug!(container = %entry.id, %error, "no exit record written");
    }
    (exit, None)
}
