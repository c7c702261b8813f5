//! Cgroups as directories: where a container's are, what they say, killing all in them, taking them away.
//!
//! Creating them and writing limits is libcontainer's part. Both layouts are served: version 2 alone, and version 1 (also with
//! an empty unified hierarchy beside it). Nothing here sleeps without a bound.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::observed::Stats;

/// Where the hierarchies are mounted on every distribution, and the only place libcontainer looks.
const ROOT: &str = "/sys/fs/cgroup";
/// How deep below a container's cgroup its own cgroups are followed.
const MAX_DEPTH: usize = 16;
/// Rounds of killing or removing, and the pause between them: five seconds in all.
const ROUNDS: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// Which hierarchies this host has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One unified hierarchy.
    V2,
    /// One hierarchy per controller; mount points by their last name.
    V1 {
        /// Names below [`ROOT`], such as `memory` or `cpu,cpuacct`, and `unified` if that is there.
        mounts: Vec<String>,
    },
}

impl Layout {
    /// Looks at the mounts of this process.
    pub(crate) fn detect() -> io::Result<Self> {
        Self::from_mountinfo(&fs::read_to_string("/proc/self/mountinfo")?).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, "no cgroup hierarchy is mounted on /sys/fs/cgroup")
        })
    }

    fn from_mountinfo(text: &str) -> Option<Self> {
        let mut mounts = Vec::new();
        for line in text.lines() {
            let Some((left, right)) = line.split_once(" - ") else { continue };
            let kind = right.split(' ').next().unwrap_or_default();
            let point = Path::new(left.split(' ').nth(4).unwrap_or_default());
            if kind == "cgroup2" && point == Path::new(ROOT) {
                return Some(Self::V2);
            }
            let name = point.strip_prefix(ROOT).ok().and_then(Path::to_str);
            if let Some(name) = name.filter(|name| kind.starts_with("cgroup") && !name.is_empty()) {
                mounts.push(name.to_owned());
            }
        }
        mounts.sort();
        mounts.dedup();
        (!mounts.is_empty()).then_some(Self::V1 { mounts })
    }

    /// Whether a device cgroup keeps containers from the host's devices. On version 2 that would be a BPF program, which
    /// libcontainer attaches only with a feature that needs system libraries.
    pub(crate) fn confines_devices(&self) -> bool {
        matches!(self, Self::V1 { mounts } if mounts.iter().any(|name| name == "devices"))
    }

    /// Names of the version 1 mounts, none on version 2.
    pub(crate) fn v1_mount_names(&self) -> &[String] {
        match self {
            Self::V2 => &[],
            Self::V1 { mounts } => mounts,
        }
    }

    /// Whether a memory limit can also cover swap through `memory.memsw`.
    pub(crate) fn has_v1_swap_limit(&self) -> bool {
        *self != Self::V2 && Path::new(ROOT).join("memory/memory.memsw.limit_in_bytes").exists()
    }

    /// The cgroup of the given absolute path in every hierarchy.
    pub(crate) fn cgroup(&self, path: &str) -> Cgroup {
        let relative = path.trim_start_matches('/');
        let dirs = match self {
            Self::V2 => vec![Path::new(ROOT).join(relative)],
            Self::V1 { mounts } => {
                mounts.iter().map(|name| Path::new(ROOT).join(name).join(relative)).collect()
            }
        };
        Cgroup { path: path.to_owned(), dirs }
    }

    /// Moves the calling process out of the cgroups of whoever started it, so that stopping that one's service does not stop
    /// this process. Hierarchies where it sits in the root already are left alone: each move waits for the kernel.
    pub(crate) fn leave_parent(&self, to: &str) -> io::Result<()> {
        let current = fs::read_to_string("/proc/self/cgroup")?;
        for dir in foreign_hierarchies(self, &current) {
            let target = dir.join(to.trim_start_matches('/'));
            fs::create_dir_all(&target)?;
            inherit_cpuset(&dir, &target)?;
            write_file(&target.join("cgroup.procs"), "0")?;
        }
        Ok(())
    }
}

/// Mount points of the hierarchies in which `/proc/self/cgroup` does not say `/`.
fn foreign_hierarchies(layout: &Layout, proc_cgroup: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in proc_cgroup.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        if path == "/" {
            continue;
        }
        let name = match (layout, controllers) {
            (Layout::V2, "") => String::new(),
            (Layout::V2, _) => continue,
            (Layout::V1 { .. }, "") => "unified".to_owned(),
            (Layout::V1 { .. }, controllers) => controllers.trim_start_matches("name=").to_owned(),
        };
        if *layout == Layout::V2 || layout.v1_mount_names().contains(&name) {
            found.push(Path::new(ROOT).join(name));
        }
    }
    found
}

