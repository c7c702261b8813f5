//! Watch: the changes of a collection as a stream of frames, from a revision or from the present state.
//!
//! Guarantees: each change once and in order; a change that takes an object into or out of the selector is an `ADDED` or a
//! `DELETED`; a bookmark names a revision up to which everything was sent. A client that does not keep up, or asks for a
//! revision whose history is gone, gets an `ERROR` event with a 410 and the end of the stream.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt};
use futures::{FutureExt, stream};
use konzert_api::ApiError;
use konzert_store::{Compacted, Event, EventKind, Page, Revision, Watcher};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::{Filter, Place, Registry, now};
use crate::auth::EndOfStreams;
use crate::encode::restamp;
use crate::error::revision_gone;
use crate::options::{ListOptions, VersionAsked};
use crate::present::{Presenter, to_bytes};

const BOOKMARK_INTERVAL: Duration = Duration::from_mins(1);
/// Watches end after this time when the client names none, so that clients come back to another server now and then.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(40);
/// Nobody gets more, whatever they ask for: the clock does not reach any further.
const LONGEST_TIMEOUT: Duration = Duration::from_hours(365 * 24);
/// Events that are ready are sent together up to this size.
const FRAME_BYTES: usize = 64 * 1024;

/// Chunks of a watch response.
pub(crate) type WatchOutput = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// One client's watch.
pub(crate) struct WatchSession {
    place: Place,
    filter: Filter,
    presenter: Presenter,
    watcher: Option<Watcher>,
    initial: std::vec::IntoIter<Bytes>,
    /// A frame that follows the initial events.
    after_initial: Option<Bytes>,
    bookmarks: Option<Interval>,
    deadline: Instant,
    shutdown: EndOfStreams,
    told: Revision,
}

/// Where a watch starts.
struct Start {
    /// Send the present state first.
    initial: bool,
    /// Mark the end of the initial state.
    mark_end: bool,
    /// Otherwise: everything behind this revision; `None` is now.
    after: Option<Revision>,
}

impl Start {
    fn of(options: &ListOptions) -> Self {
        let asked = match options.version {
            VersionAsked::At(revision) => Some(Revision(revision)),
            VersionAsked::Latest | VersionAsked::Any => None,
        };
        match options.send_initial_events {
            Some(true) => Self { initial: true, mark_end: options.bookmarks, after: asked },
            Some(false) => Self { initial: false, mark_end: false, after: asked },
            None => Self { initial: asked.is_none(), mark_end: false, after: asked },
        }
    }
}

impl Registry {
    /// Starts a watch on the collection at `place`.
    pub(crate) fn watch(
        &self,
        place: Place,
        options: &ListOptions,
        presenter: Presenter,
        shutdown: EndOfStreams,
    ) -> Result<WatchOutput, ApiError> {
        let filter = Filter::parse(&place.kind, options)?;
        let start = Start::of(options);
        let current = self.store.revision();
        if let Some(asked) = start.after.filter(|asked| *asked > current) {
            return Err(revision_gone(Compacted { requested: asked, oldest: current, current }));
        }
        let prefix = filter.prefix(&place);
        let (initial, from) = if start.initial {
            self.initial_state(&place, &filter, &prefix)?
        } else {
            (Vec::new(), start.after.unwrap_or(current))
        };
        let watcher = self.store.watch(&prefix, from);
        let (watcher, after_initial) = match watcher {
            Ok(watcher) if start.mark_end => {
                (Some(watcher), Some(frame("BOOKMARK", &presenter.bookmark(from, true)?)))
            }
            Ok(watcher) => (Some(watcher), None),
            Err(gone) => (None, Some(error_frame(&revision_gone(gone))?)),
        };
        let session = WatchSession {
            place,
            filter,
            presenter,
            watcher,
            initial: initial.into_iter(),
            after_initial,
            bookmarks: options.bookmarks.then(bookmark_timer),
            deadline: Instant::now() + options.timeout.unwrap_or(DEFAULT_TIMEOUT).min(LONGEST_TIMEOUT),
            shutdown,
            told: from,
        };
        Ok(session.into_stream())
    }

    fn initial_state(
        &self,
        place: &Place,
        filter: &Filter,
        prefix: &str,
    ) -> Result<(Vec<Bytes>, Revision), ApiError> {
        let list = self.store.list(prefix, Page::default()).map_err(revision_gone)?;
        let mut matching = Vec::with_capacity(list.entries.len());
        for entry in list.entries {
            // An object that cannot be read matches no selector, as in a list.
            if filter.matches_stored(place, &entry.value).unwrap_or(false) {
                matching.push(entry.value);
            }
        }
        Ok((matching, list.revision))
    }
}

