//! Reading container logs: across rotated files, from a tail or a time on, following without polling.
//!
//! Memory is bounded by one chunk and one line per reader, whatever the log holds.

mod files;
mod follow;
mod line;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;
use tokio::sync::watch;

pub(crate) use files::{attempts, bounded, last_text};

/// Which log, and which part of it.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// Uid of the pod.
    pub uid: String,
    /// Name of the container.
    pub container: String,
    /// Go on while the container runs.
    pub follow: bool,
    /// The instance before the present one.
    pub previous: bool,
    /// At most this many lines, from the end.
    pub tail_lines: Option<u64>,
    /// Nothing older than this.
    pub since: Option<Timestamp>,
    /// Begin every line with its time.
    pub timestamps: bool,
    /// At most this many bytes.
    pub limit_bytes: Option<u64>,
}

/// Why a log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A name that cannot be one.
    #[error("pod {namespace}/{pod} is not on this node")]
    NoPod {
        /// Namespace asked for.
        namespace: String,
        /// Pod asked for.
        pod: String,
    },
    /// The container has not started yet.
    #[error("container \"{container}\" in pod \"{pod}\" is waiting to start")]
    NotStarted {
        /// Container asked for.
        container: String,
        /// Its pod.
        pod: String,
    },
    /// There was no instance before this one.
    #[error("previous terminated container \"{container}\" in pod \"{pod}\" not found")]
    NoPrevious {
        /// Container asked for.
        container: String,
        /// Its pod.
        pod: String,
    },
    /// The files cannot be read.
    #[error("log {} cannot be read", path.display())]
    Io {
        /// Log file or directory.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// A log as it is read.
pub type LogStream = BoxStream<'static, io::Result<Bytes>>;

/// Tells a follower when the container has ended.
#[derive(Clone)]
pub(crate) struct Ending {
    /// Changes whenever some container ended.
    pub(crate) tick: watch::Receiver<u64>,
    /// Whether this one has.
    pub(crate) ended: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Opens the log that `query` asks for in the pod's log directory.
pub(crate) async fn open(
    logs: &Path,
    query: &LogQuery,
    ending: impl FnOnce(u32) -> Ending,
) -> Result<LogStream, LogError> {
    let dir = logs.join(&query.container);
    let known = attempts(&dir);
    let Some(newest) = known.last().copied() else {
        return Err(LogError::NotStarted { container: query.container.clone(), pod: query.pod.clone() });
    };
    let missing = || LogError::NoPrevious { container: query.container.clone(), pod: query.pod.clone() };
    let attempt =
        if query.previous { known.iter().rev().nth(1).copied().ok_or_else(missing)? } else { newest };
    let path = dir.join(format!("{attempt}.log"));
    follow::stream(path, query.clone(), ending(attempt)).await
}