/// A version 1 cpuset takes no process before it has processors and memory nodes.
fn inherit_cpuset(mount: &Path, target: &Path) -> io::Result<()> {
    let Ok(below) = target.strip_prefix(mount) else { return Ok(()) };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let Ok(mut inherited) = fs::read_to_string(mount.join(file)) else { return Ok(()) };
        let mut at = mount.to_owned();
        for part in below.components() {
            at.push(part);
            let own = fs::read_to_string(at.join(file))?;
            if own.trim().is_empty() {
                write_file(&at.join(file), inherited.trim())?;
            } else {
                inherited = own;
            }
        }
    }
    Ok(())
}

/// Path of the cgroup for shims: beside the pods, so that no limit of a container counts for its shim.
pub(crate) fn shim_cgroup(container: &str) -> String {
    let parts: Vec<&str> = container.split('/').filter(|part| !part.is_empty()).collect();
    let keep = parts.len().saturating_sub(2).max(1);
    format!("/{}/shims", parts[..keep.min(parts.len())].join("/"))
}

/// Writes to a file of the kernel, which is there already.
fn write_file(path: &Path, text: &str) -> io::Result<()> {
    use io::Write;
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// One cgroup, in as many hierarchies as there are.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    path: String,
    dirs: Vec<PathBuf>,
}

impl Cgroup {
    /// Its path below the mounts.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Every process in it and below it.
    pub(crate) fn processes(&self) -> Vec<i32> {
        let mut all = Vec::new();
        for dir in &self.dirs {
            collect_processes(dir, 0, &mut all);
        }
        all.sort_unstable();
        all.dedup();
        // Zero is how the kernel shows processes of a foreign PID namespace; killing it would be killing ourselves.
        all.retain(|pid| *pid > 1);
        all
    }

    /// Sends SIGKILL to all of it once. Returns how many processes there were.
    pub(crate) fn kill_once(&self) -> usize {
        for dir in &self.dirs {
            // Not there on version 1 and before Linux 5.14: then the list below does it.
            write_file(&dir.join("cgroup.kill"), "1").ok();
        }
        let processes = self.processes();
        for pid in &processes {
            // A process that is gone already is what we want.
            kill(Pid::from_raw(*pid), Signal::SIGKILL).ok();
        }
        processes.len()
    }

    /// Kills until nothing is left; returns how many processes remain after the patience is used up.
    pub(crate) fn kill_all(&self) -> usize {
        for _ in 0..ROUNDS {
            if self.kill_once() == 0 {
                return 0;
            }
            thread::sleep(PAUSE);
        }
        self.processes().len()
    }

    /// Removes its directories, deepest first, in every hierarchy.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for dir in &self.dirs {
            remove_tree(dir, 0)?;
        }
        Ok(())
    }

    /// Removes its directories where nothing is in them any more; whatever is still in use stays.
    pub(crate) fn remove_if_empty(&self) {
        for dir in &self.dirs {
            // In use, or removed by another container's end: both are fine.
            fs::remove_dir(dir).ok();
        }
    }

    /// Removes what is empty below it, then itself if it is empty.
    pub(crate) fn remove_empty_below(&self) {
        for dir in &self.dirs {
            remove_empty_tree(dir, 0);
        }
    }

    /// How many processes the kernel has killed in it for lack of memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let count = |file: &str| self.keyed_value(file, "oom_kill");
        count("memory.events").or_else(|| count("memory.oom_control")).unwrap_or(0)
    }

    /// What it uses now.
    pub(crate) fn stats(&self) -> Stats {
        let cpu_v2 = self.keyed_value("cpu.stat", "usage_usec");
        let cpu_v1 = || self.value("cpuacct.usage").map(|nanoseconds| nanoseconds / 1000);
        Stats {
            memory_bytes: self.working_set(),
            cpu_usec: cpu_v2.or_else(cpu_v1).unwrap_or(0),
            pids: self.value("pids.current").unwrap_or_else(|| self.processes().len() as u64),
        }
    }

    /// Memory in use without file pages that have not been touched for long: what Kubernetes calls the working set.
    fn working_set(&self) -> u64 {
        let used = self.value("memory.current").or_else(|| self.value("memory.usage_in_bytes")).unwrap_or(0);
        let inactive = self
            .keyed_value("memory.stat", "total_inactive_file")
            .or_else(|| self.keyed_value("memory.stat", "inactive_file"))
            .unwrap_or(0);
        used.saturating_sub(inactive)
    }

    /// On version 2: one killed process takes the container along, and memory limits leave no swap. Files that are not there
    /// are left out; version 1 has neither.
    pub(crate) fn tune_memory(&self, limited: bool) {
        for dir in &self.dirs {
            write_file(&dir.join("memory.oom.group"), "1").ok();
            if limited {
                write_file(&dir.join("memory.swap.max"), "0").ok();
            }
        }
    }

    fn read(&self, file: &str) -> Option<String> {
        self.dirs.iter().find_map(|dir| fs::read_to_string(dir.join(file)).ok())
    }

    fn value(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    fn keyed_value(&self, file: &str, key: &str) -> Option<u64> {
        keyed_value(&self.read(file)?, key)
    }
}

