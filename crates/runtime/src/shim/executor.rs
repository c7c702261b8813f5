//! The last steps inside the container: find the program, install the filter, drop what only the set-up needed, exec.
//!
//! Runs in the container's own process, after libcontainer has entered namespaces and root filesystem and changed the user.
//! Invariants: the filter is installed before the program gets control, or the program does not run; what goes wrong is told
//! through a pipe that exec closes, because libcontainer's own channel is gone by then.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libcontainer::workload::{Executor, ExecutorError, ExecutorValidationError};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{AccessFlags, access, execve, pipe2};
use oci_spec::runtime::Spec;
use rustix::thread::{CapabilitySet, CapabilitySets};
use seccompiler::BpfProgram;

use crate::capabilities::CapabilityBits;
use crate::oci::HostFacts;
use crate::record::Failure;
use crate::spec::{ContainerSpec, Seccomp};
use crate::{oci, seccomp, sys};

/// Exit code of a program that was not found.
const NOT_FOUND: i32 = 127;
/// Exit code of a program that cannot be executed.
const NOT_EXECUTABLE: i32 = 126;
/// Exit code of everything else that keeps a program from starting.
pub(super) const NOT_STARTED: i32 = 128;
/// Longest message read from the pipe.
const MAX_MESSAGE_BYTES: u64 = 64 << 10;

/// Starts the program under the wanted privileges.
#[derive(Clone)]
pub(super) struct ConfinedExecutor {
    filter: Arc<BpfProgram>,
    capabilities: CapabilityBits,
    failures: Arc<File>,
}

/// The reading end of an executor's pipe.
pub(super) struct Verdict {
    pipe: File,
}

impl Verdict {
    /// Waits until the program runs or has failed to. All copies of the executor in this process must be gone.
    pub(super) fn wait(self) -> Option<Failure> {
        let mut text = Vec::new();
        if let Err(error) = self.pipe.take(MAX_MESSAGE_BYTES).read_to_end(&mut text) {
            return Some(Failure {
                message: format!("cannot learn of the start: {error}"),
                exit_code: NOT_STARTED,
            });
        }
        if text.is_empty() {
            return None;
        }
        // Several steps may have spoken; the first knows best.
        let first = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
        serde_json::from_slice(first)
            .unwrap_or_else(|_| Failure {
                message: String::from_utf8_lossy(first).into_owned(),
                exit_code: NOT_STARTED,
            })
            .into()
    }
}

/// Prepares an executor for a container of this specification.
pub(super) fn confined(spec: &ContainerSpec, host: &HostFacts) -> io::Result<(ConfinedExecutor, Verdict)> {
    let capabilities = oci::final_capabilities(spec, host).map_err(io::Error::other)?;
    let unconfined = spec.security.privileged || spec.security.seccomp == Seccomp::Unconfined;
    let filter = if unconfined {
        BpfProgram::new()
    } else {
        seccomp::compile(capabilities).map_err(io::Error::other)?
    };
    let (read, write): (OwnedFd, OwnedFd) = pipe2(OFlag::O_CLOEXEC)?;
    let executor =
        ConfinedExecutor { filter: Arc::new(filter), capabilities, failures: Arc::new(File::from(write)) };
    Ok((executor, Verdict { pipe: File::from(read) }))
}

impl ConfinedExecutor {
    /// Tells the shim, and gives back the text for libcontainer.
    fn fail(&self, message: String, exit_code: i32) -> String {
        let mut line =
            serde_json::to_vec(&Failure { message: message.clone(), exit_code }).unwrap_or_default();
        line.push(b'\n');
        // If the shim is gone there is no one to tell.
        (&*self.failures).write_all(&line).ok();
        message
    }

    fn confine(&self) -> io::Result<()> {
        if !self.filter.is_empty() {
            sys::install_seccomp(&self.filter)?;
        }
        let keep = CapabilitySet::from_bits_retain(self.capabilities.0);
        for bit in 0..u64::BITS {
            let one = CapabilitySet::from_bits_retain(1 << bit);
            // Numbers the kernel does not know end the list.
            let Ok(held) = rustix::thread::capability_is_in_bounding_set(one) else { break };
            if held && !keep.contains(one) {
                rustix::thread::remove_capability_from_bounding_set(one)?;
            }
        }
        let sets = CapabilitySets { effective: keep, permitted: keep, inheritable: CapabilitySet::empty() };
        rustix::thread::set_capabilities(None, sets)?;
        sys::reset_signals()
    }
}

impl Executor for ConfinedExecutor {
    fn exec(&self, spec: &Spec) -> Result<(), ExecutorError> {
        let (program, args) = program_and_args(spec)
            .map_err(|(message, code)| ExecutorError::Other(self.fail(message, code)))?;
        self.confine().map_err(|error| {
            ExecutorError::Other(self.fail(format!("cannot confine the program: {error}"), NOT_STARTED))
        })?;
        let Err(error) = execve(&program, &args, &environment());
        let code = if error == Errno::ENOENT { NOT_FOUND } else { NOT_EXECUTABLE };
        let name = args.first().cloned().unwrap_or_default();
        Err(ExecutorError::Other(self.fail(format!("exec: {name:?}: {}", words(error)), code)))
    }

