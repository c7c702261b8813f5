//! Garbage collection by owner references: Background, Foreground and Orphan.
//!
//! The graph is fed with the metadata of every object of every kind. Its nodes are UIDs; a name that was taken again is
//! another node.
//!
//! Invariants:
//! 1. An object is deleted only when every owner it names is gone (or is waiting for its dependents to go), and every owner
//!    that the graph has not seen itself was looked up by name first. Not knowing an owner is never taken for its absence.
//! 2. Every delete carries the UID and the resourceVersion on which it was decided, so new owner references win.
//! 3. An object without owner references is never touched.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Serialize;
use serde_json::{Value, json};

use crate::action::{Action, Plan, Propagation, Resource, Scope, Target};
use crate::claim;

/// Finalizer of an object whose dependents go first.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer of an object whose dependents stay.
pub const ORPHAN: &str = "orphan";

/// How many UIDs of deleted objects are remembered, so that their dependents need no look-up.
const REMEMBERED: usize = 16_384;

/// A UID of the API.
pub type Uid = Arc<str>;

/// What the graph keeps of one object.
#[derive(Clone, Debug)]
struct Node {
    resource: Arc<Resource>,
    meta: Box<Kept>,
}

/// The part of the metadata that matters here.
#[derive(Clone, Debug, Default, PartialEq)]
struct Kept {
    namespace: Option<String>,
    name: String,
    resource_version: Option<String>,
    owners: Vec<OwnerReference>,
    finalizers: Vec<String>,
    deleting: bool,
}

impl Kept {
    fn of(meta: &ObjectMeta) -> Self {
        Self {
            namespace: meta.namespace.clone(),
            name: meta.name.clone().unwrap_or_default(),
            resource_version: meta.resource_version.clone(),
            owners: meta.owner_references.clone().unwrap_or_default(),
            finalizers: meta.finalizers.clone().unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
        }
    }

    fn waits_for_dependents(&self) -> bool {
        self.deleting && self.has_finalizer(FOREGROUND)
    }

    fn orphans_dependents(&self) -> bool {
        self.deleting && self.has_finalizer(ORPHAN)
    }

    fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|held| held == finalizer)
    }

    fn as_meta(&self, uid: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: self.namespace.clone(),
            name: Some(self.name.clone()),
            uid: Some(uid.to_owned()),
            owner_references: (!self.owners.is_empty()).then(|| self.owners.clone()),
            finalizers: (!self.finalizers.is_empty()).then(|| self.finalizers.clone()),
            ..ObjectMeta::default()
        }
    }
}

/// An owner that has to be looked up because the graph has not seen it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct OwnerQuery {
    /// `apiVersion` of the reference.
    pub api_version: String,
    /// `kind` of the reference.
    pub kind: String,
    /// Namespace of the dependent. An owner that is not cluster-scoped must be in it.
    pub namespace: Option<String>,
    /// Name of the reference.
    pub name: String,
    /// UID of the reference.
    pub uid: String,
}

/// The answer to an [`OwnerQuery`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerAnswer {
    /// There is an object of that name with that UID.
    Present,
    /// There is one, and it waits for its dependents to go.
    PresentWaiting,
    /// There is none, or it has another UID.
    Absent,
    /// Nobody can say, for example because the kind is not served.
    Unknown,
}

/// What one examination came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verdict {
    /// What to do.
    pub plan: Plan,
    /// Owners to look up before anything can be done; ask again with the answers.
    pub queries: Vec<OwnerQuery>,
    /// Objects to examine next.
    pub examine: Vec<Uid>,
}

/// Who owns whom.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: HashMap<Uid, Node>,
    dependents: HashMap<Uid, BTreeSet<Uid>>,
    gone: HashSet<Uid>,
    gone_order: VecDeque<Uid>,
}

impl Graph {
    /// Takes in one object; says which objects deserve an examination now.
    pub fn observe(&mut self, resource: &Arc<Resource>, meta: &ObjectMeta) -> Vec<Uid> {
        let Some(uid) = meta.uid.as_deref().map(Uid::from) else { return Vec::new() };
        let kept = Kept::of(meta);
        let old = self.nodes.get(&uid).map(|node| Box::clone(&node.meta));
        if old.as_deref() == Some(&kept) {
            return Vec::new();
        }
        let mut examine = Vec::new();
        let before: &[OwnerReference] = old.as_ref().map_or(&[], |old| &old.owners);
        if before != kept.owners.as_slice() {
            self.unlink(&uid, before);
            for owner in &kept.owners {
                self.dependents.entry(owner.uid.as_str().into()).or_default().insert(Uid::clone(&uid));
            }
            examine.extend(self.waiting_owners(before));
        }
        let begins_to_wait =
            kept.waits_for_dependents() && !old.as_ref().is_some_and(|old| old.waits_for_dependents());
        if begins_to_wait {
            examine.extend(self.dependents_of(&uid));
        }
        if !kept.owners.is_empty() || kept.waits_for_dependents() || kept.orphans_dependents() {
            examine.push(Uid::clone(&uid));
        }
        examine.extend(self.waiting_owners(&kept.owners));
        self.nodes.insert(uid, Node { resource: Arc::clone(resource), meta: Box::new(kept) });
        examine
    }

