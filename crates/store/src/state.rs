//! What is in memory: the current entries, and the last events with what they replaced.
//!
//! Pure data structure, no locks, no threads. A list at an older revision is the current one with the later
//! events undone, so the past costs memory only for what changed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Compacted, Durability, Entry, Event, EventKind, List, Page, Record, Revision, StoreConfig};

/// How to get the value as written back from the value as served, without keeping both.
#[derive(Clone, Debug)]
enum Written {
    /// The stamp only inserted bytes: the first `prefix` bytes and the last `len - prefix` bytes are the
    /// value as written.
    Spliced { prefix: usize, len: usize },
    /// The stamp did something else.
    Whole(Bytes),
}

impl Written {
    fn of(written: &Bytes, served: &Bytes) -> Self {
        let prefix = written.iter().zip(served.iter()).take_while(|(a, b)| a == b).count();
        let tail = &written[prefix..];
        if served.len() >= written.len() && served.ends_with(tail) {
            Self::Spliced { prefix, len: written.len() }
        } else {
            Self::Whole(written.clone())
        }
    }

    fn restore(&self, served: &Bytes) -> Bytes {
        match self {
            Self::Whole(written) => written.clone(),
            Self::Spliced { len, .. } if *len == served.len() => served.clone(),
            Self::Spliced { prefix, len } => {
                let tail = served.len() - (len - prefix);
                [&served[..*prefix], &served[tail..]].concat().into()
            }
        }
    }
}

/// A current entry.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) entry: Entry,
    pub(crate) durability: Durability,
    written: Written,
}

/// A change that is ready to be shown: durable if it has to be.
#[derive(Debug)]
pub(crate) struct Mutation {
    pub(crate) key: Arc<str>,
    pub(crate) revision: Revision,
    pub(crate) change: MutationChange,
}

/// What a [`Mutation`] does. Stamping a put happens before the lock is taken.
#[derive(Debug)]
pub(crate) enum MutationChange {
    Put { written: Bytes, served: Bytes, durability: Durability },
    Delete,
}

/// Entries and history.
#[derive(Debug)]
pub(crate) struct State {
    current: BTreeMap<Arc<str>, Slot>,
    history: VecDeque<Event>,
    history_bytes: usize,
    oldest: Revision,
    revision: Revision,
    stamp: fn(&Bytes, Revision) -> Bytes,
    max_events: usize,
    max_bytes: usize,
}

impl State {
    /// An empty state at `revision`, with no history before it.
    pub(crate) fn new(revision: Revision, config: &StoreConfig) -> Self {
        Self {
            current: BTreeMap::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            oldest: revision,
            revision,
            stamp: config.stamp,
            max_events: config.history_events,
            max_bytes: config.history_bytes,
        }
    }

    /// Takes over what a back end kept. Not an event.
    pub(crate) fn load(&mut self, record: Record) {
        let served = (self.stamp)(&record.value, record.modified);
        let written = Written::of(&record.value, &served);
        let entry = Entry {
            key: Arc::clone(&record.key),
            value: served,
            created: record.created,
            modified: record.modified,
        };
        self.current.insert(record.key, Slot { entry, durability: Durability::Durable, written });
    }

    pub(crate) fn revision(&self) -> Revision {
        self.revision
    }

    pub(crate) fn oldest(&self) -> Revision {
        self.oldest
    }

    pub(crate) fn len(&self) -> usize {
        self.current.len()
    }

    pub(crate) fn history_len(&self) -> (usize, usize) {
        (self.history.len(), self.history_bytes)
    }

    pub(crate) fn slot(&self, key: &str) -> Option<&Slot> {
        self.current.get(key)
    }

    /// Applies one change and returns its event. Deleting what is not there changes nothing (a foreign echo).
    pub(crate) fn apply(&mut self, mutation: Mutation) -> Option<Event> {
        let Mutation { key, revision, change } = mutation;
        self.revision = self.revision.max(revision);
        let event = match change {
            MutationChange::Put { written, served, durability } => {
                let previous = self.current.get(&key).map(|slot| slot.entry.clone());
                let created = previous.as_ref().map_or(revision, |entry| entry.created);
                let kept = Written::of(&written, &served);
                let entry = Entry { key: Arc::clone(&key), value: served, created, modified: revision };
                self.current.insert(key, Slot { entry: entry.clone(), durability, written: kept });
                Event { revision, kind: EventKind::Put, entry, previous }
            }
            MutationChange::Delete => {
                let slot = self.current.remove(&key)?;
                let value = (self.stamp)(&slot.written.restore(&slot.entry.value), revision);
                let entry = Entry { value, modified: revision, ..slot.entry.clone() };
                Event { revision, kind: EventKind::Delete, entry, previous: Some(slot.entry) }
            }
        };
        self.remember(event.clone());
        Some(event)
    }

