//! Creating and starting the container, and turning whatever goes wrong into one message for a person.

use std::error::Error as _;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::error::LibcontainerError;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Gid, Pid, Uid, fchown, pipe2};

use super::executor::{self, NOT_STARTED};
use super::trace::Caught;
use crate::oci::HostFacts;
use crate::record::{Failure, ShimDir};
use crate::spec::ContainerSpec;

/// A container whose program runs.
pub(super) struct Created {
    /// Its first process.
    pub(super) pid: Pid,
    /// Reading ends of its standard output and error; reading does not block.
    pub(super) stdout: File,
    /// See `stdout`.
    pub(super) stderr: File,
}

/// Creates the container and starts its program.
pub(super) fn start(dir: &ShimDir, spec: &ContainerSpec, host: &HostFacts) -> Result<Created, Failure> {
    let caught = Caught::start().map_err(|error| not_started(&error))?;
    let (executor, verdict) = executor::confined(spec, host).map_err(|error| not_started(&error))?;
    let (stdout, stdout_writer) = stdio_pipe(spec).map_err(|error| not_started(&error))?;
    let (stderr, stderr_writer) = stdio_pipe(spec).map_err(|error| not_started(&error))?;
    let stdin = File::open("/dev/null").map_err(|error| not_started(&error))?;

    let built = ContainerBuilder::new(spec.id.to_string(), SyscallType::default())
        .with_executor(executor)
        .with_stdin(stdin)
        .with_stdout(stdout_writer)
        .with_stderr(stderr_writer)
        .with_root_path(dir.state())
        .and_then(ContainerBuilder::validate_id)
        .and_then(|builder| builder.as_init(dir.path()).with_systemd(false).with_detach(true).build());
    let mut container = match built {
        Ok(container) => container,
        Err(error) => return Err(verdict.wait().unwrap_or_else(|| explain(&error, caught))),
    };
    let Some(pid) = container.pid().map(|pid| Pid::from_raw(pid.as_raw())) else {
        return Err(Failure { message: "the container has no process".to_owned(), exit_code: NOT_STARTED });
    };
    adjust_oom_score(&pid.to_string(), spec.oom_score_adj);
    host.cgroups.cgroup(&spec.cgroup_path).tune_memory(spec.resources.memory_limit_bytes.is_some());
    let failure = match container.start() {
        Ok(()) => verdict.wait(),
        Err(error) => Some(explain(&error, caught)),
    };
    match failure {
        None => Ok(Created { pid, stdout, stderr }),
        Some(failure) => {
            // It may be gone already, and then has been waited for by no one else.
            kill(pid, Signal::SIGKILL).ok();
            waitpid(pid, None).ok();
            Err(failure)
        }
    }
}

/// A pipe the container's user may open again through `/dev/stdout`.
fn stdio_pipe(spec: &ContainerSpec) -> io::Result<(File, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fchown(&write, Some(Uid::from_raw(spec.user.uid)), Some(Gid::from_raw(spec.user.gid)))?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((File::from(read), write))
}

/// Makes a process a better or worse victim. Lowering needs a capability that root lacks on some hosts; then it stays as is.
pub(super) fn adjust_oom_score(process: &str, wanted: Option<i32>) {
    let Some(wanted) = wanted else { return };
    let path = format!("/proc/{process}/oom_score_adj");
    let write = |text: String| {
        use io::Write;
        fs::OpenOptions::new().write(true).open(&path)?.write_all(text.as_bytes())
    };
    let wanted = wanted.clamp(-1000, 1000);
    if let Err(error) = write(wanted.to_string()) {
        super::complain(&format!("oom_score_adj {wanted} is not allowed here: {error}"));
    }
}

fn not_started(error: &io::Error) -> Failure {
    Failure { message: error.to_string(), exit_code: NOT_STARTED }
}

/// The chain of errors, then the cause as traced.
pub(super) fn explain(error: &LibcontainerError, caught: Caught) -> Failure {
    let mut parts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(inner) = source {
        parts.push(inner.to_string());
        source = inner.source();
    }
    parts.extend(caught.first_lines());
    let mut kept: Vec<String> = Vec::new();
    for part in parts {
        if !kept.iter().any(|known| known.contains(&part)) {
            kept.push(part);
        }
    }
    Failure { message: kept.join(": "), exit_code: NOT_STARTED }
}
