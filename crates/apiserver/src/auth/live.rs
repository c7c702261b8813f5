//! The policy of the stored roles and bindings, always current.
//!
//! Changes are taken in before each question, not by a task: the store hands an event out before it acknowledges the write,
//! so who asks after a write was acknowledged is answered by the policy after it. Nothing runs while nobody asks.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use konzert_store::{Event, EventKind, Page, Revision, Store, Watcher};
use parking_lot::Mutex;

use super::rbac::{GROUP, Policy};
use crate::encode::decode;

pub(crate) struct LivePolicy {
    store: Store,
    known: Mutex<Option<Known>>,
}

struct Known {
    policy: Policy,
    changes: Watcher,
}

impl LivePolicy {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Mutex::new(None) }
    }

    /// Asks the policy as it is now.
    pub(crate) fn with<T>(&self, ask: impl FnOnce(&Policy) -> T) -> T {
        let mut known = self.known.lock();
        let current = match known.take() {
            Some(mut known) => known.catch_up().then_some(known),
            None => None,
        };
        ask(&known.insert(current.unwrap_or_else(|| self.load())).policy)
    }

    fn load(&self) -> Known {
        loop {
            let list = self.store.list(&prefix(), Page::default());
            // A list of the present state has no revision that could be gone.
            let (entries, revision) = list.map_or((Vec::new(), Revision(0)), |l| (l.entries, l.revision));
            // So much was written in between that the revision is gone: read again.
            let Ok(changes) = self.store.watch(&prefix(), revision) else { continue };
            let mut policy = Policy::default();
            for entry in entries {
                take(&mut policy, &entry.key, Some(&entry.value));
            }
            return Known { policy, changes };
        }
    }
}

impl Known {
    /// Takes in what happened. `false`: some of it was lost, so that everything has to be read again.
    fn catch_up(&mut self) -> bool {
        loop {
            match self.next() {
                Poll::Ready(Some(event)) => {
                    let value = (event.kind == EventKind::Put).then_some(&event.entry.value);
                    take(&mut self.policy, &event.entry.key, value);
                }
                // A store that is closed does not change any more.
                Poll::Ready(None) => return !self.changes.lagged(),
                Poll::Pending => return true,
            }
        }
    }

    /// The next event that is there already. Unconstrained: a task that used up its turn must not be told that there is none.
    fn next(&mut self) -> Poll<Option<Event>> {
        let next = pin!(tokio::task::unconstrained(self.changes.next_event()));
        next.poll(&mut Context::from_waker(Waker::noop()))
    }
}

fn prefix() -> String {
    format!("/{GROUP}/")
}

/// Keys are `/<group>/<plural>/<namespace or "-">/<name>`.
fn take(policy: &mut Policy, key: &str, value: Option<&bytes::Bytes>) {
    let parts: Vec<&str> = key.split('/').collect();
    let ["", _, resource, namespace, name] = parts.as_slice() else { return };
    let namespace = if *namespace == "-" { "" } else { namespace };
    match value.map(|bytes| decode(bytes)).transpose() {
        Ok(object) => policy.apply(resource, namespace, name, object.as_ref()),
        Err(error) => {
            tracing::error!(key, %error, "a stored role or binding cannot be read; it allows nothing");
            policy.apply(resource, namespace, name, None);
        }
    }
}
