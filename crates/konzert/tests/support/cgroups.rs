//! What runs in the control groups of an engine, read from the kernel and not from the engine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::process::Process;

const ROOT: &str = "/sys/fs/cgroup";

/// The directories of an engine in every hierarchy that has them.
pub(crate) fn of_instance(instance: &str) -> Vec<PathBuf> {
    let mut hierarchies = vec![PathBuf::from(ROOT)];
    hierarchies.extend(directories(Path::new(ROOT)));
    let found = hierarchies.into_iter().map(|hierarchy| hierarchy.join("konzert").join(instance));
    found.filter(|dir| dir.is_dir()).collect()
}

/// Processes of the containers of one pod.
pub(crate) fn processes_of_pod(instance: &str, uid: &str) -> BTreeSet<Process> {
    let pods = of_instance(instance).into_iter().map(|dir| dir.join(format!("pod{uid}")));
    pods.flat_map(|dir| processes_below(&dir)).filter_map(Process::of).collect()
}

/// Processes of all containers.
pub(crate) fn processes_of_instance(instance: &str) -> BTreeSet<Process> {
    of_instance(instance).iter().flat_map(|dir| processes_below(dir)).filter_map(Process::of).collect()
}

fn processes_below(dir: &Path) -> Vec<i32> {
    let listed = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut found: Vec<i32> = listed.lines().filter_map(|pid| pid.parse().ok()).collect();
    found.extend(directories(dir).iter().flat_map(|below| processes_below(below)));
    found
}

fn directories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let real = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(real).map(|entry| entry.path()).collect()
}
