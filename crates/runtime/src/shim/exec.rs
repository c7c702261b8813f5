//! One program inside a running container: started, watched and reported by a short-lived helper process.
//!
//! Standard input is the connection of whoever asked; the helper answers there itself. Invariants: it ends within the time
//! given and a little more, whatever libcontainer or the program does (an alarm sees to that); it keeps no more output than
//! asked for; if the asker goes away, the program is killed.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use libcontainer::container::builder::ContainerBuilder;
use libcontainer::syscall::syscall::SyscallType;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, fchown, pipe2};

use super::create::{adjust_oom_score, explain};
use super::executor;
use super::trace::Caught;
use crate::oci::{self, HostFacts};
use crate::protocol::{self, Reply};
use crate::record::{Failure, ShimDir};
use crate::spec::ContainerSpec;

/// Patience beyond the program's own time, for entering the container.
const SETUP_SECONDS: u32 = 10;
/// Longest time a program may be given.
const MAX_TIMEOUT: Duration = Duration::from_hours(24);

/// Runs a program and answers on standard input.
pub(super) fn run(dir: &ShimDir, timeout: &OsStr, limit: &OsStr, program: &[OsString]) -> io::Result<()> {
    let bad = || io::Error::from(io::ErrorKind::InvalidInput);
    let timeout = Duration::from_millis(timeout.to_str().and_then(|text| text.parse().ok()).ok_or_else(bad)?);
    let timeout = timeout.min(MAX_TIMEOUT);
    let limit: usize = limit.to_str().and_then(|text| text.parse().ok()).ok_or_else(bad)?;
    let args: Vec<String> = program
        .iter()
        .map(|arg| arg.to_str().map(str::to_owned).ok_or_else(bad))
        .collect::<Result<_, _>>()?;
    let mut asker = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let seconds = u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).saturating_add(SETUP_SECONDS);
    nix::unistd::alarm::set(seconds);

    let spec = dir.read_spec()?;
    adjust_oom_score("self", spec.oom_score_adj);
    match enter(dir, &spec, args) {
        Err(failure) => asker.write_all(&protocol::line(&Reply::Failed(failure))),
        Ok((pid, output)) => {
            let deadline = Instant::now() + timeout;
            let mut program =
                Running { pid, output: Some(output), kept: Vec::new(), limit, truncated: false };
            let code = program.watch(&asker, deadline)?;
            let reply =
                Reply::Executed { code, output_bytes: program.kept.len(), truncated: program.truncated };
            asker.write_all(&protocol::line(&reply))?;
            asker.write_all(&program.kept)
        }
    }
}

/// Starts the program inside the container; gives back its process and the reading end of its output.
fn enter(dir: &ShimDir, spec: &ContainerSpec, args: Vec<String>) -> Result<(Pid, File), Failure> {
    let fail = |error: &dyn std::fmt::Display| Failure {
        message: error.to_string(),
        exit_code: executor::NOT_STARTED,
    };
    let host = HostFacts::detect().map_err(|error| fail(&error))?;
    let process = oci::exec_process(spec, &host, args).map_err(|error| fail(&error))?;
    let process_file = dir.write_process(&process).map_err(|error| fail(&error))?;
    let caught = Caught::start().map_err(|error| fail(&error))?;
    let (executor, verdict) = executor::confined(spec, &host).map_err(|error| fail(&error))?;
    let (output, stdout, stderr) = output_pipe(spec).map_err(|error| fail(&error))?;
    let stdin = File::open("/dev/null").map_err(|error| fail(&error))?;
    let built = ContainerBuilder::new(spec.id.to_string(), SyscallType::default())
        .with_executor(executor)
        .with_stdin(stdin)
        .with_stdout(stdout)
        .with_stderr(stderr)
        .with_root_path(dir.state())
        .and_then(|builder| builder.as_tenant().with_process(Some(&process_file)).with_detach(true).build());
    // Only libcontainer reads it, and it has.
    std::fs::remove_file(&process_file).ok();
    match built {
        Err(error) => Err(verdict.wait().unwrap_or_else(|| explain(&error, caught))),
        Ok(pid) => match verdict.wait() {
            Some(failure) => Err(failure),
            None => Ok((Pid::from_raw(pid.as_raw()), output)),
        },
    }
}

/// One pipe for both streams, which keeps their order.
fn output_pipe(spec: &ContainerSpec) -> io::Result<(File, OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC)?;
    fchown(&write, Some(Uid::from_raw(spec.user.uid)), Some(Gid::from_raw(spec.user.gid)))?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let second = write.try_clone()?;
    Ok((File::from(read), write, second))
}

struct Running {
    pid: Pid,
    output: Option<File>,
    kept: Vec<u8>,
    limit: usize,
    truncated: bool,
}

impl Running {
    /// Waits for the end, reading output meanwhile. `None` is time up or asker gone.
    fn watch(&mut self, asker: &UnixStream, deadline: Instant) -> io::Result<Option<i32>> {
        let handle = rustix::process::Pid::from_raw(self.pid.as_raw()).ok_or(io::ErrorKind::NotFound)?;
        let exited = rustix::process::pidfd_open(handle, rustix::process::PidfdFlags::empty())?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut fds = vec![
                PollFd::new(exited.as_fd(), PollFlags::POLLIN),
                // It sends nothing more, so readable means gone.
                PollFd::new(asker.as_fd(), PollFlags::POLLIN),
            ];
            if let Some(output) = &self.output {
                fds.push(PollFd::new(output.as_fd(), PollFlags::POLLIN));
            }
            match poll(&mut fds, wait) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let has_exited = fds[0].any().unwrap_or(false);
            let asker_left = fds[1].any().unwrap_or(false);
            self.read_output();
            if has_exited {
                return self.reap().map(Some);
            }
            if asker_left || left.is_zero() {
                kill(self.pid, Signal::SIGKILL)?;
                self.reap()?;
                return Ok(None);
            }
        }
    }

    /// Reads what is there, keeps what is wanted.
    fn read_output(&mut self) {
        let mut buffer = [0; 16 << 10];
        // Bounded, so that a program that never stops writing does not outlive its time.
        for _ in 0..64 {
            let Some(output) = &mut self.output else { return };
            match output.read(&mut buffer) {
                Ok(0) => self.output = None,
                Ok(count) => {
                    let keep = count.min(self.limit - self.kept.len());
                    self.truncated |= keep < count;
                    self.kept.extend_from_slice(&buffer[..keep]);
                }
                Err(_) => return,
            }
        }
    }

    fn reap(&mut self) -> io::Result<i32> {
        let code = match waitpid(self.pid, None)? {
            WaitStatus::Exited(_, code) => code,
            WaitStatus::Signaled(_, signal, _) => 128 + signal as i32,
            _ => 255,
        };
        // What it wrote last may not have been read.
        self.read_output();
        Ok(code)
    }
}
