//! Taking a container away, whatever state it is in: processes first, then cgroups, then files.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Entry, Inner, Phase, blocking};
use crate::cgroup::{Cgroup, shim_cgroup};
use crate::error::RuntimeError;
use crate::record::ShimDir;
use crate::spec::ContainerId;

/// How long a shim may take to notice that its container is dead, before it is killed too.
const SHIM_PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn remove(inner: &Arc<Inner>, id: &ContainerId) -> Result<(), RuntimeError> {
    let Ok(entry) = inner.entry(id) else { return Ok(()) };
    if !matches!(*entry.phase.borrow(), Phase::Exited { .. }) {
        kill_and_wait(&entry).await?;
    }
    entry.unfollow();
    let removed = Arc::clone(&entry);
    blocking(id, move || clear(&removed)).await??;
    inner.lock().remove(id);
    // Parents that are empty now; not while someone is creating a container below them.
    if let Ok(_alone) = inner.creating.try_write() {
        let parents: Vec<Cgroup> = empty_candidates(entry.cgroup.path())
            .iter()
            .map(|path| inner.host.cgroups.cgroup(path))
            .collect();
        blocking(id, move || parents.iter().for_each(Cgroup::remove_if_empty)).await?;
    }
    Ok(())
}

/// Kills what runs and lets the shim record it; a shim that does not is killed as well.
async fn kill_and_wait(entry: &Arc<Entry>) -> Result<(), RuntimeError> {
    let killed = Arc::clone(entry);
    blocking(&entry.id, move || killed.cgroup.kill_all()).await?;
    let mut phase = entry.phase.subscribe();
    let ended = phase.wait_for(|phase| matches!(phase, Phase::Exited { .. }));
    let followed = entry.follower.lock().is_ok_and(|follower| follower.is_some());
    if followed && tokio::time::timeout(SHIM_PATIENCE, ended).await.is_err() {
        let stuck = Arc::clone(entry);
        blocking(&entry.id, move || kill_shim(&stuck.dir)).await?;
    }
    Ok(())
}

/// Kills the shim of a directory if its process still is that shim.
fn kill_shim(dir: &ShimDir) {
    let Some(start) = dir.read_start() else { return };
    let command = fs::read(format!("/proc/{}/cmdline", start.shim_pid)).unwrap_or_default();
    let own = dir.path().as_os_str().as_encoded_bytes();
    if command.split(|byte| *byte == 0).any(|arg| arg == own) {
        // Gone in the meantime is as good as killed.
        kill(Pid::from_raw(start.shim_pid.cast_signed()), Signal::SIGKILL).ok();
    }
}

fn clear(entry: &Entry) -> Result<(), RuntimeError> {
    let left = entry.cgroup.kill_all();
    if left > 0 {
        let cgroup = entry.cgroup.path().to_owned();
        return Err(RuntimeError::Unkillable { id: entry.id.to_string(), cgroup, left });
    }
    let io_error = |action, path: &Path, source| RuntimeError::Io { action, path: path.to_owned(), source };
    entry
        .cgroup
        .remove()
        .map_err(|source| io_error("remove the cgroup", Path::new(entry.cgroup.path()), source))?;
    match fs::remove_dir_all(entry.dir.path()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_error("remove", entry.dir.path(), error)),
    }
}

/// Cgroups above a container's that may be empty without it, deepest first. The topmost stays: other engines share it.
fn empty_candidates(container: &str) -> Vec<String> {
    let mut found = vec![shim_cgroup(container)];
    let mut path = Path::new(container);
    while let Some(parent) = path.parent() {
        if parent.components().count() > 2 {
            found.extend(parent.to_str().map(str::to_owned));
        }
        path = parent;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_cgroup_is_left_alone() {
        assert_eq!(
            empty_candidates("/konzert/0123/pod1/c1"),
            ["/konzert/0123/shims", "/konzert/0123/pod1", "/konzert/0123"]
        );
        assert_eq!(empty_candidates("/top/c1"), ["/top/shims"]);
    }
}
