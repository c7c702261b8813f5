//! Errors of this crate. Each names the container or the path it is about; the cause is the source.

use std::io;
use std::path::PathBuf;

/// A container specification that is refused before anything is done.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// Not usable as an id.
    #[error("container id {id:?} is not 1 to 128 of a-z, 0-9 and `-`, starting with a letter or digit")]
    Id {
        /// What was given.
        id: String,
    },
    /// One field is wrong.
    #[error("container {id}: {field}: {problem}")]
    Field {
        /// The container.
        id: String,
        /// The field, as named in [`crate::ContainerSpec`].
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A capability nobody knows.
    #[error("container {id}: unknown capability {name:?}")]
    Capability {
        /// The container.
        id: String,
        /// What was given.
        name: String,
    },
    /// The OCI runtime specification could not be put together.
    #[error("container {id}: cannot build the runtime specification")]
    Oci {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: Box<oci_spec::OciSpecError>,
    },
}

/// What can go wrong with a container.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// The specification is refused.
    #[error("the container specification is invalid")]
    Spec(#[from] SpecError),
    /// A container of this id is already there.
    #[error("container {id} already exists")]
    AlreadyExists {
        /// The container.
        id: String,
    },
    /// No container of this id.
    #[error("container {id} does not exist")]
    NotFound {
        /// The container.
        id: String,
    },
    /// The container has exited, so this cannot be done to it.
    #[error("container {id} is not running")]
    NotRunning {
        /// The container.
        id: String,
    },
    /// The container could not be created or its program not be started.
    #[error("container {id} could not be started: {message}")]
    StartFailed {
        /// The container.
        id: String,
        /// The cause, in words meant for a person.
        message: String,
        /// What a shell would exit with: 127 not found, 126 not executable, 128 anything else.
        exit_code: i32,
    },
    /// A program could not be executed inside a running container.
    #[error("cannot execute in container {id}: {message}")]
    ExecFailed {
        /// The container.
        id: String,
        /// The cause, in words meant for a person.
        message: String,
        /// What a shell would exit with: 127 not found, 126 not executable, 128 anything else.
        exit_code: i32,
    },
    /// A request to the shim was refused.
    #[error("container {id}: {message}")]
    Refused {
        /// The container.
        id: String,
        /// What the shim said.
        message: String,
    },
    /// The shim answered nothing, or nothing that can be understood.
    #[error("container {id}: cannot talk to its shim")]
    Shim {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The shim could not be started.
    #[error("container {id}: cannot start the shim {}", exe.display())]
    Spawn {
        /// The container.
        id: String,
        /// The executable.
        exe: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or directory of ours could not be used.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Processes of a container did not go away after SIGKILL.
    #[error("container {id}: {left} processes survive SIGKILL in cgroup {cgroup}")]
    Unkillable {
        /// The container.
        id: String,
        /// Its cgroup.
        cgroup: String,
        /// How many are left.
        left: usize,
    },
    /// Work handed to a thread was lost.
    #[error("a background step for container {id} was cancelled")]
    Cancelled {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
}
