//! What a container is asked to be: plain data, written into the shim directory so that a restarted engine reads it back.
//!
//! Nothing here touches the system. Invariants: an id is safe as a file name and as a cgroup name; paths inside the container
//! are absolute (checked in [`ContainerSpec::check`]); counts and sizes of everything a caller passes are bounded.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::SpecError;

/// Longest container id accepted; it becomes a directory and a cgroup name.
const MAX_ID_BYTES: usize = 128;
/// Most arguments, variables, mounts or labels one container may have.
const MAX_ITEMS: usize = 16_384;
/// Most bytes of arguments and environment together; the kernel's own limit is of the same order.
const MAX_COMMAND_BYTES: usize = 2 << 20;

/// Name of a container: `[a-z0-9-]`, 1 to 128 bytes, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

impl ContainerId {
    /// Checks and wraps an id.
    pub fn new(id: impl Into<String>) -> Result<Self, SpecError> {
        let id = id.into();
        let clean = id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if id.is_empty() || id.len() > MAX_ID_BYTES || !clean || id.starts_with('-') {
            return Err(SpecError::Id { id });
        }
        Ok(Self(id))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ContainerId {
    type Error = SpecError;

    fn try_from(id: String) -> Result<Self, SpecError> {
        Self::new(id)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

impl std::str::FromStr for ContainerId {
    type Err = SpecError;

    fn from_str(id: &str) -> Result<Self, SpecError> {
        Self::new(id)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Everything needed to create one container. The root filesystem is already mounted by the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Name, unique within the run directory.
    pub id: ContainerId,
    /// Mounted root filesystem on the host.
    pub rootfs: PathBuf,
    /// Program and arguments; a program without a slash is looked up in `PATH` inside the container.
    pub args: Vec<String>,
    /// `NAME=value` pairs; the last of a name wins.
    pub env: Vec<String>,
    /// Absolute working directory inside the container; empty means `/`.
    pub cwd: String,
    /// Who the program runs as.
    pub user: User,
    /// Host name inside the container; empty keeps what the UTS namespace has.
    pub hostname: String,
    /// Mounts on top of the default ones, in order.
    pub mounts: Vec<Mount>,
    /// Network namespace to join; `None` is the host's network.
    pub netns: Option<PathBuf>,
    /// IPC namespace to join instead of a new one (`/proc/1/ns/ipc` is the host's).
    #[serde(default)]
    pub share_ipc: Option<PathBuf>,
    /// UTS namespace to join instead of a new one.
    #[serde(default)]
    pub share_uts: Option<PathBuf>,
    /// PID namespace to join instead of a new one.
    #[serde(default)]
    pub share_pid: Option<PathBuf>,
    /// Absolute cgroup path below the cgroup mounts, used by this container alone.
    pub cgroup_path: String,
    /// Limits.
    pub resources: Resources,
    /// Privileges.
    pub security: Security,
    /// Where standard output and error go.
    pub log: LogSpec,
    /// Signal number that asks the program to stop; 15 unless the image says otherwise.
    #[serde(default = "default_stop_signal")]
    pub stop_signal: i32,
    /// Wanted `oom_score_adj`; clamped to what the host lets us set.
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
    /// Free-form facts of the caller, given back by [`crate::Runtime::list`].
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

fn default_stop_signal() -> i32 {
    15
}

/// Numeric user of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary group ids.
    pub additional_gids: Vec<u32>,
}

/// One mount inside the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Host path of a bind mount; ignored for tmpfs.
    pub source: PathBuf,
    /// Absolute path inside the container.
    pub destination: PathBuf,
    /// What is mounted.
    pub kind: MountKind,
    /// Whether writing through this mount is refused.
    pub read_only: bool,
}

/// Kinds of mounts a caller may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MountKind {
    /// A host file or directory.
    Bind,
    /// Memory of the container's own cgroup.
    Tmpfs {
        /// Limit in bytes; `None` is the kernel's default of half the memory.
        size: Option<u64>,
    },
}

/// Limits written to the cgroup; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Memory limit in bytes (swap included, so there is none).
    pub memory_limit_bytes: Option<i64>,
    /// CPU time per period, in microseconds.
    pub cpu_quota_us: Option<i64>,
    /// Length of the period, in microseconds.
    pub cpu_period_us: Option<u64>,
    /// Relative weight, 2 to 262144, 1024 is one CPU's worth.
    pub cpu_shares: Option<u64>,
    /// Most processes and threads.
    pub pids_limit: Option<i64>,
}

/// Privileges of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// Every capability and device of the host, nothing masked, no system call filter.
    pub privileged: bool,
    /// Whether the root filesystem is mounted read-only.
    pub read_only_rootfs: bool,
    /// Whether set-user-id programs gain nothing.
    pub no_new_privileges: bool,
    /// Capabilities on top of the default ones (`NET_ADMIN` or `CAP_NET_ADMIN`, `ALL`).
    pub add_capabilities: Vec<String>,
    /// Capabilities taken away; a name in both lists is dropped, `ALL` here and single names there keep only those.
    pub drop_capabilities: Vec<String>,
    /// System call filter.
    pub seccomp: Seccomp,
}

/// System call filter of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// The default deny list.
    #[default]
    RuntimeDefault,
    /// No filter.
    Unconfined,
}

