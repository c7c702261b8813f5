//! What the machine is, so that figures can be compared.

use std::path::Path;

use serde::Serialize;

/// The machine the figures are from.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_mib: u64,
    kernel: String,
    /// The file system below the measured directories.
    file_system: String,
    /// Other work on the machine disturbs a measurement; this is the load average of the last minute at the start.
    load: String,
}

/// Describes this machine.
pub(crate) fn describe() -> Machine {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory_kib: u64 = memory.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or_default();
    Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name"),
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        memory_mib: memory_kib >> 10,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        file_system: file_system(&std::env::temp_dir()),
        load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
    }
}

/// Type of the file system that a directory is on.
fn file_system(dir: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let longest = mounts
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            Some((words.next()?, words.next()?))
        })
        .filter(|(point, _)| dir.starts_with(point))
        .max_by_key(|(point, _)| point.len());
    longest.map_or_else(|| "unknown".to_owned(), |(_, kind)| kind.to_owned())
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, {} cores, {} MiB, Linux {}, {}; load at the start {}",
            self.cpu, self.cores, self.memory_mib, self.kernel, self.file_system, self.load
        )
    }
}