fn bookmark_timer() -> Interval {
    let mut timer = tokio::time::interval_at(Instant::now() + BOOKMARK_INTERVAL, BOOKMARK_INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

enum Wake {
    Event(Option<Event>),
    Bookmark,
    End,
}

impl WatchSession {
    fn into_stream(self) -> WatchOutput {
        stream::unfold(self, |mut session| async move {
            let chunk = session.next_chunk().await?;
            Some((Ok(chunk), session))
        })
        .boxed()
    }

    async fn next_chunk(&mut self) -> Option<Bytes> {
        if let Some(chunk) = self.initial_chunk() {
            return Some(chunk);
        }
        loop {
            match self.wake().await {
                Wake::End => return None,
                Wake::Bookmark => {
                    if let Some(frame) = self.bookmark_frame() {
                        return Some(frame);
                    }
                }
                Wake::Event(None) => return self.ended(),
                Wake::Event(Some(event)) => {
                    let chunk = self.chunk_from(&event);
                    if !chunk.is_empty() {
                        return Some(chunk);
                    }
                }
            }
        }
    }

    async fn wake(&mut self) -> Wake {
        let Some(watcher) = self.watcher.as_mut() else { return Wake::End };
        let bookmark = async {
            match self.bookmarks.as_mut() {
                Some(timer) => {
                    timer.tick().await;
                }
                None => std::future::pending::<()>().await,
            }
        };
        tokio::select! {
            biased;
            _ = self.shutdown.wait_for(|stop| *stop) => Wake::End,
            () = tokio::time::sleep_until(self.deadline) => Wake::End,
            event = watcher.next_event() => Wake::Event(event),
            () = bookmark => Wake::Bookmark,
        }
    }

    /// The present state, then what marks its end; `None` when both are through.
    fn initial_chunk(&mut self) -> Option<Bytes> {
        let mut chunk = BytesMut::new();
        while chunk.len() < FRAME_BYTES {
            let Some(stored) = self.initial.next() else {
                if let Some(last) = self.after_initial.take() {
                    chunk.put(last);
                }
                break;
            };
            self.put_frame(&mut chunk, "ADDED", &stored);
        }
        (!chunk.is_empty()).then(|| chunk.freeze())
    }

    /// This event and those that are ready behind it.
    fn chunk_from(&mut self, first: &Event) -> Bytes {
        let mut chunk = BytesMut::new();
        self.put_event(&mut chunk, first);
        while chunk.len() < FRAME_BYTES {
            let ready = self.watcher.as_mut().and_then(|w| w.next_event().now_or_never().flatten());
            let Some(event) = ready else { break };
            self.put_event(&mut chunk, &event);
        }
        chunk.freeze()
    }

    fn put_event(&mut self, chunk: &mut BytesMut, event: &Event) {
        self.told = event.revision;
        let matches = |value: &Bytes| self.filter.matches_stored(&self.place, value).unwrap_or(false);
        let now_in = matches(&event.entry.value);
        let was_in = event.previous.as_ref().is_some_and(|p| matches(&p.value));
        match (event.kind, was_in, now_in) {
            (EventKind::Put, false, true) => self.put_frame(chunk, "ADDED", &event.entry.value),
            (EventKind::Put, true, true) => self.put_frame(chunk, "MODIFIED", &event.entry.value),
            (EventKind::Put, true, false) => {
                let previous = event.previous.as_ref().map_or(&event.entry.value, |p| &p.value);
                self.put_frame(chunk, "DELETED", &restamp(previous, event.revision));
            }
            (EventKind::Delete, _, true) => self.put_frame(chunk, "DELETED", &event.entry.value),
            (EventKind::Put | EventKind::Delete, _, false) => {}
        }
    }

    fn put_frame(&self, chunk: &mut BytesMut, kind: &str, stored: &Bytes) {
        let shown = self.place.present(stored).and_then(|bytes| self.presenter.object(&bytes, now()));
        match shown {
            Ok(bytes) => put_frame(chunk, kind, &bytes),
            Err(error) => tracing::error!(%error, "an object cannot be shown to a watcher"),
        }
    }

    fn bookmark_frame(&mut self) -> Option<Bytes> {
        let reached = self.watcher.as_ref()?.progress();
        if reached <= self.told {
            return None;
        }
        let object = self.presenter.bookmark(reached, false).ok()?;
        self.told = reached;
        Some(frame("BOOKMARK", &object))
    }

    /// The last frame: a client that lagged is told to list again.
    fn ended(&mut self) -> Option<Bytes> {
        let watcher = self.watcher.take()?;
        if !watcher.lagged() {
            return None;
        }
        tracing::debug!(kind = self.place.kind.kind(), "a watcher did not keep up and was ended");
        error_frame(&ApiError::gone_expired("the watch did not keep up with the changes; list again")).ok()
    }
}

fn put_frame(chunk: &mut BytesMut, kind: &str, object: &[u8]) {
    chunk.reserve(object.len() + 40);
    chunk.put_slice(b"{\"type\":\"");
    chunk.put_slice(kind.as_bytes());
    chunk.put_slice(b"\",\"object\":");
    chunk.put_slice(object);
    chunk.put_slice(b"}\n");
}

fn frame(kind: &str, object: &[u8]) -> Bytes {
    let mut chunk = BytesMut::new();
    put_frame(&mut chunk, kind, object);
    chunk.freeze()
}

fn error_frame(error: &ApiError) -> Result<Bytes, ApiError> {
    Ok(frame("ERROR", &to_bytes(&error.to_status())?))
}
