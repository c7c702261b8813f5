//! What a container was seen to do: the answers of [`crate::Runtime`], as plain data.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::spec::ContainerId;

/// A container's program was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Host PID of its first process.
    pub pid: u32,
    /// When.
    pub started_at: Timestamp,
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code; 128 + signal if a signal ended it; 255 if nobody was there to see.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel killed in it for lack of memory and that ended it.
    pub oom_killed: bool,
    /// When.
    pub finished_at: Timestamp,
}

/// What a container is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its program runs.
    Running,
    /// It has ended; its record stays until it is removed.
    Exited(Exit),
}

/// One container as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    /// Its name.
    pub id: ContainerId,
    /// Host PID of its first process; 0 if it never ran.
    pub pid: u32,
    /// What it is doing.
    pub status: Status,
    /// When its program was started; if it never was, when that was given up.
    pub started_at: Timestamp,
    /// As given when it was created.
    pub labels: BTreeMap<String, String>,
}

/// Something happened to a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// It has ended.
    Exited {
        /// Which.
        id: ContainerId,
        /// How.
        exit: Exit,
    },
}

/// A program to run inside a running container, as its user, in its namespaces and cgroup and with its privileges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments; no shell is involved.
    pub args: Vec<String>,
    /// When it is killed.
    pub timeout: Duration,
    /// How many bytes of its output to keep, at most 16 MiB; the rest is read and thrown away.
    pub output_limit_bytes: usize,
}

/// How an executed program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecExit {
    /// By itself, with this exit code; 128 + signal if a signal ended it.
    Code(i32),
    /// It was killed because its time was up.
    TimedOut,
}

/// What came of an [`ExecRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutcome {
    /// How it ended.
    pub exit: ExecExit,
    /// Standard output and error, in the order they were written.
    pub output: Vec<u8>,
    /// Whether output was thrown away.
    pub truncated: bool,
}

/// What a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Working set in bytes.
    pub memory_bytes: u64,
    /// CPU time used so far, in microseconds.
    pub cpu_usec: u64,
    /// Processes and threads.
    pub pids: u64,
}
