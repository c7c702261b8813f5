//! The sample program inside the quickstart's images: a small HTTP server, a worker that waits, or a task that ends.
//!
//! Does not use threads or an async runtime: it runs dozens of times on a small machine. On SIGTERM it goes on serving for
//! a moment, as every well-behaved server does, so that clients which were routed to it are answered.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// A base image with this file never lets its applications become ready.
pub(crate) const NEVER_READY: &str = "etc/sample/never-ready";
const PORT: u16 = 8080;
const LINGER: Duration = Duration::from_millis(700);
const CLIENT_PATIENCE: Duration = Duration::from_millis(500);
const MAX_REQUEST: usize = 8 << 10;

/// Entry point: `serve NAME`, `wait NAME`, `task NAME`, or `check`, which is the exec probe.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    let word = |index: usize| args.get(index).and_then(|a| a.to_str()).unwrap_or_default();
    let ended = match word(0) {
        "serve" => serve(word(1)),
        "wait" => wait(word(1)),
        "check" if never_ready() => return ExitCode::FAILURE,
        "check" => Ok(()),
        _ => say(&format!("{} done", word(1))),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            drop(say(&format!("failed: {error}")));
            ExitCode::FAILURE
        }
    }
}

fn never_ready() -> bool {
    std::path::Path::new("/").join(NEVER_READY).exists()
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// As the first process of a container it would ignore SIGTERM unless it asks for it.
fn terminations() -> std::io::Result<SignalFd> {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    set.add(Signal::SIGINT);
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}

fn wait(name: &str) -> std::io::Result<()> {
    let signals = terminations()?;
    say(&format!("{name} waits for work"))?;
    poll(&mut [PollFd::new(signals.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
    say(&format!("{name} ends"))
}

fn serve(name: &str) -> std::io::Result<()> {
    let signals = terminations()?;
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    listener.set_nonblocking(true)?;
    say(&format!("{name} serves on port {PORT}"))?;
    let mut leave_at: Option<Instant> = None;
    loop {
        let patience = leave_at.map_or(PollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut waited = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        let watched = if leave_at.is_some() { &mut waited[..1] } else { &mut waited[..] };
        let ready = poll(watched, patience)?;
        let stop = waited[1].any().unwrap_or_default();
        while let Ok((stream, _)) = listener.accept() {
            // A client that went away is its own business.
            drop(answer(stream, name));
        }
        if leave_at.is_none() && stop {
            leave_at = Some(Instant::now() + LINGER);
        }
        if ready == 0 && leave_at.is_some_and(|at| Instant::now() >= at) {
            return say(&format!("{name} ends"));
        }
    }
}

fn answer(mut stream: TcpStream, name: &str) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
    stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|w| w == b"\r\n\r\n") && request.len() < MAX_REQUEST {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        request.extend_from_slice(&chunk[..read]);
    }
    let status = if request.starts_with(b"GET /ready") && never_ready() {
        "503 Service Unavailable"
    } else {
        "200 OK"
    };
    let body = format!("{name}\n");
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())?;
    stream.shutdown(Shutdown::Write)
}
