//! What a back end must do. The store decides and caches; a back end keeps.
//!
//! Two families fit behind the trait. An *exclusive* back end (`SQLite`) belongs to one store: the store
//! assigns revisions and the back end records them. A *shared* back end (etcd) is written by several stores:
//! it assigns revisions, compares on its own, and tells what others changed. Methods block; they are called
//! from the store's writer thread only, so a network back end drives its client with its own runtime handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc::WeakSender;

use crate::writer::Message;
use crate::{BackendError, CommitError, Revision};

/// Who else writes to the back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// Only this store. Revisions are the store's; volatile entries never reach the back end.
    Exclusive,
    /// Other stores as well. Revisions are the back end's; volatile entries are kept by it too, because all
    /// servers must see them.
    Shared,
}

/// What a back end reports when a store takes it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// No revision up to this one may be given out again.
    pub revision: Revision,
    /// Who else writes.
    pub tenancy: Tenancy,
}

/// One kept key. The value is as written, before the stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The full key.
    pub key: Arc<str>,
    /// The value as written.
    pub value: Bytes,
    /// The revision that created it.
    pub created: Revision,
    /// The revision that changed it last.
    pub modified: Revision,
}

/// What one operation of a batch does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpChange {
    /// Creates or replaces.
    Put(Bytes),
    /// Removes.
    Delete,
}

/// One compare-and-swap of a batch. A batch has at most one per key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Op {
    /// The full key.
    pub key: Arc<str>,
    /// The modification revision that the back end must hold for the key; `None`: it must not hold the key.
    pub held: Option<Revision>,
    /// What to do.
    pub change: OpChange,
    /// The revision that created the key, when it was volatile before; else the one of the change. A shared
    /// back end knows better.
    pub created: Revision,
    /// The revision of the change. An exclusive back end records this one; a shared one assigns its own.
    pub revision: Revision,
}

/// Operations that become durable together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The operations, in revision order.
    pub ops: Vec<Op>,
    /// Exclusive only: from now on no revision up to this one may be given out after a restart.
    pub reserve: Option<Revision>,
}

/// What became of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpResult {
    /// Kept, at this revision.
    Done(Revision),
    /// The held revision did not match. Only a shared back end answers this; [`Committed::foreign`] then has
    /// the reason.
    Conflict,
}

/// A change that another store made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignChange {
    /// The key.
    pub key: Arc<str>,
    /// The new value, or `None` for a deletion.
    pub value: Option<Bytes>,
    /// Its revision.
    pub revision: Revision,
}

/// The answer to a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// One result per operation, in order.
    pub results: Vec<OpResult>,
    /// Shared only: what others changed since the last answer, up to the newest revision in `results`, in
    /// revision order.
    pub foreign: Vec<ForeignChange>,
}

/// Wakes the store's writer because a shared back end has foreign changes. Cheap to clone; never blocks.
#[derive(Clone, Debug)]
pub struct Nudge {
    pub(crate) pending: Arc<AtomicBool>,
    pub(crate) queue: WeakSender<Message>,
}

impl Nudge {
    /// Says that [`Backend::changes`] has something new.
    pub fn changed(&self) {
        if self.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        // A full queue needs no message: the writer is about to run and looks at the flag.
        if let Some(queue) = self.queue.upgrade() {
            queue.try_send(Message::Wake).ok();
        }
    }
}

/// Keeps the durable part of a store.
pub trait Backend: Send + 'static {
    /// Takes the back end over. Called once, before anything else.
    fn open(&mut self, nudge: Nudge) -> Result<Opened, BackendError>;

    /// Up to `limit` records with keys behind `after`, in key order, as of revision `at`. An exclusive back
    /// end may ignore `at`: nobody else writes.
    fn range(&mut self, after: Option<&str>, limit: usize, at: Revision)
    -> Result<Vec<Record>, BackendError>;

    /// Makes the batch durable: when it returns `Ok`, every `Done` operation survives a crash. An exclusive
    /// back end keeps all or nothing.
    fn commit(&mut self, batch: &Batch) -> Result<Committed, CommitError>;

    /// Shared only: what others changed after the last answer, in revision order (watch from a revision).
    fn changes(&mut self, after: Revision) -> Result<Vec<ForeignChange>, BackendError>;

    /// Gives the back end back in order. `revision` is the last one given out.
    fn close(&mut self, revision: Revision) -> Result<(), BackendError>;
}
