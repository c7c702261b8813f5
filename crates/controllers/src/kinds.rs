//! Which kinds there are, custom ones included, and one metadata watch for each kind that no controller reads in full.
//!
//! Discovery is read at the start and whenever a `CustomResourceDefinition` changes; in between nothing asks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konzert_workloads::{Resource, Scope};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::discovery::{ApiResource, Discovery, Scope as KubeScope, verbs};
use kube::runtime::watcher;
use kube::{Api, Client};
use parking_lot::RwLock;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use crate::cache::{Cache, Change};
use crate::feed::{Guarding, feed};
use crate::garbage::Collector;
use crate::world::TYPED;

/// Metadata of an object of a kind known at run time only.
pub(crate) type Metadata = PartialObjectMeta<DynamicObject>;

/// An object found by its metadata, with its kind.
pub(crate) type Found = (Resource, ObjectMeta);

/// Events own nothing, are owned by nothing, and are many.
const UNWATCHED: &[&str] = &["Event"];

/// A served kind.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    pub(crate) resource: Arc<Resource>,
    pub(crate) api: ApiResource,
    can_list: bool,
    can_watch: bool,
    pub(crate) can_delete: bool,
}

/// The kinds that are served, by `apiVersion` and kind.
pub(crate) struct Kinds {
    client: Client,
    served: RwLock<HashMap<(String, String), Served>>,
    changed: Notify,
    unfilled: AtomicUsize,
}

impl Kinds {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            served: RwLock::default(),
            changed: Notify::new(),
            // One for the first discovery, so that nothing is collected before it.
            unfilled: AtomicUsize::new(1),
        }
    }

    /// The kind that an owner reference names.
    pub(crate) fn find(&self, api_version: &str, kind: &str) -> Option<Served> {
        self.served.read().get(&(api_version.to_owned(), kind.to_owned())).cloned()
    }

    /// Whether some objects are not in the graph yet.
    pub(crate) fn is_filling(&self) -> bool {
        self.unfilled.load(Ordering::Acquire) > 0
    }

    /// Asks the API which kinds it serves.
    pub(crate) async fn refresh(&self) -> Result<Vec<Served>, kube::Error> {
        let discovery = Discovery::new(self.client.clone()).run().await?;
        let mut all = HashMap::new();
        let mut recommended = Vec::new();
        for group in discovery.groups() {
            for version in group.versions() {
                for (api, capabilities) in group.versioned_resources(version) {
                    let served = Served::of(api, &capabilities);
                    all.insert((served.api.api_version.clone(), served.api.kind.clone()), served);
                }
            }
            let resources = group.recommended_resources();
            recommended
                .extend(resources.into_iter().map(|(api, capabilities)| Served::of(api, &capabilities)));
        }
        *self.served.write() = all;
        Ok(recommended.into_iter().filter(|served| served.can_list).collect())
    }

    /// Keeps one metadata watch per kind for as long as the task lives.
    pub(crate) async fn run(self: Arc<Self>, collector: Arc<Collector>) {
        let mut feeds: HashMap<(String, String), Watched> = HashMap::new();
        let mut first = true;
        let mut pause = std::time::Duration::from_millis(20);
        loop {
            match self.refresh().await {
                Ok(served) => {
                    self.follow(served, &mut feeds, &collector);
                    if std::mem::take(&mut first) {
                        self.filled(&collector);
                    }
                    // A kind that is served now may be the owner somebody asked for in vain.
                    collector.examine_all();
                    pause = std::time::Duration::from_millis(20);
                    self.changed.notified().await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the kinds could not be discovered; trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(std::time::Duration::from_secs(30));
                }
            }
        }
    }

    fn follow(
        self: &Arc<Self>,
        served: Vec<Served>,
        feeds: &mut HashMap<(String, String), Watched>,
        collector: &Arc<Collector>,
    ) {
        let wanted: HashMap<(String, String), Served> = served
            .into_iter()
            .filter(Served::is_watched_here)
            .map(|served| ((served.api.api_version.clone(), served.api.plural.clone()), served))
            .collect();
        feeds.retain(|key, watched| {
            let kept = wanted.contains_key(key);
            if !kept {
                watched.stop();
            }
            kept
        });
        for (key, served) in wanted {
            feeds.entry(key).or_insert_with(|| self.watch(&served, collector));
        }
    }

    fn watch(self: &Arc<Self>, served: &Served, collector: &Arc<Collector>) -> Watched {
        self.unfilled.fetch_add(1, Ordering::AcqRel);
        let cache: Arc<Cache<Metadata>> = Arc::default();
        let (sink, resource, kinds) = (Arc::clone(collector), Arc::clone(&served.resource), Arc::clone(self));
        let is_definition = served.api.kind == "CustomResourceDefinition";
        cache.listen(move |change: &Change<'_, Metadata>| {
            let meta = |side: Option<&Arc<Metadata>>| side.map(|object| object.metadata.clone());
            sink.changed(&resource, meta(change.old).as_ref(), meta(change.new).as_ref());
            if is_definition {
                kinds.changed.notify_one();
            }
        });
        let api: Api<Metadata> = Api::all_with(self.client.clone(), &served.api);
        let stream = watcher::watcher(api, watcher::Config::default());
        let (sender, receiver) = oneshot::channel();
        let feeding = tokio::spawn(feed(stream, Arc::clone(&cache), Guarding::None, sender));
        let (kinds, collector) = (Arc::clone(self), Arc::clone(collector));
        let counting = tokio::spawn(async move {
            if receiver.await.is_err() {
                tracing::trace!("the watch was stopped before its first list");
            }
            kinds.filled(&collector);
        });
        Watched { cache, feeding, _counting: counting }
    }

    fn filled(&self, collector: &Collector) {
        if self.unfilled.fetch_sub(1, Ordering::AcqRel) == 1 {
            collector.examine_all();
        }
    }
}

impl Served {
    fn of(api: ApiResource, capabilities: &kube::discovery::ApiCapabilities) -> Self {
        let scope =
            if capabilities.scope == KubeScope::Namespaced { Scope::Namespaced } else { Scope::Cluster };
        let resource = Resource {
            group: api.group.clone().into(),
            version: api.version.clone().into(),
            kind: api.kind.clone().into(),
            plural: api.plural.clone().into(),
            scope,
        };
        Self {
            resource: Arc::new(resource),
            can_list: capabilities.supports_operation(verbs::LIST),
            can_watch: capabilities.supports_operation(verbs::WATCH),
            can_delete: capabilities.supports_operation(verbs::DELETE),
            api,
        }
    }

    fn is_watched_here(&self) -> bool {
        let typed =
            TYPED.iter().any(|known| known.group == self.api.group && known.plural == self.api.plural);
        self.can_watch && self.can_list && !typed && !UNWATCHED.contains(&self.api.kind.as_str())
    }
}

/// One metadata watch.
struct Watched {
    cache: Arc<Cache<Metadata>>,
    feeding: JoinHandle<()>,
    _counting: JoinHandle<()>,
}

impl Watched {
    /// The kind is no longer served: so its objects are no longer there.
    fn stop(&self) {
        self.feeding.abort();
        self.cache.replace(Vec::new());
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.feeding.abort();
    }
}
