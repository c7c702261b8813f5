//! The store as its users see it: a cheap handle to memory and to the writer thread.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};

use crate::backend::Nudge;
use crate::state::State;
use crate::watch::Watchers;
use crate::writer::{Message, Request, Writer};
use crate::{
    Backend, Change, Compacted, Entry, List, MemoryBackend, Page, Revision, SqliteBackend, StoreConfig,
    StoreError, StoreStats, Watcher, Write, WriteError,
};

/// How many records are read at once while loading.
const LOAD_PAGE: usize = 1024;

/// What readers and the writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
    pub(crate) watchers: Watchers,
    pub(crate) config: StoreConfig,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Message>,
}

/// A handle to an open store. Clones share it; the last one dropped closes it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

impl Store {
    /// Opens a store over `backend`: loads everything, then starts the writer thread.
    pub async fn open(backend: impl Backend, config: StoreConfig) -> Result<Self, StoreError> {
        let (opened, ready) = oneshot::channel();
        std::thread::Builder::new()
            .name("konzert-store".into())
            .spawn(move || serve(backend, config, opened))
            .map_err(StoreError::Thread)?;
        // The thread answers before it serves; it drops the sender only by panicking.
        ready.await.unwrap_or(Err(StoreError::Gone))
    }

    /// Opens the `SQLite` database in directory `dir`, creating both when missing (0700 and 0600).
    pub async fn open_sqlite(dir: &Path, config: StoreConfig) -> Result<Self, StoreError> {
        Self::open(SqliteBackend::new(dir), config).await
    }

    /// A store that keeps nothing, for tests and simulations.
    pub async fn in_memory(config: StoreConfig) -> Result<Self, StoreError> {
        Self::open(MemoryBackend::default(), config).await
    }

    /// Writes one key, and returns when it is as durable as asked and every reader sees it.
    ///
    /// Returns the new entry; for a deletion the last value stamped with the deletion revision. Dropping the
    /// future does not take the write back.
    pub async fn write(&self, write: Write) -> Result<Entry, WriteError> {
        self.check_size(&write)?;
        let (reply, answer) = oneshot::channel();
        let request = Message::Write(Request::new(write, reply));
        if self.inner.queue.send(request).await.is_err() {
            return Err(WriteError::Closed);
        }
        answer.await.unwrap_or(Err(WriteError::Closed))
    }

    fn check_size(&self, write: &Write) -> Result<(), WriteError> {
        let config = &self.inner.shared.config;
        let (size, limit) = (write.key.len(), config.max_key_bytes);
        if size > limit {
            return Err(WriteError::TooLarge { what: "key", size, limit });
        }
        let limit = config.max_value_bytes;
        match &write.change {
            Change::Put(value) if value.len() > limit => {
                Err(WriteError::TooLarge { what: "value", size: value.len(), limit })
            }
            Change::Put(_) | Change::Delete => Ok(()),
        }
    }

    /// The current entry of a key.
    pub fn get(&self, key: &str) -> Option<Entry> {
        self.inner.shared.state.read().slot(key).map(|slot| slot.entry.clone())
    }

    /// One page of the entries under `prefix`, now or at an older revision.
    pub fn list(&self, prefix: &str, page: Page) -> Result<List, Compacted> {
        self.inner.shared.state.read().list(prefix, page)
    }

    /// How many entries there are under `prefix`.
    pub fn count(&self, prefix: &str) -> usize {
        self.inner.shared.state.read().count(prefix)
    }

    /// The revision of the newest change that readers see.
    pub fn revision(&self) -> Revision {
        self.inner.shared.state.read().revision()
    }

    /// Every change under `prefix` behind revision `after`, as a stream.
    pub fn watch(&self, prefix: &str, after: Revision) -> Result<Watcher, Compacted> {
        let shared = &self.inner.shared;
        shared.watchers.watch(&shared.state, prefix, after, shared.config.watch_buffer)
    }

    /// Drops history up to `to`.
    pub fn compact(&self, to: Revision) {
        self.inner.shared.state.write().compact(to);
    }

    /// What the store holds right now.
    pub fn stats(&self) -> StoreStats {
        let watchers = self.inner.shared.watchers.len();
        let state = self.inner.shared.state.read();
        let (history_events, history_bytes) = state.history_len();
        StoreStats {
            revision: state.revision(),
            oldest: state.oldest(),
            entries: state.len(),
            history_events,
            history_bytes,
            watchers,
        }
    }

    /// Finishes the writes that were accepted, ends all watchers and closes the back end. Other handles get
    /// [`WriteError::Closed`] from then on; reads still work.
    pub async fn close(self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        if self.inner.queue.send(Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        answer.await.unwrap_or(Ok(()))
    }
}

/// The writer thread: opens, answers, serves until closed.
fn serve(mut backend: impl Backend, config: StoreConfig, opened: oneshot::Sender<Result<Store, StoreError>>) {
    let (queue, messages) = mpsc::channel(config.queue.max(1));
    let pending = Arc::new(AtomicBool::new(false));
    let nudge = Nudge { pending: Arc::clone(&pending), queue: queue.downgrade() };
    let loaded = backend.open(nudge).and_then(|info| {
        let mut state = State::new(info.revision, &config);
        let mut after: Option<Arc<str>> = None;
        loop {
            let records = backend.range(after.as_deref(), LOAD_PAGE, info.revision)?;
            let Some(last) = records.last() else { return Ok((info, state)) };
            after = Some(Arc::clone(&last.key));
            for record in records {
                state.load(record);
            }
        }
    });
    let (info, state) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            // Nobody may be waiting any more; then the error has no reader.
            opened.send(Err(error.into())).ok();
            return;
        }
    };
    let watchers = Watchers::new(info.revision);
    let shared = Arc::new(Shared { state: RwLock::new(state), watchers, config });
    let store = Store { inner: Arc::new(Inner { shared: Arc::clone(&shared), queue }) };
    // If the opener is gone, the handle is dropped here, the queue ends and the writer closes the back end at
    // once.
    opened.send(Ok(store)).ok();
    Writer::new(backend, info, shared, messages, pending).run();
}
