//! The registry: every verb for every kind, once.
//!
//! A write goes through these steps, in this order, for built-in and custom kinds alike:
//!
//! 1. decoded and shaped ([`crate::decode`]): kind, unknown fields, types, defaults;
//! 2. *admission* belongs here, between shaping and validation, on the shaped object (see `admit` in [`create`] and
//!    [`update`]); it holds the namespace lifecycle rule, and the classes that
//!    objects name ([`crate::hooks`]);
//! 3. prepared (server-owned fields) and validated by the kind's catalogue row;
//! 4. the hooks of the kind ([`crate::hooks`]): allocations and rules that need to see other objects;
//! 5. compare-and-swap into the store; a loser of the race starts again from the state that won.
//!
//! Authentication and authorization happen before, in [`crate::dispatch`].
//!
//! Invariants: no handler per kind; nothing is written that changes nothing; what is answered is what is stored.

mod apply;
mod create;
mod delete;
mod eviction;
mod filter;
mod list;
mod log;
mod owners;
mod patch;
mod place;
mod subresource;
mod token;
mod update;
mod watch;

use std::sync::Arc;

use jiff::Timestamp;
use konzert_api::{ApiError, meta};
use konzert_store::{Change, Durability, Entry, Expect, Revision, Store, Write, WriteError};
use parking_lot::RwLock;
use serde_json::Value;

pub(crate) use self::apply::ApplyOptions;
pub(crate) use self::create::settle_namespace;
pub(crate) use self::delete::{DeleteOptions, Propagation};
pub(crate) use self::filter::Filter;
pub(crate) use self::list::ListAnswer;
pub use self::log::{LogRequest, PodStreams};
pub(crate) use self::owners::Author;
pub(crate) use self::patch::{PatchBody, is_apply};
pub(crate) use self::place::{Definition, Place, Served};
pub(crate) use self::token::is_continue_token;
pub(crate) use self::update::Mode;
use crate::auth::LivePolicy;
use crate::error::{describe, write_failed};
use crate::hooks::Hooks;

/// Attempts of a compare-and-swap loop before the client is told to try again.
const MAX_ATTEMPTS: usize = 32;

/// State shared by all requests.
pub(crate) struct Registry {
    pub(crate) store: Store,
    pub(crate) hooks: Hooks,
    /// What the stored roles and bindings allow.
    pub(crate) policy: LivePolicy,
    served: RwLock<Arc<Served>>,
    /// The revision up to which definitions of custom kinds are taken into account.
    served_revision: tokio::sync::watch::Sender<Revision>,
    streams: RwLock<Option<Arc<dyn PodStreams>>>,
}

/// What a write did.
#[derive(Debug)]
pub(crate) struct Written {
    /// The object as served.
    pub(crate) bytes: bytes::Bytes,
    /// What the client should be told.
    pub(crate) warnings: Vec<String>,
}

impl Registry {
    pub(crate) fn new(store: Store, hooks: Hooks) -> Self {
        Self {
            policy: LivePolicy::new(store.clone()),
            store,
            hooks,
            served: RwLock::new(Arc::new(Served::builtin())),
            served_revision: tokio::sync::watch::channel(Revision(0)).0,
            streams: RwLock::new(None),
        }
    }

    /// What is served right now.
    pub(crate) fn served(&self) -> Arc<Served> {
        self.served.read().clone()
    }

    /// Replaces what is served; `revision` is that of the newest definition in it.
    pub(crate) fn serve(&self, served: Served, revision: Revision) {
        *self.served.write() = Arc::new(served);
        self.served_revision.send_modify(|r| *r = revision.max(*r));
    }

    /// Whether stored definitions were read since the start.
    pub(crate) fn serves_definitions(&self) -> bool {
        self.served_revision.borrow().0 > 0
    }

    /// Waits until definitions up to `revision` are taken into account, so that a client that created one can use it at once.
    pub(crate) async fn served_at_least(&self, revision: Revision) {
        let mut seen = self.served_revision.subscribe();
        let wait = seen.wait_for(|r| *r >= revision);
        if tokio::time::timeout(std::time::Duration::from_secs(2), wait).await.is_err() {
            tracing::warn!(%revision, "a definition is stored but not served yet");
        }
    }