fn keyed_value(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok())
}

fn collect_processes(dir: &Path, depth: usize, into: &mut Vec<i32>) {
    let Ok(text) = fs::read_to_string(dir.join("cgroup.procs")) else { return };
    into.extend(text.lines().filter_map(|line| line.trim().parse::<i32>().ok()));
    if depth < MAX_DEPTH {
        for child in child_dirs(dir) {
            collect_processes(&child, depth + 1, into);
        }
    }
}

fn child_dirs(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_dir).map(|entry| entry.path()).collect()
}

fn remove_empty_tree(dir: &Path, depth: usize) {
    if depth < MAX_DEPTH {
        for child in child_dirs(dir) {
            remove_empty_tree(&child, depth + 1);
        }
    }
    // The kernel refuses what is in use, which is what we want.
    fs::remove_dir(dir).ok();
}

fn remove_tree(dir: &Path, depth: usize) -> io::Result<()> {
    if depth < MAX_DEPTH {
        for child in child_dirs(dir) {
            remove_tree(&child, depth + 1)?;
        }
    }
    for _ in 0..ROUNDS {
        match fs::remove_dir(dir) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            // The kernel lets go of a dead process's cgroup a moment after the process is gone.
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    fs::remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        31 30 0:27 / /sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n\
        32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
        34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        35 24 0:31 / /mnt/other rw - cgroup cgroup rw,pids\n";

    #[test]
    fn layouts_are_read_from_the_mount_table() {
        let Some(Layout::V1 { mounts }) = Layout::from_mountinfo(HYBRID) else { panic!("version 1") };
        assert_eq!(mounts, ["cpu,cpuacct", "memory", "systemd", "unified"]);
        let unified = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Layout::from_mountinfo(unified), Some(Layout::V2));
        assert_eq!(Layout::from_mountinfo("1 1 0:1 / / rw - ext4 /dev/vda rw\n"), None);
    }

    #[test]
    fn only_hierarchies_with_a_parent_s_cgroup_are_left() {
        let layout = Layout::from_mountinfo(HYBRID).unwrap();
        let own = "9:name=systemd:/system.slice/x.service\n8:pids:/\n4:memory:/a/b\n2:cpu,cpuacct:/\n0::/a\n";
        let names: Vec<_> = foreign_hierarchies(&layout, own).into_iter().collect();
        assert_eq!(names, ["systemd", "memory", "unified"].map(|name| Path::new(ROOT).join(name)));
        assert_eq!(foreign_hierarchies(&Layout::V2, "0::/user.slice\n"), [Path::new(ROOT).join("")]);
        assert!(foreign_hierarchies(&Layout::V2, "0::/\n").is_empty());
    }

    #[test]
    fn keyed_values_match_whole_keys() {
        let text = "oom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(keyed_value(text, "oom_kill"), Some(2));
        assert_eq!(keyed_value("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n", "oom_kill"), Some(7));
        assert_eq!(keyed_value(text, "kill"), None);
    }

    #[test]
    fn shims_live_beside_the_pods() {
        let table = [
            ("/konzert/0123/pod1/c1", "/konzert/0123/shims"),
            ("/konzert-test/pod/c1", "/konzert-test/shims"),
            ("/a/b", "/a/shims"),
            ("/a", "/a/shims"),
        ];
        for (container, want) in table {
            assert_eq!(shim_cgroup(container), want);
        }
    }
}
