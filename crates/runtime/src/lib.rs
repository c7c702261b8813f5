//! Containers through libcontainer, one shim process each, and the asynchronous side that talks to the shims.
//!
//! [`Runtime`] belongs to the engine's process. It writes what it wants into a directory per container, starts a shim (the same
//! executable again, [`shim_main`]) and speaks to it over a socket. The shim creates the container, writes its log, waits for
//! its end and records it; it outlives the engine, and a new [`Runtime`] finds it again. What this crate deliberately does not
//! know: pods, images, mounts of root filesystems, networks.
//!
//! Invariants:
//! 1. libcontainer runs only in single-threaded shim processes, never in the engine's.
//! 2. Of every container that was started there is a start record or an exit record in its directory, at every moment.
//! 3. A container whose shim died is killed and recorded as exited with code 255: nothing runs unobserved.
//! 4. [`Runtime::remove`] leaves no process, cgroup or file behind, whatever state it finds.
//! 5. A program runs without the system call filter only if the request says so.

#![deny(unsafe_code)]

mod capabilities;
mod cgroup;
mod error;
mod observed;
mod oci;
mod protocol;
mod record;
mod runtime;
mod seccomp;
mod shim;
mod spec;
mod sys;

pub use error::{RuntimeError, SpecError};
pub use observed::{
    ContainerState, ExecExit, ExecOutcome, ExecRequest, Exit, RuntimeEvent, Started, Stats, Status,
};
pub use runtime::{Runtime, RuntimeConfig};
pub use shim::shim_main;
pub use spec::{
    ContainerId, ContainerSpec, LogSpec, Mount, MountKind, Resources, Seccomp, Security, User, parse_signal,
};
