//! One watch feeds one cache, for as long as the controllers run.
//!
//! Errors are met with back-off inside the stream and never end it. While a relist is under way no key is worked on: the gate
//! is closed, so that no write of ours can fall between the list and the watch that follows it.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock, oneshot};

use crate::cache::Cache;

/// Open (shared) while keys are worked on, closed (exclusive) while a cache is rebuilt.
pub(crate) type Gate = Arc<RwLock<()>>;

/// Whether rebuilding this cache must stop the work.
pub(crate) enum Guarding {
    /// Decisions read it: close the gate.
    Gate(Gate),
    /// Nothing is decided on its completeness alone.
    None,
}

/// Feeds the cache until the task is dropped. `filled` hears once: when the first list is complete, or when it turns out
/// that the kind cannot be listed.
pub(crate) async fn feed<K>(
    stream: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send,
    cache: Arc<Cache<K>>,
    guarding: Guarding,
    filled: oneshot::Sender<()>,
) where
    K: kube::Resource + Clone + Send + Sync + 'static,
{
    let mut filled = Some(filled);
    let mut closed: Option<OwnedRwLockWriteGuard<()>> = None;
    let mut listed: Vec<K> = Vec::new();
    let mut stream = std::pin::pin!(stream.default_backoff());
    while let Some(event) = stream.next().await {
        match event {
            Ok(Event::Init) => {
                listed.clear();
                if let (Guarding::Gate(gate), None, true) = (&guarding, &closed, cache.is_filled()) {
                    closed = Some(Arc::clone(gate).write_owned().await);
                }
            }
            Ok(Event::InitApply(mut object)) => {
                slim(object.meta_mut());
                listed.push(object);
            }
            Ok(Event::InitDone) => {
                cache.replace(std::mem::take(&mut listed));
                closed = None;
                announce(&mut filled);
            }
            Ok(Event::Apply(mut object)) => {
                slim(object.meta_mut());
                cache.observe(object);
            }
            Ok(Event::Delete(object)) => cache.observe_gone(&object),
            Err(error) => {
                tracing::debug!(%error, "a watch is being restarted");
                if matches!(guarding, Guarding::None) {
                    announce(&mut filled);
                }
            }
        }
    }
}

fn announce(filled: &mut Option<oneshot::Sender<()>>) {
    if let Some(sender) = filled.take()
        && sender.send(()).is_err()
    {
        tracing::trace!("nobody waits for this cache");
    }
}

/// Nobody here reads who owns which field, and it is the larger half of many objects.
fn slim(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
}
