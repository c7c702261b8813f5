//! What can go wrong in the network, always with the thing it went wrong for.

use std::io;
use std::path::PathBuf;

use crate::Ipv4Cidr;

/// Why a network operation failed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A pod UID is also a file name, so it is limited to letters, digits, `-` and `_`, at most 63 of them.
    #[error("{uid:?} cannot name a pod network: only letters, digits, - and _ are allowed, at most 63")]
    InvalidUid {
        /// The UID.
        uid: String,
    },
    /// The instance name becomes part of interface and table names.
    #[error("{instance:?} cannot name an engine: it needs 1 to 32 letters or digits")]
    InvalidInstance {
        /// The name.
        instance: String,
    },
    /// Pods and services need address ranges of their own.
    #[error("the address ranges {pods} and {services} overlap or are too small")]
    Ranges {
        /// The range for pods.
        pods: Ipv4Cidr,
        /// The range for services.
        services: Ipv4Cidr,
    },
    /// Every address is taken.
    #[error("no address is left in {range}")]
    Exhausted {
        /// The range for pods.
        range: Ipv4Cidr,
    },
    /// More services or endpoints than one table takes.
    #[error("{count} {what} are over the limit of {limit}")]
    TooMany {
        /// `services` or `endpoints`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The kernel refused a request.
    #[error("the kernel refused to {action}{}", detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default())]
    Kernel {
        /// What was asked.
        action: String,
        /// What the kernel says about it, if anything.
        detail: Option<String>,
        /// The error number.
        #[source]
        source: io::Error,
    },
    /// A netlink socket failed.
    #[error("the netlink socket failed")]
    Socket {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A network namespace could not be made or pinned.
    #[error("cannot make the network namespace {}", path.display())]
    Namespace {
        /// Where it is pinned.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the run directory or a kernel setting could not be read or written.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start a thread for the network")]
    Thread(#[source] io::Error),
    /// The network was torn down.
    #[error("the network is torn down")]
    Closed,
}

impl NetworkError {
    /// Whether the kernel answered with this error number.
    pub(crate) fn is(&self, errno: nix::errno::Errno) -> bool {
        matches!(self, Self::Kernel { source, .. } if source.raw_os_error() == Some(errno as i32))
    }
}

/// Turns an I/O error at `path` into ours.
pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> NetworkError {
    let path = path.into();
    move |source| NetworkError::Io { path, source }
}
