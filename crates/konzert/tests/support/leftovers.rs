//! What an engine left on the machine although it was purged: all of it, so that one failure shows everything.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::cgroups;
use super::netns::NetNs;

/// The short name of the engine on a data directory, which its control groups and its run directory carry.
pub(crate) fn instance_of(canonical_data_dir: &Path) -> String {
    hex::encode(&Sha256::digest(canonical_data_dir.as_os_str().as_encoded_bytes())[..6])
}

/// Control groups, run directory and mounts of the engine that had this data directory, and the directory itself.
pub(crate) fn of_data_dir(data: &Path) -> Vec<String> {
    let instance = instance_of(data);
    let mut found: Vec<String> =
        cgroups::of_instance(&instance).iter().map(|dir| format!("cgroup {}", dir.display())).collect();
    let run_dir = Path::new("/run/konzert").join(&instance);
    for dir in [data, &run_dir] {
        if dir.exists() {
            found.push(format!("directory {}: {:?}", dir.display(), files(dir)));
        }
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let ours = |line: &&str| line.contains(&*data.to_string_lossy()) || line.contains(&instance);
    found.extend(mounts.lines().filter(ours).map(|line| format!("mount {line}")));
    found
}

/// Processes, interfaces and routes in an engine's network namespace.
pub(crate) fn of_network(net: &NetNs) -> Vec<String> {
    let shown = |pid: &i32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        format!("process {pid} {}", String::from_utf8_lossy(&line).replace('\0', " "))
    };
    let mut found: Vec<String> = net.processes().iter().map(shown).collect();
    found.extend(
        net.interfaces().into_iter().filter(|name| name != "lo").map(|name| format!("interface {name}")),
    );
    let routes = net.run(|| std::fs::read_to_string("/proc/thread-self/net/route").unwrap());
    found.extend(routes.lines().skip(1).map(|line| format!("route {line}")));
    found
}

/// Every file below a directory, as paths relative to it, sorted.
pub(crate) fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&next) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push(path);
            } else {
                found.push(path.strip_prefix(dir).unwrap().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
