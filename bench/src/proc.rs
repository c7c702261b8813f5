//! What the kernel knows of a process: memory, CPU time, bytes written.

use std::time::Duration;

use crate::numbers::float;
use crate::support::process;

/// Resident memory and proportional share, in MiB.
pub(crate) fn memory_mib(pid: i32) -> Option<(f64, f64)> {
    let rss = kib(&format!("/proc/{pid}/status"), "VmRSS:")?;
    let pss = kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")?;
    Some((float(rss) / 1024.0, float(pss) / 1024.0))
}

/// The most resident memory that this process has had, in MiB.
pub(crate) fn own_peak_mib() -> Option<f64> {
    Some(float(kib("/proc/self/status", "VmHWM:")?) / 1024.0)
}

/// CPU time of all threads, living and ended; the kernel counts in ticks of 10 ms.
pub(crate) fn cpu_time(pid: i32) -> Option<Duration> {
    let fields = process::stat(pid)?;
    let ticks = |at: usize| fields.get(at).and_then(|n| n.parse::<u64>().ok());
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten()?;
    let per_second = u64::try_from(per_second).ok()?;
    // User and system time are the fields 14 and 15 of the file; the list starts at the third.
    Some(Duration::from_millis((ticks(11)? + ticks(12)?) * 1000 / per_second))
}

/// Bytes that the process caused to be written to disks.
pub(crate) fn written_bytes(pid: i32) -> Option<u64> {
    number(&format!("/proc/{pid}/io"), "write_bytes:")
}

fn kib(path: &str, field: &str) -> Option<u64> {
    number(path, field)
}

fn number(path: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.split_whitespace().next()?.parse().ok()
}

/// The command line of a process.
pub(crate) fn arguments(pid: i32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}
