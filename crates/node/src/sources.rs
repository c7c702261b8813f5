//! `ConfigMap`s and Secrets that pods refer to. An object is read when a container starts; it is watched only while some
//! pod has it mounted or waits for it, and one watch serves all of them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::watch;

/// `ConfigMap` or Secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SourceKind {
    ConfigMap,
    Secret,
}

impl SourceKind {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
        }
    }

    pub(crate) fn lower(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Secret => "secret",
        }
    }
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SourceKey {
    pub(crate) kind: SourceKind,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// Its content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Source {
    text: BTreeMap<String, Vec<u8>>,
    binary: BTreeMap<String, Vec<u8>>,
}

impl Source {
    /// `data`, which environment variables may use.
    pub(crate) fn text(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.text.iter()
    }

    /// One key, of `data` or `binaryData`.
    pub(crate) fn get(&self, key: &str) -> Option<&Vec<u8>> {
        self.text.get(key).or_else(|| self.binary.get(key))
    }

    /// All keys.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &Vec<u8>)> {
        self.text.iter().chain(&self.binary)
    }
}

impl From<ConfigMap> for Source {
    fn from(map: ConfigMap) -> Self {
        let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes())).collect();
        let binary = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect();
        Self { text, binary }
    }
}

impl From<Secret> for Source {
    fn from(secret: Secret) -> Self {
        let text = secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect();
        Self { text, binary: BTreeMap::new() }
    }
}

/// What a watch knows of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Slot {
    /// Not read yet.
    Unknown,
    /// It does not exist.
    Absent,
    /// Its present content.
    Present(Arc<Source>),
}

struct Shared {
    slot: watch::Receiver<Slot>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Keeps an object watched; dropping the last one ends the watch.
pub(crate) struct Subscription {
    pub(crate) slot: watch::Receiver<Slot>,
    _keeps: Arc<Shared>,
}

/// All `ConfigMap`s and Secrets in use on this node.
pub(crate) struct SourceHub {
    client: Client,
    watched: Mutex<HashMap<SourceKey, Weak<Shared>>>,
}

impl SourceHub {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, watched: Mutex::new(HashMap::new()) }
    }

    /// The object as it is now.
    pub(crate) async fn fetch(&self, key: &SourceKey) -> Result<Option<Source>, kube::Error> {
        let client = self.client.clone();
        Ok(match key.kind {
            SourceKind::ConfigMap => {
                let api = Api::<ConfigMap>::namespaced(client, &key.namespace);
                api.get_opt(&key.name).await?.map(Source::from)
            }
            SourceKind::Secret => {
                let api = Api::<Secret>::namespaced(client, &key.namespace);
                api.get_opt(&key.name).await?.map(Source::from)
            }
        })
    }

    /// Watches the object as long as the answer lives.
    pub(crate) fn subscribe(&self, key: &SourceKey) -> Subscription {
        let mut watched = self.watched.lock();
        watched.retain(|_, shared| shared.strong_count() > 0);
        if let Some(shared) = watched.get(key).and_then(Weak::upgrade) {
            return Subscription { slot: shared.slot.clone(), _keeps: shared };
        }
        let (tx, slot) = watch::channel(Slot::Unknown);
        let client = self.client.clone();
        let task = match key.kind {
            SourceKind::ConfigMap => tokio::spawn(follow(
                Api::<ConfigMap>::namespaced(client, &key.namespace),
                key.name.clone(),
                tx,
            )),
            SourceKind::Secret => {
                tokio::spawn(follow(Api::<Secret>::namespaced(client, &key.namespace), key.name.clone(), tx))
            }
        };
        let shared = Arc::new(Shared { slot: slot.clone(), task });
        watched.insert(key.clone(), Arc::downgrade(&shared));
        Subscription { slot, _keeps: shared }
    }
}

impl Subscription {
    /// The object, once it was read.
    pub(crate) async fn value(&mut self) -> Option<Arc<Source>> {
        match self.slot.wait_for(|slot| *slot != Slot::Unknown).await.as_deref() {
            Ok(Slot::Present(source)) => Some(source.clone()),
            _ => None,
        }
    }
}

async fn follow<K>(api: Api<K>, name: String, tx: watch::Sender<Slot>)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + Into<Source> + 'static,
{
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut seen = false;
    loop {
        let slot = match events.try_next().await {
            Ok(Some(watcher::Event::Init)) => {
                seen = false;
                continue;
            }
            Ok(Some(watcher::Event::InitApply(object))) => {
                seen = true;
                Slot::Present(Arc::new(object.into()))
            }
            Ok(Some(watcher::Event::Apply(object))) => Slot::Present(Arc::new(object.into())),
            Ok(Some(watcher::Event::InitDone)) if seen => continue,
            Ok(Some(watcher::Event::InitDone | watcher::Event::Delete(_))) => Slot::Absent,
            // The watcher retries with back-off by itself.
            Err(error) => {
                tracing::debug!(%error, name, "watch of a mounted object failed");
                continue;
            }
            Ok(None) => return,
        };
        tx.send_if_modified(|known| {
            let changed = *known != slot;
            *known = slot;
            changed
        });
    }
}
