//! Definitions of custom kinds become served kinds, and are cleaned up when they go.
//!
//! One task watches the stored definitions and replaces the served catalogue after every change; it is the only writer of
//! it. Names that two definitions want go to the first; the other one gets them when they are free. A definition that is
//! being deleted is served until its objects are gone: a cleanup task deletes them, waits, and takes the finalizer away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use konzert_api::crd::{CustomKind, Taken};
use konzert_api::{ApiError, Catalogue, GroupResource, Kind, crd, meta};
use konzert_store::{Page, Revision, Store};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::apiservices;
use crate::hooks::CLEANUP_FINALIZER;
use crate::options::{ListOptions, Query};
use crate::registry::{Definition, DeleteOptions, Mode, Place, Registry, Served};

/// A cleanup that fails is tried again after this time.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Follows changes of the definitions until the task is dropped.
pub(crate) async fn follow(registry: Arc<Registry>, mut loader: Loader, mut from: Revision) {
    let prefix = registry.served().definitions_place().prefix();
    let mut cleanups = Cleanups::default();
    cleanups.start(&registry);
    apiservices::sync(&registry).await;
    loop {
        let Ok(mut watcher) = registry.store.watch(&prefix, from) else {
            from = loader.load(&registry);
            continue;
        };
        loop {
            tokio::select! {
                event = watcher.next_event() => {
                    let lagged = event.is_none() && watcher.lagged();
                    if event.is_none() && !lagged {
                        return; // the store is closed
                    }
                    from = loader.load(&registry);
                    cleanups.start(&registry);
                    apiservices::sync(&registry).await;
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

/// Turns stored definitions into served kinds. Schemas and rules are compiled once for each change of a definition.
#[derive(Default)]
pub(crate) struct Loader {
    /// By name: the resourceVersion that was compiled, and what came of it.
    known: BTreeMap<String, (String, Vec<Arc<CustomKind>>)>,
}

impl Loader {
    /// Serves what is stored now; returns the revision of it.
    pub(crate) fn load(&mut self, registry: &Registry) -> Revision {
        let place = registry.served().definitions_place();
        let (definitions, revision) = stored(&registry.store, &place);
        let mut kinds = Vec::new();
        let mut table = BTreeMap::new();
        let mut known = BTreeMap::new();
        for definition in definitions.iter().filter(|d| crd::is_established(d)) {
            let version = meta::resource_version(definition).to_owned();
            let compiled = match self.known.remove(meta::name(definition)) {
                Some((at, kinds)) if at == version && !version.is_empty() => kinds,
                _ => compile(definition),
            };
            if !compiled.is_empty() {
                kinds.extend(compiled.iter().cloned());
                table.insert(group_resource(definition), Arc::new(summary(definition, &compiled)));
            }
            known.insert(meta::name(definition).to_owned(), (version, compiled));
        }
        self.known = known;
        registry.serve(Served::new(Catalogue::builtin().with_custom(kinds), table), revision);
        revision
    }
}

fn compile(definition: &Value) -> Vec<Arc<CustomKind>> {
    match crd::custom_kinds(definition) {
        Ok(kinds) => kinds.into_iter().map(Arc::new).collect(),
        // It was accepted once; a newer release may be stricter.
        Err(errors) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            tracing::error!(
                definition = meta::name(definition),
                ?errors,
                "a stored definition is not served"
            );
            Vec::new()
        }
    }
}

/// Names that a definition cannot have: those of built-in kinds and of other definitions of its group.
pub(crate) fn taken(registry: &Registry, definition: &Value) -> Taken {
    let served = registry.served();
    let (group, name) = (text(definition, "/spec/group"), meta::name(definition));
    let mut taken = Taken::default();
    for kind in served.catalogue.kinds().filter(|kind| !kind.is_custom() && kind.group() == group) {
        taken.add_kind(kind);
    }
    for other in stored(&registry.store, &served.definitions_place()).0 {
        if text(&other, "/spec/group") == group && meta::name(&other) != name {
            taken.add_definition(&other);
        }
    }
    taken
}

/// Whether a definition may have more of its names now than it has.
fn may_have_more(registry: &Registry, definition: &Value) -> bool {
    if meta::is_being_deleted(definition)
        || definition.pointer("/spec/names") == definition.pointer("/status/acceptedNames")
    {
        return false;
    }
    let mut next = definition.clone();
    crd::establish(&mut next, &taken(registry, definition), crate::registry::now());
    next != *definition
}

/// Gives a definition names that became free.
async fn settle_names(registry: Arc<Registry>, definition: Value) -> String {
    let place = registry.served().definitions_place();
    let name = meta::name(&definition);
    let give = |current: &Value| {
        let mut next = current.clone();
        crd::establish(&mut next, &taken(&registry, current), crate::registry::now());
        Ok(next)
    };
    match registry.modify(&place, name, Mode::Internal, false, give).await {
        Ok(_) => {}
        Err(error) if error.code == 404 => {}
        Err(error) => tracing::error!(definition = name, %error, "names could not be settled"),
    }
    format!("{NAMES_OF}{}", meta::uid(&definition))
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

fn summary(definition: &Value, compiled: &[Arc<CustomKind>]) -> Definition {
    let count = |pointer: &str| definition.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len);
    Definition {
        storage_api_version: format!(
            "{}/{}",
            text(definition, "/spec/group"),
            crd::storage_version(definition)
        ),
        mixed: count("/spec/versions") > 1 || count("/status/storedVersions") > 1,
        terminating: meta::is_being_deleted(definition),
        revision: meta::resource_version(definition).parse().unwrap_or(u64::MAX),
        versions: compiled.iter().map(|kind| (kind.gvk.api_version(), Kind::Custom(kind.clone()))).collect(),
    }
}

/// Before the uid in the name of a task that settles names.
const NAMES_OF: &str = "names of ";

/// Running cleanups, by uid of the definition, and tasks that settle names.
#[derive(Default)]
struct Cleanups {
    running: BTreeSet<String>,
    tasks: JoinSet<String>,
}

impl Cleanups {
    /// Starts a task for every definition that waits for its cleanup or for a name.
    fn start(&mut self, registry: &Arc<Registry>) {
        let place = registry.served().definitions_place();
        for definition in stored(&registry.store, &place).0 {
            let waits = meta::is_being_deleted(&definition)
                && meta::finalizers(&definition).contains(&CLEANUP_FINALIZER)
                && self.running.insert(meta::uid(&definition).to_owned());
            if waits {
                self.tasks.spawn(clean_up(registry.clone(), definition));
                continue;
            }
            let task = format!("{NAMES_OF}{}", meta::uid(&definition));
            if may_have_more(registry, &definition) && self.running.insert(task) {
                self.tasks.spawn(settle_names(registry.clone(), definition));
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
