//! What the controllers know of one kind: a copy of its objects, fed by one watch and by our own writes.
//!
//! Controllers must never act on a copy that lacks what they themselves just wrote, or they would create twice. So the answer to every
//! write goes straight into the copy, and this is right because of three rules:
//! 1. `seen` is the highest resourceVersion the watch has delivered. An answer at or below it is old news and is dropped: the
//!    watch has already told about the object, and maybe about its deletion.
//! 2. An object that we saw deleted stays away until the watch tells of the deletion, whatever the watch tells of it before.
//! 3. A relist replaces everything. No key is worked on while one is under way (see `feed`), so no answer can fall between.
//!
//! Listeners run inside the lock, in the order of changes. A listener may read other caches only downwards in this order:
//! pods, replica sets and jobs, deployments and services, namespaces.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konzert_workloads::pods::controller_of;
use kube::Resource;
use parking_lot::RwLock;

/// One change of one object.
pub(crate) struct Change<'a, K> {
    pub(crate) old: Option<&'a Arc<K>>,
    pub(crate) new: Option<&'a Arc<K>>,
}

impl<K> Change<'_, K> {
    /// The object as it was and as it is, as far as there is one.
    pub(crate) fn sides(&self) -> impl Iterator<Item = &Arc<K>> {
        self.old.into_iter().chain(self.new)
    }
}

type Listener<K> = Box<dyn Fn(&Change<'_, K>) + Send + Sync>;

/// The copy of one kind.
pub(crate) struct Cache<K> {
    state: RwLock<State<K>>,
    listener: OnceLock<Listener<K>>,
}

struct State<K> {
    spaces: HashMap<String, BTreeMap<String, Arc<K>>>,
    /// Names by namespace and UID of the controller; the empty UID holds the objects without controller.
    by_controller: HashMap<(String, String), BTreeSet<String>>,
    seen: u64,
    erased: HashSet<String>,
    is_filled: bool,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        let state = State {
            spaces: HashMap::new(),
            by_controller: HashMap::new(),
            seen: 0,
            erased: HashSet::new(),
            is_filled: false,
        };
        Self { state: RwLock::new(state), listener: OnceLock::new() }
    }
}

