//! One engine per data directory: an exclusive lock that dies with its process, and holds the process id for `down`.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};

use crate::exit::Failure;

const NAME: &str = "konzert.lock";

/// Held while an engine runs.
#[derive(Debug)]
pub(crate) struct EngineLock(#[expect(dead_code, reason = "held for its drop")] Flock<File>);

impl EngineLock {
    /// Takes the lock, or says who has it.
    pub(crate) fn take(data: &Path) -> Result<Self, Failure> {
        let file = open(data)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(mut lock) => {
                lock.set_len(0)?;
                lock.rewind()?;
                writeln!(lock, "{}", std::process::id())?;
                Ok(Self(lock))
            }
            Err((mut file, _held)) => {
                let pid = read_pid(&mut file).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
                Err(Failure::usage(
                    format!("data directory {} is in use by another engine (process {pid})", data.display()),
                    "stop it with `konzert down`, or choose another with --data-dir",
                ))
            }
        }
    }
}

/// The process id of the engine that runs on this data directory, if one does.
pub(crate) fn holder(data: &Path) -> Result<Option<i32>, Failure> {
    if !data.join(NAME).exists() {
        return Ok(None);
    }
    match Flock::lock(open(data)?, FlockArg::LockSharedNonblock) {
        Ok(_free) => Ok(None),
        Err((mut file, _held)) => Ok(read_pid(&mut file)),
    }
}

fn open(data: &Path) -> Result<File, Failure> {
    let path = data.join(NAME);
    let opened = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    opened.map_err(|e| {
        Failure::usage(
            format!("{}: {e}", path.display()),
            "run as root, or choose another directory with --data-dir",
        )
    })
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_engine_is_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let held = EngineLock::take(dir.path()).unwrap();
        let refused = EngineLock::take(dir.path()).unwrap_err();
        assert!(refused.message().contains(&std::process::id().to_string()), "{}", refused.message());
        assert_eq!(holder(dir.path()).unwrap(), i32::try_from(std::process::id()).ok());
        drop(held);
        assert_eq!(holder(dir.path()).unwrap(), None);
        EngineLock::take(dir.path()).unwrap();
    }
}
