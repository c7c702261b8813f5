//! Which containers run, in which workloads, from which image, through the Kubernetes API.
//!
//! Does not look into images. A container counts as running while its status says so, also in a pod that is terminating:
//! it is exposed until it is gone.

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt as _};
use serde::Serialize;

use crate::FleetError;

/// The top owner of a container: what a person would change.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// `Deployment`, `Job`, `Pod` for a bare pod, or whatever owns it.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
}

/// A container that runs now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunningContainer {
    /// Namespace of the pod.
    pub namespace: String,
    /// Pod name.
    pub pod: String,
    /// Pod UID.
    pub pod_uid: String,
    /// Container name.
    pub container: String,
    /// The top owner.
    pub workload: WorkloadRef,
    /// Image as the pod's spec names it.
    pub image: String,
    /// Digest of what runs, `sha256:<hex>`; empty when the runtime does not tell.
    pub digest: String,
    /// Since when, RFC 3339.
    pub running_since: String,
}

/// Every running container of the cluster, sorted.
pub async fn inventory(client: &Client) -> Result<Vec<RunningContainer>, FleetError> {
    let all = ListParams::default();
    let (pods, owners) = tokio::try_join!(
        async { Api::<Pod>::all(client.clone()).list(&all).await.map_err(FleetError::api("list pods")) },
        owners(client),
    )?;
    let mut found: Vec<RunningContainer> =
        pods.items.iter().flat_map(|pod| running(pod, &workload_of(pod, &owners))).collect();
    found.sort_by(|a, b| (&a.namespace, &a.pod, &a.container).cmp(&(&b.namespace, &b.pod, &b.container)));
    Ok(found)
}

/// Everything between a pod and its top owner, by UID.
pub(crate) async fn owners(client: &Client) -> Result<HashMap<String, ObjectMeta>, FleetError> {
    let all = ListParams::default();
    let (sets, jobs) = tokio::try_join!(
        async {
            let api = Api::<ReplicaSet>::all(client.clone());
            api.list_metadata(&all).await.map_err(FleetError::api("list replicasets"))
        },
        async {
            Api::<Job>::all(client.clone()).list_metadata(&all).await.map_err(FleetError::api("list jobs"))
        },
    )?;
    let mut owners: HashMap<String, ObjectMeta> = HashMap::new();
    owners.extend(sets.items.into_iter().filter_map(|o| Some((o.metadata.uid.clone()?, o.metadata))));
    owners.extend(jobs.items.into_iter().filter_map(|o| Some((o.metadata.uid.clone()?, o.metadata))));
    Ok(owners)
}

/// Follows controller references upwards as far as they are known.
pub(crate) fn workload_of(pod: &Pod, owners: &HashMap<String, ObjectMeta>) -> WorkloadRef {
    top_owner(pod_itself(pod), controller(&pod.metadata), owners)
}

/// A bare pod is its own workload.
pub(crate) fn pod_itself(pod: &Pod) -> WorkloadRef {
    WorkloadRef {
        kind: "Pod".to_owned(),
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
    }
}

/// The end of the chain of controllers that starts at a pod's.
pub(crate) fn top_owner<'a>(
    pod: WorkloadRef,
    mut next: Option<&'a OwnerReference>,
    owners: &'a HashMap<String, ObjectMeta>,
) -> WorkloadRef {
    let namespace = pod.namespace.clone();
    let mut workload = pod;
    // Two steps are usual (ReplicaSet, Deployment); the bound keeps a cycle from holding us.
    for _ in 0..8 {
        let Some(owner) = next else { break };
        workload = WorkloadRef {
            kind: owner.kind.clone(),
            namespace: namespace.clone(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
        };
        next = owners.get(&owner.uid).and_then(controller);
    }
    workload
}

/// The owner that controls an object.
pub(crate) fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.as_deref().unwrap_or_default().iter().find(|o| o.controller == Some(true))
}

/// The running containers of one pod.
pub(crate) fn running(pod: &Pod, workload: &WorkloadRef) -> Vec<RunningContainer> {
    let Some(status) = &pod.status else { return Vec::new() };
    let all =
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    let statuses = all.into_iter().flatten().flatten();
    statuses
        .filter_map(|one| {
            let since = one.state.as_ref()?.running.as_ref()?;
            Some(RunningContainer {
                namespace: pod.namespace().unwrap_or_default(),
                pod: pod.name_any(),
                pod_uid: pod.uid().unwrap_or_default(),
                container: one.name.clone(),
                workload: workload.clone(),
                image: image_of(pod, one),
                digest: digest_of(&one.image_id),
                running_since: since.started_at.as_ref().map(|t| t.0.to_string()).unwrap_or_default(),
            })
        })
        .collect()
}

fn image_of(pod: &Pod, status: &ContainerStatus) -> String {
    let spec = pod.spec.as_ref();
    let init = spec.and_then(|s| s.init_containers.as_deref()).unwrap_or_default();
    let main = spec.map(|s| s.containers.as_slice()).unwrap_or_default();
    let named = init.iter().chain(main).find(|c| c.name == status.name);
    named.and_then(|c| c.image.clone()).unwrap_or_else(|| status.image.clone())
}

/// Runtimes write `sha256:…`, `repo@sha256:…` or `docker-pullable://repo@sha256:…`.
fn digest_of(image_id: &str) -> String {
    let digest = image_id.rsplit('@').next().unwrap_or_default();
    if digest.starts_with("sha256:") { digest.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(value: serde_json::Value) -> Pod {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_container_counts_while_it_runs_also_when_its_pod_is_terminating() {
        let pod = pod(json!({
            "metadata": {"name": "a-1", "namespace": "n", "uid": "p", "deletionTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "a", "uid": "rs", "controller": true}]},
            "spec": {"containers": [{"name": "x", "image": "app:1"}, {"name": "y", "image": "side:1"}]},
            "status": {"containerStatuses": [
                {"name": "x", "image": "app:1", "imageID": "docker-pullable://app@sha256:aa", "ready": true, "restartCount": 0,
                 "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}},
                {"name": "y", "image": "side:1", "imageID": "sha256:bb", "ready": false, "restartCount": 0,
                 "state": {"terminated": {"exitCode": 0}}}]}
        }));
        let deployment = json!({"name": "a", "uid": "rs", "ownerReferences":
            [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "top", "uid": "d", "controller": true}]});
        let owners = HashMap::from([("rs".to_owned(), serde_json::from_value(deployment).unwrap())]);
        let found = running(&pod, &workload_of(&pod, &owners));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].container.as_str(), found[0].digest.as_str()), ("x", "sha256:aa"));
        assert_eq!((found[0].workload.kind.as_str(), found[0].workload.name.as_str()), ("Deployment", "top"));
    }

    #[test]
    fn a_bare_pod_is_its_own_workload_and_a_cycle_ends() {
        let bare = pod(json!({"metadata": {"name": "b", "namespace": "n", "uid": "p"}}));
        assert_eq!(workload_of(&bare, &HashMap::new()).kind, "Pod");
        let cyclic = pod(json!({"metadata": {"name": "b", "namespace": "n", "uid": "p", "ownerReferences":
            [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x", "controller": true}]}}));
        let own = json!({"name": "x", "uid": "x", "ownerReferences":
            [{"apiVersion": "v1", "kind": "X", "name": "x", "uid": "x", "controller": true}]});
        let owners = HashMap::from([("x".to_owned(), serde_json::from_value(own).unwrap())]);
        assert_eq!(workload_of(&cyclic, &owners).kind, "X");
    }
}