    fn validate(&self, spec: &Spec) -> Result<(), ExecutorValidationError> {
        program_and_args(spec)
            .map(|_| ())
            .map_err(|(message, code)| ExecutorValidationError::ArgValidationError(self.fail(message, code)))
    }
}

/// What libcontainer has set up, and a home for users that no passwd file knows.
fn environment() -> Vec<CString> {
    let mut entries: Vec<CString> = std::env::vars_os()
        .filter_map(|(name, value)| {
            let mut entry = name.into_encoded_bytes();
            entry.push(b'=');
            entry.extend(value.into_encoded_bytes());
            CString::new(entry).ok()
        })
        .collect();
    if !entries.iter().any(|entry| entry.to_bytes().starts_with(b"HOME=")) {
        entries.push(c"HOME=/".to_owned());
    }
    entries
}

/// The file to execute and the arguments, as the kernel wants them; or a message and an exit code.
fn program_and_args(spec: &Spec) -> Result<(CString, Vec<CString>), (String, i32)> {
    let nothing = || ("no program given".to_owned(), NOT_STARTED);
    let process = spec.process().as_ref().ok_or_else(nothing)?;
    let args = process.args().as_deref().unwrap_or_default();
    let name = args.first().ok_or_else(nothing)?;
    let env = process.env().as_deref().unwrap_or_default();
    let path = env.iter().rev().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let file = find_program(name, path)?;
    let zero = |_| (format!("exec: {name:?}: contains a zero byte"), NOT_EXECUTABLE);
    let program = CString::new(file.into_os_string().into_encoded_bytes()).map_err(zero)?;
    let args = args.iter().map(|arg| CString::new(arg.as_str())).collect::<Result<_, _>>().map_err(zero)?;
    Ok((program, args))
}

/// Looks a program up as execvp does, and says why it cannot be used.
fn find_program(name: &str, path: &str) -> Result<PathBuf, (String, i32)> {
    if name.contains('/') {
        let found = PathBuf::from(name);
        return match usable(&found) {
            Ok(()) => Ok(found),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {
                Err((format!("exec: {name:?}: no such file or directory"), NOT_FOUND))
            }
            Err(error) => Err((format!("exec: {name:?}: {}", words(error)), NOT_EXECUTABLE)),
        };
    }
    let mut refused = None;
    for dir in path.split(':') {
        let candidate = Path::new(if dir.is_empty() { "." } else { dir }).join(name);
        match usable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES) => refused = Some(Errno::EACCES),
            Err(_) => {}
        }
    }
    match refused {
        Some(error) => Err((format!("exec: {name:?}: {}", words(error)), NOT_EXECUTABLE)),
        None => Err((format!("exec: {name:?}: executable file not found in $PATH"), NOT_FOUND)),
    }
}

fn usable(file: &Path) -> Result<(), Errno> {
    let metadata =
        file.metadata().map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    if metadata.is_dir() {
        return Err(Errno::EISDIR);
    }
    access(file, AccessFlags::X_OK)
}

/// An error as people know it from the shell.
fn words(error: Errno) -> String {
    match error {
        Errno::ENOENT => "no such file or directory".to_owned(),
        Errno::EACCES => "permission denied".to_owned(),
        Errno::ENOEXEC => "exec format error".to_owned(),
        Errno::EISDIR => "is a directory".to_owned(),
        other => other.desc().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_are_found_as_a_shell_finds_them() {
        let temp = tempfile::tempdir().unwrap();
        let (first, second) = (temp.path().join("first"), temp.path().join("second"));
        for (dir, name, mode) in
            [(&first, "plain", 0o644), (&second, "plain", 0o755), (&first, "data", 0o644)]
        {
            std::fs::create_dir_all(dir).unwrap();
            let file = dir.join(name);
            File::create(&file).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        }
        let path = format!("{}:{}", first.display(), second.display());
        assert_eq!(find_program("plain", &path), Ok(second.join("plain")));
        assert_eq!(
            find_program("data", &path),
            Err(("exec: \"data\": permission denied".into(), NOT_EXECUTABLE))
        );
        assert_eq!(
            find_program("none", &path),
            Err(("exec: \"none\": executable file not found in $PATH".into(), NOT_FOUND))
        );
        assert_eq!(
            find_program("/nope", &path),
            Err(("exec: \"/nope\": no such file or directory".into(), NOT_FOUND))
        );
        assert_eq!(find_program("/", &path), Err(("exec: \"/\": is a directory".into(), NOT_EXECUTABLE)));
    }
}
