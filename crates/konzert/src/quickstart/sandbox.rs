//! Where the quickstart plays: process, mount and network namespaces of its own, and a throwaway data directory.
//!
//! Invariant: whatever happens inside, also SIGKILL, the kernel ends every process and takes mounts, addresses and rules away
//! with the namespaces; what is left, cgroups and the directory, the outer process removes. The host's own engine,
//! addresses and firewall are never touched.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use super::INIT_VERB;
use crate::cli::{Global, Quickstart};
use crate::config::{self, Create, Places};
use crate::exit::{Exit, Failure, Outcome};
use crate::printer::Printer;

/// The outer half: makes the sandbox, waits, cleans up.
pub(crate) fn run(global: &Global, args: &Quickstart, printer: &Printer) -> Outcome {
    config::need_root("konzert quickstart")?;
    let dir = tempfile::Builder::new().prefix("konzert-quickstart-").tempdir()?;
    let places = Places::of(dir.path(), Create::No)?;
    let signals = handled_signals();
    signals.thread_block()?;
    // Only children enter the new process namespace; the first one becomes its init.
    unshare(CloneFlags::CLONE_NEWPID).map_err(|e| {
        Failure::usage(
            format!("cannot make a process namespace: {e}"),
            "run it on a kernel that allows namespaces to root",
        )
    })?;
    let mut child = Command::new(std::env::current_exe()?)
        .arg(INIT_VERB)
        .arg(&places.data)
        .args(inner_arguments(global))
        .spawn()?;
    let status = supervise(&mut child, &signals)?;
    remove_cgroups(&places.instance);
    if args.keep {
        let kept = dir.keep();
        printer.note(&format!("kept {}", kept.display()));
    } else {
        dir.close().map_err(|e| Failure::failed(e).hint("delete it by hand"))?;
    }
    Ok(exit_of(status))
}

/// What of the command line the inside must know.
fn inner_arguments(global: &Global) -> Vec<OsString> {
    let format = match global.output {
        crate::cli::Format::Table => "table",
        crate::cli::Format::Json => "json",
        crate::cli::Format::Yaml => "yaml",
    };
    let mut out: Vec<OsString> = vec!["-o".into(), format.into()];
    out.extend(std::iter::repeat_n("-v".into(), usize::from(global.verbose)));
    for (flag, set) in [("--quiet", global.quiet), ("--no-color", global.no_color)] {
        if set {
            out.push(flag.into());
        }
    }
    out
}

fn handled_signals() -> SigSet {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        set.add(signal);
    }
    set
}

/// The init blocks the signals that it waits for, and a child inherits what is blocked. Called before there are threads.
pub(crate) fn receive_signals() -> Result<(), Failure> {
    Ok(handled_signals().thread_unblock()?)
}

/// Waits for the child; a first signal asks it to end, a second one ends it.
fn supervise(child: &mut Child, signals: &SigSet) -> Result<ExitStatus, Failure> {
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    let mut asked = false;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if signals.wait()? != Signal::SIGCHLD {
            // The child may be gone already.
            kill(pid, if asked { Signal::SIGKILL } else { Signal::SIGTERM }).ok();
            asked = true;
        }
    }
}

fn exit_of(status: ExitStatus) -> Exit {
    match status.code() {
        Some(0) => Exit::Done,
        Some(1) => Exit::Findings,
        Some(2) => Exit::Usage,
        _ => Exit::Failed,
    }
}

/// The init of the sandbox: makes the other namespaces, starts the story, reaps what is left to it.
pub(crate) fn init_main(args: &[OsString]) -> ExitCode {
    match init(args) {
        Ok(code) => code,
        Err(failure) => {
            #[expect(clippy::print_stderr, reason = "no printer exists this early")]
            {
                eprintln!("error: the sandbox could not be made: {}", failure.message());
            }
            failure.exit.into()
        }
    }
}

fn init(args: &[OsString]) -> Result<ExitCode, Failure> {
    let [data, rest @ ..] = args else {
        return Err(Failure::usage("no data directory", "run `konzert quickstart`"));
    };
    // When the outer process dies, so does everything in here.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET)?;
    private_mounts()?;
    let signals = handled_signals();
    signals.thread_block()?;
    let story = Command::new(std::env::current_exe()?)
        .args(rest)
        .arg("--data-dir")
        .arg(data)
        .arg("quickstart")
        .arg("--inside")
        .arg(data)
        .spawn()?;
    let story = Pid::from_raw(i32::try_from(story.id())?);
    loop {
        match signals.wait()? {
            Signal::SIGCHLD => {
                if let Some(code) = reap_until(story)? {
                    return Ok(code);
                }
            }
            // The story may be gone already.
            signal => drop(kill(story, if signal == Signal::SIGHUP { Signal::SIGTERM } else { signal })),
        }
    }
}

/// Mounts made in here stay in here; `/proc` must show this process namespace.
fn private_mounts() -> Result<(), Failure> {
    let none: Option<&Path> = None;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        none,
    )?;
    mount(
        Some("tmpfs"),
        "/run",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some("mode=0755,size=64m"),
    )?;
    Ok(())
}

/// Reaps every ended process; the story's exit code when it was among them.
fn reap_until(story: Pid) -> Result<Option<ExitCode>, Failure> {
    loop {
        // Peek first, so that the pid is known before it is free.
        match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT) {
            Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return Ok(None),
            Err(error) => return Err(Failure::failed(error)),
            Ok(status) => {
                let Some(pid) = status.pid() else { return Ok(None) };
                let status = waitpid(pid, None)?;
                if pid == story {
                    return Ok(Some(story_code(status)));
                }
            }
        }
    }
}

fn story_code(status: WaitStatus) -> ExitCode {
    match status {
        WaitStatus::Exited(_, code) => u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from),
        _ => Exit::Failed.into(),
    }
}

/// Every process is gone by now, so the directories can be removed, deepest first, in each hierarchy.
fn remove_cgroups(instance: &str) {
    let root = Path::new("/sys/fs/cgroup");
    let mut hierarchies = vec![root.to_owned()];
    if let Ok(entries) = std::fs::read_dir(root) {
        hierarchies.extend(entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()));
    }
    for hierarchy in hierarchies {
        remove_tree(&hierarchy.join("konzert").join(instance));
        // Only when no other engine uses it: removing a non-empty directory fails, as it should.
        drop(std::fs::remove_dir(hierarchy.join("konzert")));
    }
}

fn remove_tree(dir: &Path) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let children: Vec<PathBuf> = entries.flatten().filter(|e| e.path().is_dir()).map(|e| e.path()).collect();
    for child in children {
        remove_tree(&child);
    }
    if let Err(error) = std::fs::remove_dir(dir) {
        tracing::warn!(path = %dir.display(), %error, "a cgroup was left behind");
    }
}