    /// Waits until the definitions that are stored now are served: whoever has heard of one finds it in discovery.
    pub(crate) async fn definitions_settled(&self) {
        let prefix = self.served().definitions_place().prefix();
        let stored = self.store.list(&prefix, konzert_store::Page::default()).map(|list| list.entries);
        let newest = stored.unwrap_or_default().iter().map(|entry| entry.modified).max();
        if let Some(newest) = newest
            && newest > *self.served_revision.borrow()
        {
            self.served_at_least(newest).await;
        }
    }

    pub(crate) fn set_streams(&self, streams: Arc<dyn PodStreams>) {
        *self.streams.write() = Some(streams);
    }

    /// The stored entry of `name`, 404 when there is none.
    pub(crate) fn entry(&self, place: &Place, name: &str) -> Result<Entry, ApiError> {
        self.store
            .get(&place.key(name))
            .ok_or_else(|| ApiError::not_found(&place.kind.group_resource(), name))
    }

    /// The object `name` as served.
    pub(crate) fn get(&self, place: &Place, name: &str) -> Result<bytes::Bytes, ApiError> {
        let entry = self.entry(place, name)?;
        place.present(&entry.value)
    }

    /// Swaps an object in. `Ok(None)`: somebody was faster.
    async fn put(
        &self,
        place: &Place,
        name: &str,
        object: &Value,
        expect: Expect,
    ) -> Result<Option<Entry>, ApiError> {
        let change = Change::Put(place.to_stored(object)?);
        self.swap(place, name, expect, change).await
    }

    /// Takes an object out and runs what follows from that. `Ok(None)`: somebody was faster.
    async fn remove(&self, place: &Place, name: &str, at: Revision) -> Result<Option<Entry>, ApiError> {
        let gone = self.swap(place, name, Expect::At(at), Change::Delete).await?;
        if let Some(entry) = &gone {
            self.hooks.removed(&self.store, place, &place.read(&entry.value)?);
        }
        Ok(gone)
    }

    async fn swap(
        &self,
        place: &Place,
        name: &str,
        expect: Expect,
        change: Change,
    ) -> Result<Option<Entry>, ApiError> {
        let durability = match place.kind.storage() {
            konzert_api::StorageClass::Durable => Durability::Durable,
            konzert_api::StorageClass::Volatile => Durability::Volatile,
            konzert_api::StorageClass::Virtual => {
                return Err(ApiError::method_not_supported(&place.kind.group_resource(), "write"));
            }
        };
        let key: Arc<str> = place.key(name).into();
        match self.store.write(Write { key, expect, change, durability }).await {
            Ok(entry) => Ok(Some(entry)),
            Err(WriteError::Conflict { .. }) => Ok(None),
            Err(error) => {
                if matches!(error, WriteError::Backend(_)) {
                    tracing::error!(error = %describe(&error), "the state store refused a write");
                }
                Err(write_failed(error))
            }
        }
    }

    /// The admission rule that every engine has: nothing new in a namespace that is missing or going away.
    fn admit_namespace(&self, place: &Place, name: &str) -> Result<(), ApiError> {
        let Some(namespace) = &place.namespace else { return Ok(()) };
        let served = self.served();
        let namespaces = served.namespaces();
        let Some(entry) = self.store.get(&namespaces.key(namespace)) else {
            return Err(ApiError::not_found(&namespaces.kind.group_resource(), namespace));
        };
        let object = namespaces.read(&entry.value)?;
        if meta::is_being_deleted(&object) {
            return Err(namespace_terminating(place, name, namespace));
        }
        Ok(())
    }
}

fn namespace_terminating(place: &Place, name: &str, namespace: &str) -> ApiError {
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut error = ApiError::forbidden(&place.kind.group_resource(), name, &why);
    if let Some(details) = error.details.as_mut().and_then(Value::as_object_mut) {
        details.insert(
            "causes".to_owned(),
            serde_json::json!([{
                "reason": "NamespaceTerminating",
                "message": format!("namespace {namespace} is being terminated"),
                "field": "metadata.namespace",
            }]),
        );
    }
    error
}

/// The instant a request is worked on.
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
