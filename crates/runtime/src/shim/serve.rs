//! The shim's life: create the container, then one poll loop over signals, requests and output until the container has ended.
//!
//! Invariants: nothing in the loop waits for the container, a client or a helper; every child that dies is reaped, because an
//! unreaped one in the container's PID namespace would keep the namespace from ending; the exit record is on disk before anyone
//! is told.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, dup2_stdin, setsid};

use super::create::{self, Created};
use super::log::{LogWriter, Stream};
use crate::cgroup::{Cgroup, shim_cgroup};
use crate::observed::Exit;
use crate::oci::HostFacts;
use crate::protocol::{self, Reply, Request};
use crate::record::{ExitRecord, Failure, ShimDir, StartRecord};

/// Most connections at a time; the engine uses a handful.
const MAX_CLIENTS: usize = 64;
/// Output read per turn and stream, so that a chatty container does not starve requests.
const READ_BYTES: usize = 16 << 10;
/// Reads per turn and stream.
const READS_PER_TURN: usize = 4;

/// Runs one container. Standard input is the listening socket; `arg_count` of this process's arguments are the shim's own.
pub(super) fn run(dir: &ShimDir, arg_count: usize) -> io::Result<()> {
    // Fails only if we lead a session already, which is just as good.
    setsid().ok();
    nix::unistd::chdir("/")?;
    nix::sys::prctl::set_child_subreaper(true)?;
    nix::sys::prctl::set_name(c"konzert-shim")?;
    let listener = take_listener()?;
    let spec = dir.read_spec()?;
    let host = HostFacts::detect()?;
    let mut mask = SigSet::empty();
    for signal in
        [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2]
    {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    if let Err(error) = host.cgroups.leave_parent(&shim_cgroup(&spec.cgroup_path)) {
        super::complain(&format!("stays in its parent's cgroup: {error}"));
    }

    let log = match LogWriter::open(spec.log.clone()) {
        Ok(log) => log,
        Err(error) => {
            let message = format!("cannot open the log file {}: {error}", spec.log.path.display());
            return give_up(dir, &listener, Failure { message, exit_code: super::executor::NOT_STARTED });
        }
    };
    let cgroup = host.cgroups.cgroup(&spec.cgroup_path);
    let Created { pid, stdout, stderr } = match create::start(dir, &spec, &host) {
        Ok(created) => created,
        Err(failure) => return give_up(dir, &listener, failure),
    };
    let start = StartRecord {
        pid: pid.as_raw().cast_unsigned(),
        shim_pid: std::process::id(),
        started_at: Timestamp::now(),
    };
    dir.write_start(&start)?;
    let own_pid_namespace = spec.share_pid.is_none();
    drop((spec, host));
    let mut shim = Shim {
        dir,
        arg_count,
        pid,
        start,
        cgroup,
        log,
        outputs: [Some(stdout), Some(stderr)],
        clients: Vec::new(),
        exit: None,
    };
    shim.serve(&listener, &signals)?;
    shim.finish(own_pid_namespace, &listener)
}

/// Takes the socket off standard input and leaves `/dev/null` there.
fn take_listener() -> io::Result<UnixListener> {
    let socket: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    let listener = UnixListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Records that the container never ran, and tells whoever waits.
fn give_up(dir: &ShimDir, listener: &UnixListener, failure: Failure) -> io::Result<()> {
    let exit =
        Exit { code: failure.exit_code, signal: None, oom_killed: false, finished_at: Timestamp::now() };
    dir.write_exit(&ExitRecord { exit, failure: Some(failure.clone()) })?;
    answer_all(listener, &Reply::Failed(failure));
    Ok(())
}

/// Answers every connection that is waiting to be accepted.
fn answer_all(listener: &UnixListener, reply: &Reply) {
    let line = protocol::line(reply);
    while let Ok((mut client, _)) = listener.accept() {
        // Who has gone away needs no answer.
        client.write_all(&line).ok();
    }
}

struct Shim<'a> {
    dir: &'a ShimDir,
    arg_count: usize,
    pid: Pid,
    start: StartRecord,
    cgroup: Cgroup,
    log: LogWriter,
    outputs: [Option<File>; 2],
    clients: Vec<Client>,
    exit: Option<(i32, Option<i32>)>,
}

struct Client {
    stream: UnixStream,
    buffer: Vec<u8>,
    watching: bool,
}

/// Whether a connection is still of use.
#[derive(PartialEq, Eq)]
enum Connection {
    Keep,
    Close,
}

const STREAMS: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

impl Shim<'_> {
    fn serve(&mut self, listener: &UnixListener, signals: &SignalFd) -> io::Result<()> {
        // The container may have ended before the signals were looked at.
        self.reap();
        while self.exit.is_none() {
            let ready = self.wait(listener, signals)?;
            if ready.signals {
                while let Ok(Some(_)) = signals.read_signal() {}
                self.reap();
            }
            for (index, stream) in STREAMS.into_iter().enumerate() {
                if ready.outputs[index] {
                    self.copy_output(index, stream);
                }
            }
            for index in (0..self.clients.len()).rev() {
                if ready.clients[index] {
                    self.hear(index);
                }
            }
            if ready.listener {
                self.accept(listener);
            }
        }
        Ok(())
    }

    fn wait(&self, listener: &UnixListener, signals: &SignalFd) -> io::Result<Ready> {
        let mut fds: Vec<PollFd<'_>> = Vec::with_capacity(4 + self.clients.len());
        fds.push(PollFd::new(signals.as_fd(), PollFlags::POLLIN));
        fds.push(PollFd::new(listener.as_fd(), PollFlags::POLLIN));
        let outputs: Vec<(usize, BorrowedFd<'_>)> = self
            .outputs
            .iter()
            .enumerate()
            .filter_map(|(index, output)| output.as_ref().map(|file| (index, file.as_fd())))
            .collect();
        fds.extend(outputs.iter().map(|(_, fd)| PollFd::new(*fd, PollFlags::POLLIN)));
        fds.extend(self.clients.iter().map(|client| PollFd::new(client.stream.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => return Ok(Ready::nothing(self.clients.len())),
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        let mut ready = Ready {
            signals: is_ready(&fds[0]),
            listener: is_ready(&fds[1]),
            outputs: [false; 2],
            clients: fds[2 + outputs.len()..].iter().map(is_ready).collect(),
        };
        for (at, (index, _)) in outputs.iter().enumerate() {
            ready.outputs[*index] = is_ready(&fds[2 + at]);
        }
        Ok(ready)
    }

    /// Reaps every dead child: the container, leftovers of execs, processes it left to us.
    fn reap(&mut self) {
        loop {
            let (pid, code, signal) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code, None),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32, Some(signal as i32)),
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            if pid == self.pid {
                self.exit = Some((code, signal));
            }
        }
    }

    /// Moves output into the log until there is none, it ended, or it is others' turn.
    fn copy_output(&mut self, index: usize, stream: Stream) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_PER_TURN {
            let Some(output) = &mut self.outputs[index] else { return };
            match output.read(&mut buffer) {
                Ok(0) => {
                    self.log.end(stream, Timestamp::now());
                    self.outputs[index] = None;
                }
                Ok(count) => self.log.write(stream, &buffer[..count], Timestamp::now()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn accept(&mut self, listener: &UnixListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.clients.len() < MAX_CLIENTS && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client { stream, buffer: Vec::new(), watching: false });
                self.hear(self.clients.len() - 1);
            }
        }
    }

    /// Reads what a client has sent and answers a complete request.
    fn hear(&mut self, index: usize) {
        if self.read_request(index) == Connection::Close {
            self.clients.swap_remove(index);
        }
    }

    fn read_request(&mut self, index: usize) -> Connection {
        let client = &mut self.clients[index];
        let mut chunk = [0; 4096];
        loop {
            match client.stream.read(&mut chunk) {
                Ok(0) => return Connection::Close,
                Ok(count) => client.buffer.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Connection::Keep,
                Err(_) => return Connection::Close,
            }
            let too_long = client.buffer.len() > protocol::MAX_REQUEST_BYTES;
            let complete = client.buffer.ends_with(b"\n");
            if too_long {
                return self.reply(index, &Reply::Refused("the request is too long".to_owned()));
            }
            if complete {
                return self.answer(index);
            }
        }
    }

    fn answer(&mut self, index: usize) -> Connection {
        let client = &mut self.clients[index];
        let line = std::mem::take(&mut client.buffer);
        match serde_json::from_slice(&line) {
            Ok(Request::Watch) => {
                client.watching = true;
                let reply = Reply::Running(self.start.clone());
                self.reply(index, &reply);
                Connection::Keep
            }
            Ok(Request::Signal(signal)) => {
                let reply = match send_signal(self.pid, signal) {
                    Ok(()) => Reply::Done,
                    Err(error) => Reply::Refused(format!("cannot send signal {signal}: {error}")),
                };
                self.reply(index, &reply)
            }
            Ok(Request::Exec { args, timeout_ms, output_limit_bytes }) => {
                match self.start_helper(index, args, timeout_ms, output_limit_bytes) {
                    Ok(()) => Connection::Close,
                    Err(error) => {
                        self.reply(index, &Reply::Refused(format!("cannot start a helper: {error}")))
                    }
                }
            }
            Err(error) => self.reply(index, &Reply::Refused(format!("not a request: {error}"))),
        }
    }

    fn reply(&mut self, index: usize, reply: &Reply) -> Connection {
        // Answers are far shorter than a socket's buffer; who does not read them loses them.
        self.clients[index].stream.write_all(&protocol::line(reply)).ok();
        Connection::Close
    }

    /// Hands the connection to a helper process, which does the rest of the exec by itself.
    fn start_helper(&self, index: usize, args: Vec<String>, timeout_ms: u64, limit: usize) -> io::Result<()> {
        let stream = self.clients[index].stream.try_clone()?;
        stream.set_nonblocking(false)?;
        let own: Vec<OsString> = std::env::args_os().skip(1).collect();
        let before = own.len() - self.arg_count;
        Command::new("/proc/self/exe")
            .args(&own[..before])
            .arg("exec")
            .arg(self.dir.path())
            .arg(timeout_ms.to_string())
            .arg(limit.to_string())
            .args(args)
            .env_clear()
            .stdin(OwnedFd::from(stream))
            .stdout(Stdio::null())
            .spawn()
            // Reaped like every other child.
            .map(drop)
    }

    /// The container has ended: collect the rest of its output, record, tell.
    fn finish(&mut self, own_pid_namespace: bool, listener: &UnixListener) -> io::Result<()> {
        let (code, signal) = self.exit.expect("serving ends only with an exit");
        if !own_pid_namespace {
            // No PID namespace ended with it, so what it started may still be running.
            self.cgroup.kill_once();
        }
        for (index, stream) in STREAMS.into_iter().enumerate() {
            self.drain(index, stream);
        }
        let killed_for_memory = self.cgroup.oom_kills() > 0;
        let exit =
            Exit { code, signal, oom_killed: killed_for_memory && code != 0, finished_at: Timestamp::now() };
        self.dir.write_exit(&ExitRecord { exit: exit.clone(), failure: None })?;
        let line = protocol::line(&Reply::Exited(exit.clone()));
        for client in self.clients.iter_mut().filter(|client| client.watching) {
            client.stream.write_all(&line).ok();
        }
        answer_all(listener, &Reply::Exited(exit));
        Ok(())
    }

    /// Reads what is left in a pipe without waiting for more.
    fn drain(&mut self, index: usize, stream: Stream) {
        let mut buffer = [0; READ_BYTES];
        while let Some(output) = &mut self.outputs[index] {
            match output.read(&mut buffer) {
                Ok(count) if count > 0 => self.log.write(stream, &buffer[..count], Timestamp::now()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                _ => self.outputs[index] = None,
            }
        }
        self.log.end(stream, Timestamp::now());
    }
}

/// What a turn of the loop has to look at.
struct Ready {
    signals: bool,
    listener: bool,
    outputs: [bool; 2],
    clients: Vec<bool>,
}

impl Ready {
    fn nothing(clients: usize) -> Self {
        Self { signals: false, listener: false, outputs: [false; 2], clients: vec![false; clients] }
    }
}

/// Signals by number: real-time ones have no name in the wrapper's enumeration.
fn send_signal(pid: Pid, signal: i32) -> io::Result<()> {
    if let Ok(named) = Signal::try_from(signal) {
        return Ok(kill(pid, named)?);
    }
    crate::sys::send_raw_signal(pid, signal)
}
