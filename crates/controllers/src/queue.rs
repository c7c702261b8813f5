//! The work queue: which keys want to be looked at, and when.
//!
//! Invariants: a key is worked on by one task at a time; a key woken while it is worked on runs once more afterwards; a key
//! woken many times before it runs runs once; nothing wakes up when there is nothing to do.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// First pause of a key that failed; doubles with every failure in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// Longest pause of a key that fails again and again.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// One object of one controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Position in the table of controllers.
    pub(crate) controller: usize,
    /// Namespace, or empty.
    pub(crate) namespace: String,
    /// Name (or UID, for garbage collection).
    pub(crate) name: String,
}

/// How working on a key ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Well; come back after this time, if any.
    Settled(Option<Duration>),
    /// Not well; come back after the back-off.
    Failed,
}

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    ready: VecDeque<Key>,
    queued: HashSet<Key>,
    running: HashSet<Key>,
    /// Woken while running.
    again: HashSet<Key>,
    timers: BTreeMap<(Instant, u64), Key>,
    timer_of: HashMap<Key, (Instant, u64)>,
    sequence: u64,
    failures: HashMap<Key, u32>,
}

impl Queue {
    /// Wants the key to be looked at now.
    pub(crate) fn wake(&self, key: Key) {
        let mut state = self.state.lock();
        if state.wake(key) {
            self.changed.notify_one();
        }
    }

    /// The next key to work on. Waits without cost while there is none.
    pub(crate) async fn next(&self) -> Key {
        loop {
            let due = {
                let mut state = self.state.lock();
                state.fire(Instant::now());
                if let Some(key) = state.take() {
                    return key;
                }
                state.timers.first_key_value().map(|((at, _), _)| *at)
            };
            match due {
                Some(at) => {
                    tokio::select! {
                        () = self.changed.notified() => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// The key has been worked on.
    pub(crate) fn done(&self, key: Key, done: Done) {
        let mut state = self.state.lock();
        state.running.remove(&key);
        let pause = match done {
            Done::Settled(pause) => {
                state.failures.remove(&key);
                pause
            }
            Done::Failed => {
                let failures = state.failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                let doublings = (*failures - 1).min(16);
                Some(FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE))
            }
        };
        let woken = state.again.remove(&key);
        match pause {
            // A failure waits out its pause even when the world moves, or a refused write would be repeated at once.
            Some(pause) if !woken || done == Done::Failed => state.set_timer(key, Instant::now() + pause),
            _ if woken => {
                state.wake(key);
            }
            _ => {}
        }
        self.changed.notify_one();
    }
}

impl State {
    /// True when the key became ready by this.
    fn wake(&mut self, key: Key) -> bool {
        if self.running.contains(&key) {
            self.again.insert(key);
            return false;
        }
        self.clear_timer(&key);
        if !self.queued.insert(key.clone()) {
            return false;
        }
        self.ready.push_back(key);
        true
    }

    fn take(&mut self) -> Option<Key> {
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }

    fn fire(&mut self, now: Instant) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let key = entry.remove();
            self.timer_of.remove(&key);
            self.wake(key);
        }
    }

    fn set_timer(&mut self, key: Key, at: Instant) {
        if self.queued.contains(&key) {
            return;
        }
        self.clear_timer(&key);
        self.sequence += 1;
        self.timers.insert((at, self.sequence), key.clone());
        self.timer_of.insert(key, (at, self.sequence));
    }

    fn clear_timer(&mut self, key: &Key) {
        if let Some(entry) = self.timer_of.remove(key) {
            self.timers.remove(&entry);
        }
    }
}

#[cfg(test)]
mod tests;
