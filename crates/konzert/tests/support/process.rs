//! Programs run by tests: their output never blocks them, and none outlives its test.

use std::fmt;
use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use super::netns::NetNs;

/// A program under way. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    shown: String,
    child: Child,
    stdout: File,
    stderr: File,
}

/// How a program ended.
#[derive(Clone, Debug)]
pub(crate) struct Ran {
    shown: String,
    /// Exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Starts a program, in a network namespace when one is given.
pub(crate) fn start(mut command: Command, net: Option<&NetNs>, input: &str) -> Running {
    let shown = format!("{command:?}");
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    let mut stdin = tempfile::tempfile().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    stdin.seek(SeekFrom::Start(0)).unwrap();
    command.stdin(stdin).stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap());
    let mut spawn = || command.spawn();
    let spawned = match net {
        Some(net) => net.run(spawn),
        None => spawn(),
    };
    let child = spawned.unwrap_or_else(|error| panic!("{shown}: {error}"));
    Running { shown, child, stdout, stderr }
}

/// Runs a program to its end.
pub(crate) fn run(command: Command, net: Option<&NetNs>, input: &str) -> Ran {
    start(command, net, input).end()
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// What it has printed to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it has printed to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        text(&self.stderr)
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ran {
        let deadline = Instant::now() + super::PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "{} does not end; so far:\n{}\n{}",
                self.shown,
                self.stdout(),
                self.stderr()
            );
            std::thread::sleep(Duration::from_millis(5));
        };
        let (stdout, stderr) = (self.stdout(), self.stderr());
        Ran { shown: self.shown.clone(), code: status.code(), stdout, stderr }
    }

    /// SIGKILL, and gone when this returns.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The file's position is shared with the program, so the file is read without moving it.
fn text(file: &File) -> String {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Ran {
    /// Its output, when it ended with 0.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self}");
        self.stdout
    }

    /// Its JSON output, when it ended with 0.
    pub(crate) fn json(self) -> serde_json::Value {
        assert_eq!(self.code, Some(0), "{self}");
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not one JSON document: {error}\n{self}"))
    }

    /// It ended as every refusal of wrong input does: exit code 2, an error that names the thing, and a hint.
    pub(crate) fn refused(&self, names: &[&str]) {
        assert_eq!(self.code, Some(2), "{self}");
        let error = self.stderr.lines().find(|line| line.starts_with("error: "));
        let error = error.unwrap_or_else(|| panic!("no `error:` line\n{self}"));
        for name in names {
            assert!(error.contains(name), "the error does not say {name:?}\n{self}");
        }
        assert!(self.stderr.lines().any(|line| line.starts_with("hint: ")), "no `hint:` line\n{self}");
        assert_eq!(self.stdout, "", "an error is nothing for stdout\n{self}");
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}\nended with {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown, self.code, self.stdout, self.stderr
        )
    }
}

/// Every process of the machine.
pub(crate) fn all() -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Direct children of a process.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Fields of `/proc/<pid>/stat` from the third one, the state; `None` when there is no such process.
pub(crate) fn stat(pid: i32) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain anything.
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(String::from).collect())
}

/// A process that cannot be mistaken for a later one with the same number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    /// Start time in ticks since boot.
    started: String,
}

impl Process {
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let fields = stat(pid)?;
        let dead = ["Z", "X"].contains(&fields.first()?.as_str());
        (!dead).then(|| Self { pid, started: fields[19].clone() })
    }

    pub(crate) fn runs(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}
