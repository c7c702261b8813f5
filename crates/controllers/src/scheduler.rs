//! The scheduler: keeps the snapshot, assumes what it has decided until the API shows it, and says why a pod has to wait.
//!
//! Decisions are made one at a time under a lock, so two pods never get the same room; the bindings then run side by side.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod, PodCondition};
use konzert_scheduling::{Placement, Snapshot, place};
use konzert_workloads::action::{POD, reference, with_header};
use konzert_workloads::pods::{is_deleting, is_terminal, stamp};
use konzert_workloads::{Action, EventNote, Plan};
use parking_lot::Mutex;

use crate::cache::{Cache, Change};
use crate::controller::{Attempt, Controller, Ending, ready};
use crate::queue::{Key, Queue};

/// Keys are namespace and name of a pod.
pub(crate) struct Scheduler {
    /// Weak, because the listener of this cache holds us.
    pods: Weak<Cache<Pod>>,
    queue: Arc<Queue>,
    own_place: usize,
    /// What pods call us.
    called: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    snapshot: Snapshot,
    /// Pods that were given a node which the API does not show yet: UID by key.
    assumed: HashMap<Key, String>,
    /// Pods that no node would take.
    waiting: HashSet<Key>,
}

impl Scheduler {
    pub(crate) fn new(pods: &Arc<Cache<Pod>>, queue: Arc<Queue>, own_place: usize, called: String) -> Self {
        Self { pods: Arc::downgrade(pods), queue, own_place, called, state: Mutex::default() }
    }

    /// A pod changed: room may have been taken or freed.
    pub(crate) fn pod_changed(&self, change: &Change<'_, Pod>) {
        let Some(pod) = change.new.or(change.old) else { return };
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let key = self.key(pod);
        let takes_room = change.new.is_some() && !is_terminal(pod);
        let mut state = self.state.lock();
        let mut freed = false;
        match node_of(pod) {
            Some(node) if takes_room => {
                state.snapshot.set_pod(node, pod);
                state.assumed.remove(&key);
                state.waiting.remove(&key);
            }
            _ if change.new.is_none() || is_terminal(pod) => {
                freed = state.snapshot.remove_pod(uid);
                state.assumed.remove(&key);
                state.waiting.remove(&key);
            }
            _ => {}
        }
        if freed {
            self.retry_waiting(&mut state);
        }
        drop(state);
        if takes_room && self.is_ours(pod) {
            self.queue.wake(key);
        }
    }

    /// A node changed: pods that found no room may find some now.
    pub(crate) fn node_changed(&self, change: &Change<'_, Node>) {
        let mut state = self.state.lock();
        match (change.new, change.old) {
            (Some(node), old) => {
                // Heartbeats touch nothing that placement reads.
                if old.is_some_and(|old| !concerns(old, node)) {
                    return;
                }
                state.snapshot.set_node(node);
            }
            (None, Some(node)) => {
                state.snapshot.remove_node(node.metadata.name.as_deref().unwrap_or_default());
            }
            (None, None) => {}
        }
        self.retry_waiting(&mut state);
    }

    fn retry_waiting(&self, state: &mut State) {
        for key in state.waiting.drain() {
            self.queue.wake(key);
        }
    }

    fn key(&self, pod: &Pod) -> Key {
        Key {
            controller: self.own_place,
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
        }
    }

    /// Whether the pod waits for this scheduler.
    fn is_ours(&self, pod: &Pod) -> bool {
        let Some(spec) = &pod.spec else { return false };
        let named = spec.scheduler_name.as_deref().is_none_or(|name| name == self.called);
        let gated = spec.scheduling_gates.as_ref().is_some_and(|gates| !gates.is_empty());
        named && !gated && node_of(pod).is_none() && !is_deleting(&pod.metadata) && !is_terminal(pod)
    }

