//! The state store: keys with JSON values, one revision counter, history to watch from, and a back end that
//! keeps it all.
//!
//! Every read, list and watch is served from memory. Every write goes through one writer thread that groups
//! what is waiting into one transaction of the [`Backend`], and publishes it only when the back end says it
//! is durable.
//!
//! Invariants:
//! 1. An acknowledged durable write is on disk. A write that was not acknowledged is there completely or not
//!    at all.
//! 2. Revisions only grow, also over `kill -9`, also when only volatile entries were written.
//! 3. Readers see a change after it is durable, and in revision order; a watcher sees every change once, or
//!    is told that it lagged.
//! 4. A failed write leaves memory as it was. When the state on disk is not known any more, durable writes
//!    are refused.
//! 5. Memory is bounded: history by count and bytes, each watcher by its buffer, each value by its size, the
//!    queue by its length.
//! 6. An idle store writes nothing.
//!
//! What it does not do: know kinds, parse values, or cluster. Several servers share state through a shared
//! back end ([`Tenancy::Shared`]), never through each other.
#![forbid(unsafe_code)]

mod backend;
pub mod conformance;
mod entry;
mod error;
mod memory;
mod sqlite;
mod state;
mod store;
mod watch;
mod writer;

pub use backend::{
    Backend, Batch, Committed, ForeignChange, Nudge, Op, OpChange, OpResult, Opened, Record, Tenancy,
};
pub use entry::{
    Change, Durability, Entry, Event, EventKind, Expect, List, Page, Revision, StoreConfig, StoreStats, Write,
};
pub use error::{BackendError, Certainty, CommitError, Compacted, StoreError, WriteError};
pub use memory::{MemoryBackend, MemoryDisk};
pub use sqlite::{DATABASE_FILE, SqliteBackend};
pub use store::Store;
pub use watch::Watcher;
