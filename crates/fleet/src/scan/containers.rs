//! The running containers of a cluster, kept current by a watch on pods.
//!
//! Holds what matters to scanning and nothing else of a pod, and tells whether an event changed that: a readiness probe or a
//! heartbeat wakes nobody.

use std::collections::{HashMap, HashSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::ResourceExt as _;
use kube::runtime::watcher::Event;

use crate::inventory::{RunningContainer, WorkloadRef, controller, pod_itself, running, top_owner};

/// Running containers by the UID of their pod; pods without any are not here.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    pods: HashMap<String, PodContainers>,
    /// Pods seen since a list began; those not among them at its end are gone.
    listed: Option<HashSet<String>>,
}

#[derive(Debug, PartialEq)]
struct PodContainers {
    /// Their workload is the pod itself.
    running: Vec<RunningContainer>,
    pod: WorkloadRef,
    owner: Option<OwnerReference>,
}

impl Containers {
    /// Whether the event changed which containers run.
    pub(crate) fn apply(&mut self, event: Event<Pod>) -> bool {
        match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                false
            }
            Event::InitApply(pod) => {
                if let Some(listed) = &mut self.listed {
                    listed.insert(pod.uid().unwrap_or_default());
                }
                // The end of the list tells.
                self.set(&pod);
                false
            }
            Event::InitDone => {
                if let Some(listed) = self.listed.take() {
                    self.pods.retain(|uid, _| listed.contains(uid));
                }
                true
            }
            Event::Apply(pod) => self.set(&pod),
            Event::Delete(pod) => self.pods.remove(&pod.uid().unwrap_or_default()).is_some(),
        }
    }

    fn set(&mut self, pod: &Pod) -> bool {
        let uid = pod.uid().unwrap_or_default();
        let itself = pod_itself(pod);
        let mut running = running(pod, &itself);
        running.retain(|container| !container.digest.is_empty());
        if running.is_empty() {
            return self.pods.remove(&uid).is_some();
        }
        let owner = controller(&pod.metadata).cloned();
        let new = PodContainers { running, pod: itself, owner };
        if self.pods.get(&uid) == Some(&new) {
            return false;
        }
        self.pods.insert(uid, new);
        true
    }

    /// UIDs of `ReplicaSet`s and Jobs that own a pod: they may have an owner themselves.
    pub(crate) fn middle_owners(&self) -> HashSet<String> {
        let owners = self.pods.values().filter_map(|pod| pod.owner.as_ref());
        let middle = owners.filter(|owner| ["ReplicaSet", "Job"].contains(&owner.kind.as_str()));
        middle.map(|owner| owner.uid.clone()).collect()
    }

    /// All of them, each with the top owner as far as owners are known.
    pub(crate) fn all(&self, owners: &HashMap<String, ObjectMeta>) -> Vec<RunningContainer> {
        let of_pod = |pod: &PodContainers| {
            let workload = top_owner(pod.pod.clone(), pod.owner.as_ref(), owners);
            let with_workload =
                |one: &RunningContainer| RunningContainer { workload: workload.clone(), ..one.clone() };
            pod.running.iter().map(with_workload).collect::<Vec<_>>()
        };
        self.pods.values().flat_map(of_pod).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, digest: &str, ready: bool) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "uid": name, "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "rs", "controller": true}]},
            "spec": {"containers": [{"name": "main", "image": "web:1"}]},
            "status": {"containerStatuses": [{"name": "main", "image": "web:1", "imageID": digest, "ready": ready,
                "restartCount": 0, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}
        }))
        .unwrap()
    }

    #[test]
    fn only_what_changes_the_running_containers_counts() {
        let mut containers = Containers::default();
        assert!(!containers.apply(Event::Init));
        assert!(!containers.apply(Event::InitApply(pod("a", "sha256:1", false))));
        assert!(containers.apply(Event::InitDone));
        assert!(!containers.apply(Event::Apply(pod("a", "sha256:1", true))), "readiness wakes nobody");
        assert!(!containers.apply(Event::Apply(pod("b", "", true))), "nothing is known of it");
        assert!(containers.apply(Event::Apply(pod("b", "sha256:1", true))));
        assert!(containers.apply(Event::Apply(pod("a", "sha256:2", true))), "another image");
        assert_eq!(containers.middle_owners(), HashSet::from(["rs".to_owned()]));
        let set = json!({"name": "web-1", "uid": "rs", "ownerReferences":
            [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]});
        let owners = HashMap::from([("rs".to_owned(), serde_json::from_value(set).unwrap())]);
        assert!(
            containers.all(&owners).iter().all(|c| c.workload.kind == "Deployment" && c.workload.uid == "d")
        );
        assert!(containers.apply(Event::Delete(pod("b", "sha256:1", true))));
        assert!(!containers.apply(Event::Delete(pod("b", "sha256:1", true))));
    }

    #[test]
    fn pods_that_a_new_list_does_not_name_are_gone() {
        let mut containers = Containers::default();
        containers.apply(Event::Apply(pod("a", "sha256:1", true)));
        containers.apply(Event::Apply(pod("b", "sha256:1", true)));
        containers.apply(Event::Init);
        containers.apply(Event::InitApply(pod("b", "sha256:1", true)));
        containers.apply(Event::InitDone);
        let left: Vec<String> = containers.all(&HashMap::new()).into_iter().map(|c| c.pod).collect();
        assert_eq!(left, ["b"]);
    }
}
