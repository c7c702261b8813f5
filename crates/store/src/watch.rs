//! Watchers: who wants to hear of changes, and how they are told without ever waiting for the slow ones.
//!
//! The writer never blocks on a watcher. A watcher that lets its buffer fill is dropped: its stream yields
//! what it has and ends, and [`Watcher::lagged`] says why.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use futures::Stream;
use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;

use crate::state::State;
use crate::{Compacted, Event, Revision};

#[derive(Debug)]
struct Registered {
    prefix: Box<str>,
    /// What the watcher got from history when it registered; only later events are sent.
    since: Revision,
    events: mpsc::Sender<Event>,
    lagged: Arc<AtomicBool>,
}

impl Registered {
    /// Sends one event; `false` when the watcher is gone or lagging.
    fn send(&self, event: &Event) -> bool {
        if event.revision <= self.since || !event.entry.key.starts_with(&*self.prefix) {
            return true;
        }
        match self.events.try_send(event.clone()) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Closed(_)) => false,
            Err(mpsc::error::TrySendError::Full(_)) => {
                self.lagged.store(true, Ordering::Release);
                false
            }
        }
    }
}

#[derive(Debug, Default)]
struct Registry {
    watchers: Vec<Registered>,
    closed: bool,
}

/// All watchers of a store.
#[derive(Debug, Default)]
pub(crate) struct Watchers {
    registry: Mutex<Registry>,
    /// Everything up to here was handed to the watchers.
    published: Arc<AtomicU64>,
}

impl Watchers {
    pub(crate) fn new(revision: Revision) -> Self {
        Self { registry: Mutex::default(), published: Arc::new(AtomicU64::new(revision.0)) }
    }

    pub(crate) fn len(&self) -> usize {
        self.registry.lock().watchers.len()
    }

    /// Registers a watcher. The registry is locked before the state is read, so no event falls between
    /// history and stream.
    pub(crate) fn watch(
        &self,
        state: &RwLock<State>,
        prefix: &str,
        after: Revision,
        buffer: usize,
    ) -> Result<Watcher, Compacted> {
        let (events, receiver) = mpsc::channel(buffer.max(1));
        let lagged = Arc::new(AtomicBool::new(false));
        let mut registry = self.registry.lock();
        let (backlog, since) = {
            let state = state.read();
            let backlog: VecDeque<Event> = state
                .events_after(after)?
                .filter(|event| event.entry.key.starts_with(prefix))
                .cloned()
                .collect();
            (backlog, state.revision())
        };
        registry.watchers.retain(|watcher| !watcher.events.is_closed());
        if !registry.closed {
            registry.watchers.push(Registered {
                prefix: prefix.into(),
                since,
                events,
                lagged: Arc::clone(&lagged),
            });
        }
        drop(registry);
        let published = Arc::clone(&self.published);
        Ok(Watcher { backlog, receiver, lagged, published, since, last: after })
    }

    /// Hands out events that the state already shows, in revision order.
    pub(crate) fn publish(&self, events: &[Event], revision: Revision) {
        let mut registry = self.registry.lock();
        registry.watchers.retain(|watcher| events.iter().all(|event| watcher.send(event)));
        self.published.store(revision.0, Ordering::Release);
    }

    /// Ends all streams, now and later.
    pub(crate) fn close(&self) {
        let mut registry = self.registry.lock();
        registry.closed = true;
        registry.watchers.clear();
    }
}

/// A stream of the changes under a prefix, in revision order, each once.
#[derive(Debug)]
pub struct Watcher {
    backlog: VecDeque<Event>,
    receiver: mpsc::Receiver<Event>,
    lagged: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    since: Revision,
    last: Revision,
}

impl Watcher {
    /// The next change, or `None` when the store closed or the watcher lagged.
    pub async fn next_event(&mut self) -> Option<Event> {
        std::future::poll_fn(|context| self.poll_event(context)).await
    }

    /// Whether the stream ends because this watcher did not keep up.
    pub fn lagged(&self) -> bool {
        self.lagged.load(Ordering::Acquire)
    }

    /// A revision up to which this stream has yielded everything there is: what a bookmark may say.
    pub fn progress(&self) -> Revision {
        // Read before looking at the buffer: what is published is in the buffer or was already taken out of
        // it.
        let published = Revision(self.published.load(Ordering::Acquire)).max(self.since);
        if self.backlog.is_empty() && self.receiver.is_empty() && !self.lagged() {
            return published.max(self.last);
        }
        // Changes of one transaction of a shared back end carry the same revision; some of them may still
        // wait.
        Revision(self.last.0.saturating_sub(1))
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let event = match self.backlog.pop_front() {
            Some(event) => Some(event),
            None => match self.receiver.poll_recv(context) {
                Poll::Ready(event) => event,
                Poll::Pending => return Poll::Pending,
            },
        };
        if let Some(event) = &event {
            self.last = event.revision;
        }
        Poll::Ready(event)
    }
}

impl Stream for Watcher {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        self.poll_event(context)
    }
}