    fn remember(&mut self, event: Event) {
        self.history_bytes += weight(&event);
        self.history.push_back(event);
        while self.history.len() > self.max_events || self.history_bytes > self.max_bytes {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(event) = self.history.pop_front() {
            self.history_bytes -= weight(&event);
            self.oldest = self.oldest.max(event.revision);
        }
    }

    /// Drops history up to and including `to`.
    pub(crate) fn compact(&mut self, to: Revision) {
        let to = to.min(self.revision);
        while self.history.front().is_some_and(|event| event.revision <= to) {
            self.forget_oldest();
        }
        self.oldest = self.oldest.max(to);
    }

    fn available(&self, requested: Revision) -> Result<(), Compacted> {
        if requested < self.oldest || requested > self.revision {
            return Err(Compacted { requested, oldest: self.oldest, current: self.revision });
        }
        Ok(())
    }

    /// The events behind `after`, oldest first.
    pub(crate) fn events_after(&self, after: Revision) -> Result<impl Iterator<Item = &Event>, Compacted> {
        self.available(after)?;
        let start = self.history.partition_point(|event| event.revision <= after);
        Ok(self.history.range(start..))
    }

    /// Current entries under `prefix`, starting behind `after`.
    fn under<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> impl Iterator<Item = &'a Entry> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        self.current
            .range::<str, _>((start, Bound::Unbounded))
            .map(|(_, slot)| &slot.entry)
            .take_while(move |entry| entry.key.starts_with(prefix))
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        if prefix.is_empty() { self.current.len() } else { self.under(prefix, None).count() }
    }

    /// One page of the entries under `prefix`.
    pub(crate) fn list(&self, prefix: &str, page: Page) -> Result<List, Compacted> {
        let Page { at, after, limit } = page;
        let revision = at.unwrap_or(self.revision);
        self.available(revision)?;
        let after = after.as_deref();
        let limit = limit.unwrap_or(usize::MAX);
        if revision == self.revision {
            return Ok(cut(self.under(prefix, after), limit, revision));
        }
        let past = self.past(prefix, after, revision);
        Ok(cut(past.into_values(), limit, revision))
    }

    /// The entries as they were at `at`: the current ones with every later event undone, newest first.
    fn past<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        at: Revision,
    ) -> BTreeMap<&'a str, &'a Entry> {
        let mut past: BTreeMap<&str, &Entry> =
            self.under(prefix, after).map(|entry| (&*entry.key, entry)).collect();
        for event in self.history.iter().rev().take_while(|event| event.revision > at) {
            let key = &*event.entry.key;
            if !key.starts_with(prefix) || after.is_some_and(|after| key <= after) {
                continue;
            }
            match &event.previous {
                Some(previous) => past.insert(key, previous),
                None => past.remove(key),
            };
        }
        past
    }
}

/// What an event may hold alive. Values shared with the current entries or with other events are counted
/// again: a bound, not a sum.
fn weight(event: &Event) -> usize {
    event.entry.value.len() + event.previous.as_ref().map_or(0, |previous| previous.value.len())
}

fn cut<'a>(mut entries: impl Iterator<Item = &'a Entry>, limit: usize, revision: Revision) -> List {
    let page: Vec<Entry> = entries.by_ref().take(limit).cloned().collect();
    let remaining = entries.count();
    List { entries: page, revision, more: remaining > 0, remaining }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_as_written_comes_back_from_the_value_as_served() {
        let cases = [
            ("{\"metadata\":{}}", "{\"metadata\":{\"rv\":\"1\"}}", true),
            ("aaa", "aaaaa", true),
            ("abc", "abc", true),
            ("", "x", true),
            ("abc", "xyz", false),
            ("abcdef", "abc", false),
        ];
        for (written, served, spliced) in cases {
            let (written, served) = (Bytes::from(written), Bytes::from(served));
            let kept = Written::of(&written, &served);
            assert_eq!(matches!(kept, Written::Spliced { .. }), spliced, "{served:?}");
            assert_eq!(kept.restore(&served), written);
        }
    }
}
