//! What can go wrong: opening, writing, asking for a revision that is gone.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Entry, Revision};

/// The asked revision is not available: its history was dropped, or it lies in the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("revision {requested} is not available: the store holds {oldest} to {current}")]
pub struct Compacted {
    /// The revision that was asked for.
    pub requested: Revision,
    /// The oldest revision that is available.
    pub oldest: Revision,
    /// The current revision.
    pub current: Revision,
}

impl Compacted {
    /// Whether the revision is one that the store has not reached yet.
    pub fn is_future(&self) -> bool {
        self.requested > self.current
    }
}

/// Why a store could not be opened or closed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The back end refused.
    #[error("cannot open or close the state store")]
    Backend(#[from] BackendError),
    /// The writer thread could not be started.
    #[error("cannot start the writer of the state store")]
    Thread(#[source] io::Error),
    /// The writer is gone before it answered.
    #[error("the writer of the state store ended early")]
    Gone,
}

/// Why a write was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The key is not in the expected state.
    #[error("the entry is not in the expected state")]
    Conflict {
        /// What is there instead.
        current: Option<Entry>,
    },
    /// Key or value is over its limit.
    #[error("{what} of {size} bytes is over the limit of {limit} bytes")]
    TooLarge {
        /// `key` or `value`.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The store was closed.
    #[error("the state store is closed")]
    Closed,
    /// The back end failed; nothing changed in memory. Several writes of one batch share the cause.
    #[error("the state store could not keep the write")]
    Backend(#[source] Arc<BackendError>),
}

/// Why a back end failed.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The disk is full. The write is not there; later writes may work.
    #[error("no space left for {}", path.display())]
    Full {
        /// The database file.
        path: PathBuf,
    },
    /// Another process holds the database.
    #[error("{} is in use by another process", path.display())]
    InUse {
        /// The database file.
        path: PathBuf,
    },
    /// The file is not an `SQLite` database.
    #[error("{} is not a database", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("{} is a database of another program (application id {application_id:#x})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it carries as application id.
        application_id: i32,
    },
    /// The database was written by a newer version.
    #[error("{} has schema version {found}, this version knows up to {supported}", path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: i32,
        /// The newest version known.
        supported: i32,
    },
    /// The file system cannot hold a write-ahead log.
    #[error("{} cannot use a write-ahead log, its journal mode stays {mode}", path.display())]
    NoWal {
        /// The file.
        path: PathBuf,
        /// The journal mode that `SQLite` chose instead.
        mode: String,
    },
    /// The database contradicts itself or what is in memory.
    #[error("{} is damaged: {detail}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// File or directory could not be made ready.
    #[error("cannot prepare {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Any other failure of `SQLite`.
    #[error("the database {} failed", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// An earlier commit ended in an unknown state, so durable writes are refused until the store is opened
    /// again.
    #[error(
        "an earlier write ended in an unknown state; durable writes are refused until the engine is restarted"
    )]
    OutcomeUnknown,
    /// A failure that a test or a remote back end reports.
    #[error("the back end is unavailable: {detail}")]
    Unavailable {
        /// What happened.
        detail: String,
    },
}

/// What is known after a failed commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Nothing of the batch is kept.
    NothingKept,
    /// The batch may be kept or not; only reading the state again tells.
    Unknown,
}

/// A commit that failed, and what is known about its effect.
#[derive(Debug, thiserror::Error)]
#[error("commit failed ({certainty:?})")]
pub struct CommitError {
    /// What is known about the effect.
    pub certainty: Certainty,
    /// Why it failed.
    #[source]
    pub cause: BackendError,
}
