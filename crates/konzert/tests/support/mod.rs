//! A whole engine for tests and for the bench: the real binary, real containers, in a network namespace of its own.
//!
//! The host's addresses, routes and firewall are never touched. What an engine leaves behind on the machine (processes,
//! mounts, control groups, files) is a failure, see [`leftovers`]. Does not know what is tested.
#![allow(dead_code, reason = "every program that includes this module uses another part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests stop at the first surprise and say what they skip"
)]

pub(crate) mod cgroups;
pub(crate) mod cluster;
pub(crate) mod engine;
pub(crate) mod fleet;
pub(crate) mod leftovers;
pub(crate) mod netns;
pub(crate) mod process;

use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine; reaching it is a failure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const POLL_EVERY: Duration = Duration::from_millis(25);

/// Whether real containers can be made; says loudly when not.
pub(crate) fn have_root(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: {what}: needs root for namespaces, mounts and cgroups; run the tests as root");
    }
    root
}

/// Waits until `look` gives something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s", PATIENCE.as_secs());
        std::thread::sleep(POLL_EVERY);
    }
}
