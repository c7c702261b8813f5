//! The three system calls of this crate that no safe wrapper offers. Everything else goes through nix and rustix.

#![allow(
    unsafe_code,
    reason = "a filter without no-new-privileges, dispositions and real-time signals have no safe wrapper"
)]

use std::io;

use nix::libc;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;
use seccompiler::sock_filter;

/// Installs a system call filter on the calling thread, without setting no-new-privileges: that is the container's choice.
/// Needs `CAP_SYS_ADMIN` when no-new-privileges is not set.
pub(crate) fn install_seccomp(program: &[sock_filter]) -> io::Result<()> {
    let len =
        u16::try_from(program.len()).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let prog = libc::sock_fprog { len, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: `prog` points at `len` filter instructions that outlive the call; the kernel copies them and writes nothing.
    // `sock_filter` of seccompiler and of libc are the same C structure.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const prog) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives a program about to be executed what it expects: no blocked signals and every disposition at its default. Rust's
/// runtime ignores broken pipes, and whoever started the engine may have ignored others.
pub(crate) fn reset_signals() -> io::Result<()> {
    for number in 1..=libc::SIGRTMAX() {
        // SAFETY: the default disposition installs no handler, so nothing can be called at a bad moment. Signals whose
        // disposition cannot be changed (KILL, STOP, those of the C library itself) are refused without effect.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
    SigSet::empty().thread_set_mask()?;
    Ok(())
}

/// Sends a signal by its number, real-time ones included.
pub(crate) fn send_raw_signal(pid: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two numbers and touches no memory of this process.
    let result = unsafe { libc::kill(pid.as_raw(), signal) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