    fn decide(&self, pod: &Arc<Pod>, now: Timestamp) -> Plan {
        let key = self.key(pod);
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let mut state = self.state.lock();
        // The second test is for a pod whose binding the watch told of after we had read the pod.
        if state.assumed.contains_key(&key) || state.snapshot.home(&uid).is_some() {
            return Plan::nothing();
        }
        match place(&state.snapshot, pod) {
            Placement::Node(node) => {
                state.snapshot.set_pod(&node, pod);
                state.assumed.insert(key, uid.clone());
                bind(pod, uid, node)
            }
            Placement::Unschedulable(refusals) => {
                state.waiting.insert(key);
                refuse(pod, &refusals.to_string(), now)
            }
        }
    }
}

impl Controller for Scheduler {
    fn name(&self) -> &'static str {
        "default-scheduler"
    }

    fn plan<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        attempt: Attempt,
    ) -> BoxFuture<'a, Result<Plan, kube::Error>> {
        let pods = self.pods.upgrade();
        let pod = pods.and_then(|pods| pods.get(namespace, name)).filter(|pod| self.is_ours(pod));
        ready(pod.map_or_else(Plan::nothing, |pod| self.decide(&pod, attempt.now)))
    }

    /// A binding that failed gives the room back.
    fn ended(&self, namespace: &str, name: &str, ending: Ending) {
        if ending == Ending::Carried {
            return;
        }
        let key = Key { controller: self.own_place, namespace: namespace.to_owned(), name: name.to_owned() };
        let mut state = self.state.lock();
        if let Some(uid) = state.assumed.remove(&key) {
            state.snapshot.remove_pod(&uid);
            self.retry_waiting(&mut state);
        }
    }
}

fn bind(pod: &Pod, uid: String, node: String) -> Plan {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let name = pod.metadata.name.clone().unwrap_or_default();
    let message = format!("Successfully assigned {namespace}/{name} to {node}");
    let mut plan = Plan::nothing();
    plan.actions.push(Action::Bind { namespace, pod: name, uid, node });
    plan.event(reference(&POD, &pod.metadata), EventNote::normal("Scheduled", message));
    plan
}

/// Says in the pod's conditions, and in an event, why it has to wait. The same words are not written twice.
fn refuse(pod: &Pod, message: &str, now: Timestamp) -> Plan {
    let mut plan = Plan::nothing();
    let mut status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.get_or_insert_default();
    let old = conditions.iter().find(|condition| condition.type_ == "PodScheduled");
    let same = |old: &&PodCondition| {
        old.status == "False"
            && old.reason.as_deref() == Some("Unschedulable")
            && old.message.as_deref() == Some(message)
    };
    if !old.as_ref().is_some_and(same) {
        let since = old.filter(|old| old.status == "False").and_then(|old| old.last_transition_time.clone());
        let condition = PodCondition {
            type_: "PodScheduled".to_owned(),
            status: "False".to_owned(),
            reason: Some("Unschedulable".to_owned()),
            message: Some(message.to_owned()),
            last_transition_time: Some(since.unwrap_or_else(|| stamp(now))),
            ..PodCondition::default()
        };
        conditions.retain(|condition| condition.type_ != "PodScheduled");
        conditions.push(condition);
        let updated = Pod { status: Some(status), ..pod.clone() };
        plan.actions.push(Action::UpdateStatus { resource: POD, object: with_header(&POD, &updated) });
        plan.event(reference(&POD, &pod.metadata), EventNote::warning("FailedScheduling", message));
    }
    plan
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref().filter(|node| !node.is_empty())
}

/// Whether placement could come out differently.
fn concerns(old: &Node, new: &Node) -> bool {
    let allocatable = |node: &Node| {
        node.status.as_ref().and_then(|status| status.allocatable.clone().or_else(|| status.capacity.clone()))
    };
    old.metadata.labels != new.metadata.labels || old.spec != new.spec || allocatable(old) != allocatable(new)
}

#[cfg(test)]
mod tests;