    /// Takes note that the object is gone for good; says which objects deserve an examination now.
    pub fn forget(&mut self, uid: &str) -> Vec<Uid> {
        let Some((uid, node)) = self.nodes.remove_entry(uid) else { return Vec::new() };
        self.unlink(&uid, &node.meta.owners);
        let mut examine = self.waiting_owners(&node.meta.owners);
        examine.extend(self.dependents_of(&uid));
        if self.gone.insert(Uid::clone(&uid)) {
            self.gone_order.push_back(uid);
        }
        if self.gone_order.len() > REMEMBERED
            && let Some(oldest) = self.gone_order.pop_front()
        {
            self.gone.remove(&oldest);
        }
        examine
    }

    /// Every object that could need collecting: examined once when the graph is complete.
    pub fn candidates(&self) -> Vec<Uid> {
        let wanted = |node: &&Node| {
            !node.meta.owners.is_empty() || node.meta.waits_for_dependents() || node.meta.orphans_dependents()
        };
        self.nodes.iter().filter(|(_, node)| wanted(node)).map(|(uid, _)| Uid::clone(uid)).collect()
    }

    /// How many objects the graph knows.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether the graph knows nothing.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn unlink(&mut self, uid: &Uid, owners: &[OwnerReference]) {
        for owner in owners {
            if let Some(dependents) = self.dependents.get_mut(owner.uid.as_str()) {
                dependents.remove(uid);
                if dependents.is_empty() {
                    self.dependents.remove(owner.uid.as_str());
                }
            }
        }
    }

    /// Owners among these that wait for dependents to go or to be orphaned.
    fn waiting_owners(&self, owners: &[OwnerReference]) -> Vec<Uid> {
        let waits = |owner: &&OwnerReference| {
            self.nodes
                .get(owner.uid.as_str())
                .is_some_and(|node| node.meta.waits_for_dependents() || node.meta.orphans_dependents())
        };
        owners.iter().filter(waits).map(|owner| Uid::from(owner.uid.as_str())).collect()
    }

    fn dependents_of(&self, uid: &str) -> Vec<Uid> {
        self.dependents.get(uid).into_iter().flatten().cloned().collect()
    }

    /// Examines one object. `answers` are those to the queries of the last verdict, by owner UID.
    pub fn decide(&self, uid: &str, answers: &BTreeMap<String, OwnerAnswer>) -> Verdict {
        let Some(node) = self.nodes.get(uid) else { return Verdict::default() };
        if node.meta.orphans_dependents() {
            return self.orphan_dependents(uid, node);
        }
        if node.meta.waits_for_dependents() {
            return self.wait_for_dependents(uid, node);
        }
        if node.meta.deleting || node.meta.owners.is_empty() {
            return Verdict::default();
        }
        self.judge_owners(uid, node, answers)
    }

    fn orphan_dependents(&self, uid: &str, node: &Node) -> Verdict {
        let mut verdict = Verdict::default();
        let dependents = self.dependents_of(uid);
        for dependent in &dependents {
            let Some(child) = self.nodes.get(dependent) else { continue };
            let meta = child.meta.as_meta(dependent);
            verdict.plan.patch(&child.resource, &meta, claim::release(&meta, uid));
        }
        if dependents.is_empty() {
            let meta = node.meta.as_meta(uid);
            verdict.plan.patch(&node.resource, &meta, claim::remove_finalizer(&meta, ORPHAN));
        }
        verdict
    }

    fn wait_for_dependents(&self, uid: &str, node: &Node) -> Verdict {
        let dependents = self.dependents_of(uid);
        let blocks = |dependent: &&Uid| {
            let owners = self.nodes.get(*dependent).map_or(&[][..], |child| &child.meta.owners);
            owners.iter().any(|owner| owner.uid == uid && owner.block_owner_deletion == Some(true))
        };
        let mut verdict = Verdict::default();
        if dependents.iter().any(|dependent| blocks(&dependent)) {
            let alive = |dependent: &Uid| self.nodes.get(dependent).is_some_and(|child| !child.meta.deleting);
            verdict.examine = dependents.into_iter().filter(alive).collect();
            return verdict;
        }
        let meta = node.meta.as_meta(uid);
        verdict.plan.patch(&node.resource, &meta, claim::remove_finalizer(&meta, FOREGROUND));
        verdict
    }

    fn judge_owners(&self, uid: &str, node: &Node, answers: &BTreeMap<String, OwnerAnswer>) -> Verdict {
        let mut verdict = Verdict::default();
        let (mut solid, mut waiting, mut dangling) = (0, Vec::new(), Vec::new());
        for owner in &node.meta.owners {
            match self.state_of(owner, node).or_else(|| answers.get(&owner.uid).copied()) {
                Some(OwnerAnswer::Present | OwnerAnswer::Unknown) => solid += 1,
                Some(OwnerAnswer::PresentWaiting) => waiting.push(owner.uid.as_str()),
                Some(OwnerAnswer::Absent) => dangling.push(owner.uid.as_str()),
                None => verdict.queries.push(OwnerQuery {
                    api_version: owner.api_version.clone(),
                    kind: owner.kind.clone(),
                    namespace: node.meta.namespace.clone(),
                    name: owner.name.clone(),
                    uid: owner.uid.clone(),
                }),
            }
        }
        if !verdict.queries.is_empty() {
            return verdict;
        }
        let meta = node.meta.as_meta(uid);
        if solid > 0 {
            // Somebody still wants it; owners that are gone or going are only struck off.
            let lost: HashSet<&str> = waiting.into_iter().chain(dangling).collect();
            if !lost.is_empty() {
                verdict.plan.patch(&node.resource, &meta, keep_owners(&meta, |owner| !lost.contains(owner)));
            }
            return verdict;
        }
        let dependents = self.dependents_of(uid);
        let propagation = if !waiting.is_empty() && !dependents.is_empty() {
            let in_a_circle = dependents
                .iter()
                .any(|child| self.nodes.get(child).is_some_and(|child| child.meta.waits_for_dependents()));
            if in_a_circle {
                verdict.plan.patch(&node.resource, &meta, unblock_owners(&meta));
            }
            Propagation::Foreground
        } else if node.meta.has_finalizer(ORPHAN) {
            Propagation::Orphan
        } else if node.meta.has_finalizer(FOREGROUND) {
            Propagation::Foreground
        } else {
            Propagation::Background
        };
        // A patch in the same plan moves the version on; the owner references it tests are guard enough then.
        let resource_version = node.meta.resource_version.clone().filter(|_| verdict.plan.actions.is_empty());
        verdict.plan.actions.push(Action::Delete {
            target: Target::of(&node.resource, &meta),
            uid: uid.to_owned(),
            resource_version,
            grace_seconds: None,
            propagation: Some(propagation),
        });
        verdict
    }

    /// What the graph itself knows of an owner; `None` means that it has to be looked up.
    fn state_of(&self, owner: &OwnerReference, dependent: &Node) -> Option<OwnerAnswer> {
        if let Some(node) = self.nodes.get(owner.uid.as_str()) {
            let reachable =
                node.resource.scope == Scope::Cluster || node.meta.namespace == dependent.meta.namespace;
            return match (reachable, node.meta.waits_for_dependents()) {
                (true, true) => Some(OwnerAnswer::PresentWaiting),
                (true, false) => Some(OwnerAnswer::Present),
                // An owner in another namespace is no owner, but only the API may say so.
                (false, _) => None,
            };
        }
        self.gone.contains(owner.uid.as_str()).then_some(OwnerAnswer::Absent)
    }
}

fn keep_owners(meta: &ObjectMeta, keep: impl Fn(&str) -> bool) -> Vec<Value> {
    let kept: Vec<_> = meta.owner_references.iter().flatten().filter(|owner| keep(&owner.uid)).collect();
    vec![
        json!({"op": "test", "path": "/metadata/ownerReferences", "value": meta.owner_references}),
        json!({"op": "replace", "path": "/metadata/ownerReferences", "value": kept}),
    ]
}

fn unblock_owners(meta: &ObjectMeta) -> Vec<Value> {
    let mut freed = meta.owner_references.clone().unwrap_or_default();
    for owner in &mut freed {
        owner.block_owner_deletion = Some(false);
    }
    vec![
        json!({"op": "test", "path": "/metadata/ownerReferences", "value": meta.owner_references}),
        json!({"op": "replace", "path": "/metadata/ownerReferences", "value": freed}),
    ]
}

#[cfg(test)]
mod tests;
