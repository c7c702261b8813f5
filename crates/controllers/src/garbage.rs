//! Garbage collection: keeps the graph of owners, looks up owners that the graph has not seen, and asks the decision.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konzert_workloads::garbage::{FOREGROUND, Graph, OwnerAnswer, OwnerQuery, Uid};
use konzert_workloads::{Plan, Resource, Scope};
use kube::Api;
use kube::core::DynamicObject;
use parking_lot::Mutex;

use crate::controller::{Attempt, Controller};
use crate::kinds::Kinds;
use crate::queue::{Key, Queue};

/// The graph and who is woken by its changes.
pub(crate) struct Collector {
    graph: Mutex<Graph>,
    queue: Arc<Queue>,
    /// Position of the garbage collector in the table of controllers.
    own_place: usize,
    /// Hears of every object that went, with its namespace.
    on_gone: Box<dyn Fn(&str) + Send + Sync>,
}

impl Collector {
    pub(crate) fn new(queue: Arc<Queue>, own_place: usize, on_gone: Box<dyn Fn(&str) + Send + Sync>) -> Self {
        Self { graph: Mutex::default(), queue, own_place, on_gone }
    }

    /// One object of one kind changed.
    pub(crate) fn changed(
        &self,
        resource: &Arc<Resource>,
        old: Option<&ObjectMeta>,
        new: Option<&ObjectMeta>,
    ) {
        let examine = {
            let mut graph = self.graph.lock();
            match (old, new) {
                (_, Some(new)) => graph.observe(resource, new),
                (Some(old), None) => graph.forget(old.uid.as_deref().unwrap_or_default()),
                (None, None) => Vec::new(),
            }
        };
        self.wake(examine);
        if let (Some(old), None) = (old, new)
            && let Some(namespace) = &old.namespace
        {
            (self.on_gone)(namespace);
        }
    }

    /// Has everything that names an owner looked at once more.
    pub(crate) fn examine_all(&self) {
        let candidates = self.graph.lock().candidates();
        self.wake(candidates);
    }

    fn wake(&self, uids: Vec<Uid>) {
        for uid in uids {
            self.queue.wake(Key {
                controller: self.own_place,
                namespace: String::new(),
                name: uid.as_ref().to_owned(),
            });
        }
    }
}

/// Keys are UIDs.
pub(crate) struct GarbageCollector {
    pub(crate) client: kube::Client,
    pub(crate) collector: Arc<Collector>,
    pub(crate) kinds: Arc<Kinds>,
}

impl Controller for GarbageCollector {
    fn name(&self) -> &'static str {
        "garbage-collector-controller"
    }

    fn plan<'a>(
        &'a self,
        _namespace: &'a str,
        uid: &'a str,
        _attempt: Attempt,
    ) -> BoxFuture<'a, Result<Plan, kube::Error>> {
        Box::pin(async move {
            // Everything is examined once the last kind is filled; until then owners may be missing.
            if self.kinds.is_filling() {
                return Ok(Plan::nothing());
            }
            let mut answers = BTreeMap::new();
            loop {
                let verdict = self.collector.graph.lock().decide(uid, &answers);
                if verdict.queries.is_empty() {
                    self.collector.wake(verdict.examine);
                    return Ok(verdict.plan);
                }
                for query in verdict.queries {
                    let answer = self.look_up(&query).await?;
                    answers.insert(query.uid, answer);
                }
            }
        })
    }
}

impl GarbageCollector {
    async fn look_up(&self, query: &OwnerQuery) -> Result<OwnerAnswer, kube::Error> {
        let Some(kind) = self.kinds.find(&query.api_version, &query.kind) else {
            return Ok(OwnerAnswer::Unknown);
        };
        let api: Api<DynamicObject> = match (kind.resource.scope, &query.namespace) {
            (Scope::Cluster, _) => Api::all_with(self.client.clone(), &kind.api),
            (Scope::Namespaced, Some(namespace)) => {
                Api::namespaced_with(self.client.clone(), namespace, &kind.api)
            }
            // A cluster-scoped object cannot be owned by a namespaced one, and nobody can say which was meant.
            (Scope::Namespaced, None) => return Ok(OwnerAnswer::Unknown),
        };
        let Some(found) = api.get_metadata_opt(&query.name).await? else { return Ok(OwnerAnswer::Absent) };
        let meta = &found.metadata;
        if meta.uid.as_deref() != Some(query.uid.as_str()) {
            return Ok(OwnerAnswer::Absent);
        }
        let waits = meta.finalizers.iter().flatten().any(|finalizer| finalizer == FOREGROUND);
        Ok(if meta.deletion_timestamp.is_some() && waits {
            OwnerAnswer::PresentWaiting
        } else {
            OwnerAnswer::Present
        })
    }
}
