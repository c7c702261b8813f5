//! Definitions of custom kinds become served kinds, and are cleaned up when they go.
//!
//! One task watches the stored definitions and replaces the served catalogue after every change; it is the only writer of
//! it. A definition that is being deleted is served until its objects are gone: a cleanup task deletes them, waits, and takes
//! the finalizer away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use konzert_api::{ApiError, Catalogue, GroupResource, crd, meta};
use konzert_store::{Page, Revision, Store};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::hooks::CLEANUP_FINALIZER;
use crate::options::{ListOptions, Query};
use crate::registry::{Definition, DeleteOptions, Mode, Place, Registry, Served};

/// A cleanup that fails is tried again after this time.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Reads all definitions and serves them; then follows their changes until the task is dropped.
pub(crate) async fn follow(registry: Arc<Registry>, mut from: Revision) {
    let prefix = registry.served().definitions_place().prefix();
    let mut cleanups = Cleanups::default();
    cleanups.start(&registry);
    loop {
        let Ok(mut watcher) = registry.store.watch(&prefix, from) else {
            from = load(&registry);
            continue;
        };
        loop {
            tokio::select! {
                event = watcher.next_event() => {
                    let lagged = event.is_none() && watcher.lagged();
                    if event.is_none() && !lagged {
                        return; // the store is closed
                    }
                    from = load(&registry);
                    cleanups.start(&registry);
                    if lagged {
                        break;
                    }
                }
                Some(done) = cleanups.tasks.join_next(), if !cleanups.tasks.is_empty() => {
                    cleanups.ended(done);
                    cleanups.start(&registry);
                }
            }
        }
    }
}

/// Serves what is stored now; returns the revision of it.
pub(crate) fn load(registry: &Registry) -> Revision {
    let place = registry.served().definitions_place();
    let (definitions, revision) = stored(&registry.store, &place);
    let mut kinds = Vec::new();
    let mut table = BTreeMap::new();
    for definition in definitions.iter().filter(|d| crd::is_established(d)) {
        match crd::custom_kinds(definition) {
            Ok(custom) => {
                kinds.extend(custom.into_iter().map(Arc::new));
                table.insert(group_resource(definition), Arc::new(summary(definition)));
            }
            // It was accepted once; a newer release may be stricter.
            Err(errors) => {
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                tracing::error!(
                    definition = meta::name(definition),
                    ?errors,
                    "a stored definition is not served"
                );
            }
        }
    }
    registry.serve(Served::new(Catalogue::builtin().with_custom(kinds), table), revision);
    revision
}

fn stored(store: &Store, place: &Place) -> (Vec<Value>, Revision) {
    match store.list(&place.prefix(), Page::default()) {
        Ok(list) => {
            let read = |entry: &konzert_store::Entry| match place.read(&entry.value) {
                Ok(object) => Some(object),
                Err(error) => {
                    tracing::error!(key = %entry.key, %error, "a stored definition cannot be read");
                    None
                }
            };
            (list.entries.iter().filter_map(read).collect(), list.revision)
        }
        // A list of the present state has no revision that could be gone.
        Err(gone) => (Vec::new(), gone.current),
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn group_resource(definition: &Value) -> GroupResource {
    GroupResource::new(text(definition, "/spec/group"), text(definition, "/spec/names/plural"))
}

fn summary(definition: &Value) -> Definition {
    let count = |pointer: &str| definition.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
    Definition {
        storage_api_version: format!(
            "{}/{}",
            text(definition, "/spec/group"),
            crd::storage_version(definition)
        ),
        mixed: count("/spec/versions") > 1 || count("/status/storedVersions") > 1,
        terminating: meta::is_being_deleted(definition),
    }
}

/// Running cleanups, by uid of the definition.
#[derive(Default)]
struct Cleanups {
    running: BTreeSet<String>,
    tasks: JoinSet<String>,
}

impl Cleanups {
    /// Starts a cleanup for every definition that waits for one.
    fn start(&mut self, registry: &Arc<Registry>) {
        let place = registry.served().definitions_place();
        for definition in stored(&registry.store, &place).0 {
            let waits = meta::is_being_deleted(&definition)
                && meta::finalizers(&definition).contains(&CLEANUP_FINALIZER)
                && self.running.insert(meta::uid(&definition).to_owned());
            if waits {
                self.tasks.spawn(clean_up(registry.clone(), definition));
            }
        }
    }

    fn ended(&mut self, done: Result<String, tokio::task::JoinError>) {
        match done {
            Ok(uid) => {
                self.running.remove(&uid);
            }
            Err(error) => tracing::error!(%error, "the cleanup of a definition ended badly"),
        }
    }
}

/// Removes the objects of a definition, waits until they are gone, and lets the definition go.
async fn clean_up(registry: Arc<Registry>, definition: Value) -> String {
    let name = meta::name(&definition).to_owned();
    while let Err(error) = remove_objects(&registry, &definition).await {
        tracing::warn!(definition = name, %error, "objects of a deleted definition could not be removed yet");
        tokio::time::sleep(RETRY_DELAY).await;
    }
    let place = registry.served().definitions_place();
    let release = |current: &Value| {
        let mut next = current.clone();
        let kept: Vec<String> = meta::finalizers(current)
            .into_iter()
            .filter(|f| *f != CLEANUP_FINALIZER)
            .map(str::to_owned)
            .collect();
        meta::set(&mut next, "finalizers", kept);
        Ok(next)
    };
    match registry.modify(&place, &name, Mode::Internal, false, release).await {
        Ok(_) => {}
        Err(error) if error.code == 404 => {}
        Err(error) => {
            tracing::error!(definition = name, %error, "a cleaned-up definition could not be released");
        }
    }
    meta::uid(&definition).to_owned()
}

async fn remove_objects(registry: &Registry, definition: &Value) -> Result<(), ApiError> {
    let (group, plural) = (text(definition, "/spec/group"), text(definition, "/spec/names/plural"));
    let everything = ListOptions::parse(&Query::default(), false)?;
    loop {
        let served = registry.served();
        let kind = served.catalogue.kinds().find(|k| k.group() == group && k.plural() == plural).cloned();
        let Some(kind) = kind else { return Ok(()) };
        let place = served.place_of(kind, None);
        let before = registry.store.revision();
        registry
            .delete_collection(&place, &everything, &DeleteOptions::default())
            .await
            .map_err(|failure| failure.error)?;
        let prefix = place.prefix();
        if registry.store.count(&prefix) == 0 {
            return Ok(());
        }
        // Finalizers hold the rest; every change of an object may be the one that lets it go.
        let changed = registry.store.watch(&prefix, before.max(registry.store.revision()));
        let Ok(mut changed) = changed else { continue };
        if registry.store.count(&prefix) > 0 {
            changed.next_event().await;
        }
    }
}