impl<K: Resource + Clone> Cache<K> {
    /// Sets who hears of changes. Only the first call counts; it comes before the watch starts.
    pub(crate) fn listen(&self, listener: impl Fn(&Change<'_, K>) + Send + Sync + 'static) {
        let first = self.listener.set(Box::new(listener)).is_ok();
        debug_assert!(first, "a cache is wired once");
    }

    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.state.read().spaces.get(namespace)?.get(name).cloned()
    }

    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.state
            .read()
            .spaces
            .get(namespace)
            .map(|space| space.values().cloned().collect())
            .unwrap_or_default()
    }

    /// Objects in the namespace with this controller; an empty UID means those without.
    pub(crate) fn controlled_by(&self, namespace: &str, uid: &str) -> Vec<Arc<K>> {
        let state = self.state.read();
        let key = (namespace.to_owned(), uid.to_owned());
        let Some(space) = state.spaces.get(namespace) else { return Vec::new() };
        let names = state.by_controller.get(&key).into_iter().flatten();
        names.filter_map(|name| space.get(name).cloned()).collect()
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.state.read().is_filled
    }

    /// The watch tells that the object is there.
    pub(crate) fn observe(&self, object: K) {
        let mut state = self.state.write();
        let version = version(object.meta());
        state.seen = state.seen.max(version);
        self.enter(&mut state, object, version);
    }

    /// The watch tells that the object is gone.
    pub(crate) fn observe_gone(&self, object: &K) {
        let mut state = self.state.write();
        let meta = object.meta();
        state.seen = state.seen.max(version(meta));
        state.erased.remove(uid(meta));
        self.leave(&mut state, space(meta), name(meta), uid(meta));
    }

    /// A list tells what there is.
    pub(crate) fn replace(&self, objects: Vec<K>) {
        let mut state = self.state.write();
        state.erased.clear();
        let listed: HashSet<String> = objects.iter().map(|object| uid(object.meta()).to_owned()).collect();
        let lost: Vec<(String, String, String)> = state
            .spaces
            .values()
            .flat_map(BTreeMap::values)
            .filter(|held| !listed.contains(uid(held.meta())))
            .map(|held| {
                let meta = held.meta();
                (space(meta).to_owned(), name(meta).to_owned(), uid(meta).to_owned())
            })
            .collect();
        for (space, name, uid) in lost {
            self.leave(&mut state, &space, &name, &uid);
        }
        for object in objects {
            let version = version(object.meta());
            state.seen = state.seen.max(version);
            self.enter(&mut state, object, version);
        }
        state.is_filled = true;
    }

    /// The API answered a write of ours with this object.
    pub(crate) fn written(&self, object: K) {
        let mut state = self.state.write();
        let version = version(object.meta());
        if version > state.seen {
            self.enter(&mut state, object, version);
        }
    }

    /// The API answered a delete of ours: the object is gone.
    pub(crate) fn erase(&self, namespace: &str, name: &str, uid: &str) {
        let mut state = self.state.write();
        if self.leave(&mut state, namespace, name, uid) {
            state.erased.insert(uid.to_owned());
        }
    }

    fn enter(&self, state: &mut State<K>, object: K, version: u64) {
        let meta = object.meta();
        if state.erased.contains(uid(meta)) {
            return;
        }
        let (namespace, own_name) = (space(meta).to_owned(), name(meta).to_owned());
        let held = state.spaces.get(&namespace).and_then(|space| space.get(&own_name)).cloned();
        if held.as_ref().is_some_and(|held| self::version(held.meta()) >= version && version > 0) {
            return;
        }
        if let Some(held) = &held {
            state.unlink(held.meta());
        }
        state.link(meta);
        let object = Arc::new(object);
        state.spaces.entry(namespace).or_default().insert(own_name, Arc::clone(&object));
        // The same name with another UID is two changes: one object left, another came.
        match held {
            Some(held) if uid(held.meta()) != uid(object.meta()) => {
                self.tell(&Change { old: Some(&held), new: None });
                self.tell(&Change { old: None, new: Some(&object) });
            }
            held => self.tell(&Change { old: held.as_ref(), new: Some(&object) }),
        }
    }

    fn leave(&self, state: &mut State<K>, namespace: &str, name: &str, gone: &str) -> bool {
        let Some(members) = state.spaces.get_mut(namespace) else { return false };
        if members.get(name).is_none_or(|held| uid(held.meta()) != gone) {
            return false;
        }
        let Some(held) = members.remove(name) else { return false };
        if members.is_empty() {
            state.spaces.remove(namespace);
        }
        state.unlink(held.meta());
        self.tell(&Change { old: Some(&held), new: None });
        true
    }

    fn tell(&self, change: &Change<'_, K>) {
        if let Some(listener) = self.listener.get() {
            listener(change);
        }
    }
}

impl<K> State<K> {
    fn link(&mut self, meta: &ObjectMeta) {
        self.by_controller.entry(index_key(meta)).or_default().insert(name(meta).to_owned());
    }

    fn unlink(&mut self, meta: &ObjectMeta) {
        let key = index_key(meta);
        if let Some(names) = self.by_controller.get_mut(&key) {
            names.remove(name(meta));
            if names.is_empty() {
                self.by_controller.remove(&key);
            }
        }
    }
}

fn index_key(meta: &ObjectMeta) -> (String, String) {
    (space(meta).to_owned(), controller_of(meta).map(|owner| owner.uid.clone()).unwrap_or_default())
}

/// The resourceVersion as a number (it is one, and grows, since Kubernetes 1.35); 0 when it is not.
fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn space(meta: &ObjectMeta) -> &str {
    meta.namespace.as_deref().unwrap_or_default()
}

fn name(meta: &ObjectMeta) -> &str {
    meta.name.as_deref().unwrap_or_default()
}

fn uid(meta: &ObjectMeta) -> &str {
    meta.uid.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests;
