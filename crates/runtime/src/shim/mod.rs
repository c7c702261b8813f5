//! The shim: the process beside every container. Single-threaded, no async runtime, few and small allocations.
//!
//! `run <dir>` creates the container described in the directory and serves it until it has ended; `exec <dir> …` is its helper
//! for one program inside the container, a process of its own so that nothing it waits for can hold up the shim.

mod create;
mod exec;
mod executor;
mod log;
mod serve;
mod trace;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use crate::capabilities::CapabilityBits;
use crate::cgroup::Layout;
use crate::oci::HostFacts;
use crate::record::ShimDir;

/// Entry point of the shim. `args` are the arguments after those of [`crate::RuntimeConfig::shim_args`].
///
/// To be called first thing in `main`, before threads or an async runtime exist.
pub fn shim_main(args: &[OsString]) -> ExitCode {
    // What containers start with everywhere, whatever the engine was started with.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let result = match args {
        [verb, dir] if verb == "run" => serve::run(&ShimDir::at(PathBuf::from(dir)), args.len()),
        [verb, dir, timeout, limit, program @ ..] if verb == "exec" => {
            exec::run(&ShimDir::at(PathBuf::from(dir)), timeout, limit, program)
        }
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not meant to be called by hand")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error}"));
            ExitCode::FAILURE
        }
    }
}

/// Largest error file of a shim; it may live for years.
const MAX_ERROR_BYTES: i64 = 64 << 10;

/// Leaves a line in the shim's error file, unless that is full.
fn complain(text: &str) {
    if rustix::fs::fstat(io::stderr()).is_ok_and(|stat| stat.st_size > MAX_ERROR_BYTES) {
        return;
    }
    // There is nowhere to report that reporting failed.
    writeln!(io::stderr(), "{} shim: {text}", jiff::Timestamp::now()).ok();
}

impl HostFacts {
    /// Looks at this host.
    pub(crate) fn detect() -> io::Result<Self> {
        let cgroups = Layout::detect()?;
        let own = rustix::thread::capabilities(None)?;
        Ok(Self {
            swap_limit: cgroups.has_v1_swap_limit(),
            cgroups,
            capabilities: CapabilityBits(own.permitted.bits()).and(CapabilityBits::EVERY),
        })
    }
}
