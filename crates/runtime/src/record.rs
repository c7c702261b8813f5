//! The files of one container in the run directory, and the only places that write and read them.
//!
//! | file | written by | says |
//! |---|---|---|
//! | `spec.json` | engine | the request, labels included |
//! | `config.json` | engine | the OCI specification for libcontainer |
//! | `sock` | engine | where the shim listens |
//! | `start.json` | shim | the program runs |
//! | `exit.json` | shim, or the engine for a shim that died | it has ended |
//! | `state/` | libcontainer | its own state |
//! | `shim.log` | shim | what it had to say when something broke |
//!
//! Invariants: each JSON file appears whole or not at all (temporary file, fsync, rename); `exit.json` is never replaced.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::observed::Exit;
use crate::spec::{ContainerId, ContainerSpec};

/// Largest record that is read; they are written by us, but a full disk or a curious hand may have changed them.
const MAX_RECORD_BYTES: u64 = 16 << 20;

/// The directory of one container.
#[derive(Clone, Debug)]
pub(crate) struct ShimDir {
    path: PathBuf,
}

/// The program of a container runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartRecord {
    /// Host PID of the container's first process.
    pub(crate) pid: u32,
    /// PID of the shim.
    pub(crate) shim_pid: u32,
    /// When the program was started.
    pub(crate) started_at: Timestamp,
}

/// Why a program could not be started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// In words meant for a person.
    pub(crate) message: String,
    /// 127 not found, 126 not executable, 128 anything else.
    pub(crate) exit_code: i32,
}

/// A container has ended, or was never started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    /// How.
    pub(crate) exit: Exit,
    /// Set if it never ran.
    pub(crate) failure: Option<Failure>,
}

impl ShimDir {
    /// The directory of a container below that of all.
    pub(crate) fn new(shims_dir: &Path, id: &ContainerId) -> Self {
        Self { path: shims_dir.join(id.as_str()) }
    }

    /// A directory known by its path.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes it, for root only. Fails if it is there.
    pub(crate) fn create(&self) -> io::Result<()> {
        fs::DirBuilder::new().mode(0o700).create(&self.path)?;
        fs::DirBuilder::new().mode(0o700).create(self.state())
    }

    /// Its path; also libcontainer's bundle.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where libcontainer keeps its state.
    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// Where the shim writes what no one else would see.
    pub(crate) fn shim_log(&self) -> PathBuf {
        self.path.join("shim.log")
    }

    /// Path of the socket, short enough for a socket address however deep the directory lies. The handle must outlive its use.
    pub(crate) fn socket(&self) -> io::Result<(fs::File, PathBuf)> {
        use std::os::fd::AsRawFd;
        let dir = fs::File::open(&self.path)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}/sock", dir.as_raw_fd()));
        Ok((dir, short))
    }

    pub(crate) fn write_spec(&self, spec: &ContainerSpec) -> io::Result<()> {
        self.write("spec.json", spec)
    }

    pub(crate) fn read_spec(&self) -> io::Result<ContainerSpec> {
        self.read("spec.json")
    }

    pub(crate) fn write_config(&self, config: &oci_spec::runtime::Spec) -> io::Result<()> {
        self.write("config.json", config)
    }

    /// Writes the process section of an exec under a name of its own; the caller removes it.
    pub(crate) fn write_process(&self, process: &oci_spec::runtime::Process) -> io::Result<PathBuf> {
        let name = format!("exec-{}.json", std::process::id());
        self.write(&name, process)?;
        Ok(self.path.join(name))
    }

    pub(crate) fn write_start(&self, record: &StartRecord) -> io::Result<()> {
        self.write("start.json", record)
    }

    pub(crate) fn read_start(&self) -> Option<StartRecord> {
        self.read("start.json").ok()
    }

    pub(crate) fn write_exit(&self, record: &ExitRecord) -> io::Result<()> {
        self.write("exit.json", record)
    }

    pub(crate) fn read_exit(&self) -> Option<ExitRecord> {
        self.read("exit.json").ok()
    }

    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let temporary = self.path.join(format!(".{name}.{}", std::process::id()));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec(value)?)?;
        file.sync_all()?;
        fs::rename(&temporary, self.path.join(name))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<T> {
        use io::Read;
        let mut bytes = Vec::new();
        fs::File::open(self.path.join(name))?.take(MAX_RECORD_BYTES).read_to_end(&mut bytes)?;
        Ok(serde_json::from_slice(&bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::tests::sample;

    #[test]
    fn records_come_back_as_written_and_leave_no_temporary_files() {
        let temp = tempfile::tempdir().unwrap();
        let spec = sample();
        let dir = ShimDir::new(temp.path(), &spec.id);
        dir.create().unwrap();
        assert!(dir.create().is_err());
        dir.write_spec(&spec).unwrap();
        assert_eq!(dir.read_spec().unwrap(), spec);
        assert!(dir.read_exit().is_none());
        let finished_at = "2026-01-02T03:04:05Z".parse().unwrap();
        let exit = Exit { code: 3, signal: None, oom_killed: false, finished_at };
        let record = ExitRecord { exit, failure: None };
        dir.write_exit(&record).unwrap();
        assert_eq!(dir.read_exit(), Some(record));
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["exit.json", "spec.json", "state"]);
    }
}