/// Where the log goes. The files are in CRI format: `<RFC 3339 time> stdout|stderr F|P <text>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// Current log file; its directory exists. Older ones are `<path>.1` (youngest) to `<path>.<max_files - 1>`.
    pub path: PathBuf,
    /// Size in bytes after which a new file is begun; 0 never rotates.
    pub max_bytes: u64,
    /// Most files kept, the current one included; 0 and 1 keep only the current one.
    pub max_files: u32,
}

impl ContainerSpec {
    /// Refuses what cannot work or is out of bounds, naming the field.
    pub fn check(&self) -> Result<(), SpecError> {
        let command: usize = self.args.iter().chain(&self.env).map(String::len).sum();
        let counts = [self.args.len(), self.env.len(), self.mounts.len(), self.labels.len()];
        if self.args.is_empty() || self.args[0].is_empty() {
            return Err(self.invalid("args", "no program given"));
        }
        if command > MAX_COMMAND_BYTES || counts.iter().any(|&n| n > MAX_ITEMS) {
            return Err(self.invalid("args, env, mounts or labels", "too many or too long"));
        }
        if self.args.iter().chain(&self.env).any(|s| s.contains('\0')) {
            return Err(self.invalid("args or env", "contains a zero byte"));
        }
        if self.env.iter().any(|e| e.find('=').is_none_or(|at| at == 0)) {
            return Err(self.invalid("env", "entries are NAME=value"));
        }
        if !self.cwd.is_empty() && !self.cwd.starts_with('/') {
            return Err(self.invalid("cwd", "must be absolute"));
        }
        if !is_plain_absolute(Path::new(&self.cgroup_path)) {
            return Err(self.invalid("cgroup_path", "must be absolute, below the root and without `..`"));
        }
        for mount in &self.mounts {
            if !is_plain_absolute(&mount.destination) {
                return Err(
                    self.invalid("mounts", "destinations must be absolute, below the root and without `..`")
                );
            }
            if mount.kind == MountKind::Bind && !mount.source.is_absolute() {
                return Err(self.invalid("mounts", "sources of bind mounts must be absolute"));
            }
        }
        if !(1..=64).contains(&self.stop_signal) {
            return Err(self.invalid("stop_signal", "not a signal number"));
        }
        Ok(())
    }

    fn invalid(&self, field: &'static str, problem: &'static str) -> SpecError {
        SpecError::Field { id: self.id.to_string(), field, problem }
    }
}

/// Absolute, not the root itself, no `.` or `..`.
fn is_plain_absolute(path: &Path) -> bool {
    let mut parts = path.components();
    parts.next() == Some(Component::RootDir)
        && path.components().count() > 1
        && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Reads a signal as images and manifests write it: `SIGTERM`, `TERM` or `15`.
pub fn parse_signal(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let full = if name.starts_with("SIG") { name } else { format!("SIG{name}") };
    if let Some(offset) = full.strip_prefix("SIGRTMIN+") {
        return offset.parse::<i32>().ok().filter(|n| (0..=30).contains(n)).map(|n| 34 + n);
    }
    full.parse::<nix::sys::signal::Signal>().ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_as_file_and_cgroup_names() {
        for good in ["a", "0", "web-0-abc", "9f86d081884c7d65"] {
            assert!(ContainerId::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "A", "a/b", "..", "a.b", "a_b", "ä", &"x".repeat(129)] {
            assert!(ContainerId::new(bad).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<ContainerId>("\"../etc\"").is_err());
    }

    #[test]
    fn signals_are_read_as_images_write_them() {
        let table = [
            ("SIGTERM", Some(15)),
            ("TERM", Some(15)),
            ("quit", Some(3)),
            ("9", Some(9)),
            ("SIGRTMIN+3", Some(37)),
            ("0", None),
            ("65", None),
            ("-1", None),
            ("SIGNOPE", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(parse_signal(text), want, "{text}");
        }
    }

    #[test]
    fn paths_that_could_leave_their_place_are_refused() {
        for bad in ["", "/", "a", "/a/../b", "../a", "/a/.."] {
            assert!(!is_plain_absolute(Path::new(bad)), "{bad}");
        }
        assert!(is_plain_absolute(Path::new("/konzert/x/y")));
    }
}
