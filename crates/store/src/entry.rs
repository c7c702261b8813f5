//! The words of the store: revision, entry, write, event, page. Plain values, no behaviour beyond
//! construction.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A point in the one history of the store. Grows with every write of any key; never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One key at one revision. Cheap to clone: key and value are shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The full key.
    pub key: Arc<str>,
    /// The value as served, that is after [`StoreConfig::stamp`].
    pub value: Bytes,
    /// The revision that created the key; stays over updates.
    pub created: Revision,
    /// The revision of the last change; of the deletion for a deleted entry.
    pub modified: Revision,
}

/// Whether an entry survives a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk before the write is acknowledged.
    Durable,
    /// In memory only; shares the revision counter, gone after a restart. A key that is durable stays
    /// durable.
    Volatile,
}

/// The state a write expects to find (compare-and-swap).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The key does not exist.
    Absent,
    /// The key was last modified at this revision.
    At(Revision),
    /// Whatever is there. A delete still needs the key to exist.
    Any,
}

/// What a write does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Creates or replaces the value. The bytes are the value before the stamp.
    Put(Bytes),
    /// Removes the key.
    Delete,
}

/// One write of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The full key.
    pub key: Arc<str>,
    /// The state it expects.
    pub expect: Expect,
    /// What it does.
    pub change: Change,
    /// Whether it must survive a restart.
    pub durability: Durability,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Created or replaced; created when [`Event::previous`] is `None`.
    Put,
    /// Removed.
    Delete,
}

/// One change, as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The revision of the change.
    pub revision: Revision,
    /// What happened.
    pub kind: EventKind,
    /// The entry after the change; for a deletion the last value, stamped with the deletion revision.
    pub entry: Entry,
    /// The entry before the change.
    pub previous: Option<Entry>,
}

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// List as of this revision; `None` is now.
    pub at: Option<Revision>,
    /// Start behind this key (exclusive).
    pub after: Option<String>,
    /// At most this many entries; `None` is all.
    pub limit: Option<usize>,
}

/// The answer to a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct List {
    /// The entries, in key order.
    pub entries: Vec<Entry>,
    /// The revision that this list shows.
    pub revision: Revision,
    /// Whether more entries follow.
    pub more: bool,
    /// How many entries follow.
    pub remaining: usize,
}

/// How a store is set up.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// Makes the value as served from the value as written and its revision. Always called with the value as
    /// written.
    pub stamp: fn(&Bytes, Revision) -> Bytes,
    /// How many events are kept for watches from, and lists at, an older revision.
    pub history_events: usize,
    /// How many bytes of values these events may hold, counting each value with every event that shows it.
    pub history_bytes: usize,
    /// How many events may wait for one watcher before it is dropped as lagging.
    pub watch_buffer: usize,
    /// The largest value, in bytes.
    pub max_value_bytes: usize,
    /// The longest key, in bytes.
    pub max_key_bytes: usize,
    /// How many writes may wait for the writer before callers wait.
    pub queue: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            stamp: |value, _| value.clone(),
            history_events: 8192,
            history_bytes: 16 << 20,
            watch_buffer: 1024,
            max_value_bytes: 3 << 19,
            max_key_bytes: 2048,
            queue: 4096,
        }
    }
}

/// What a store holds right now, for `status` and the bench.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// The current revision.
    pub revision: Revision,
    /// The oldest revision that can be watched from or listed at.
    pub oldest: Revision,
    /// How many entries there are.
    pub entries: usize,
    /// How many events the history holds.
    pub history_events: usize,
    /// How many bytes of values the history holds, counted as for [`StoreConfig::history_bytes`].
    pub history_bytes: usize,
    /// How many watchers are registered.
    pub watchers: usize,
}
