//! Reads and changes workloads of any kind that has a pod template, through dynamic objects.
//!
//! Invariants: a change carries the UID it was planned for and the resource version that was read; only `image` fields of named
//! containers change.

use std::collections::{BTreeMap, BTreeSet};

use konzert_api::own::{ImageChange, WorkloadProgress};
use konzert_campaigns::Health;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::FleetError;
use crate::error::api_code;
use crate::inventory::WorkloadRef;

/// Kinds whose image can be changed: API version and where the pod spec lies.
const KINDS: [(&str, &str, &str); 4] = [
    ("Deployment", "apps/v1", "/spec/template/spec"),
    ("StatefulSet", "apps/v1", "/spec/template/spec"),
    ("DaemonSet", "apps/v1", "/spec/template/spec"),
    ("Pod", "v1", "/spec"),
];

/// Why workloads of a kind cannot be patched; `None` when they can.
pub(super) fn not_changeable(kind: &str) -> Option<&'static str> {
    match kind {
        _ if KINDS.iter().any(|(known, ..)| *known == kind) => None,
        "Job" => Some("a Job's template cannot change; it ends by itself"),
        "ReplicaSet" => Some("a ReplicaSet does not replace its pods; give it a Deployment"),
        _ => Some("konzert does not know where this kind keeps its pod template"),
    }
}

fn api(client: &Client, kind: &str, namespace: Option<&str>) -> Option<(Api<DynamicObject>, &'static str)> {
    let (_, version, path) = KINDS.iter().find(|(known, ..)| *known == kind)?;
    let (group, version) = version.split_once('/').unwrap_or(("", version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    Some((api, path))
}

/// UIDs of the workloads of a kind that have the labels.
pub(super) async fn with_labels(
    client: &Client,
    kind: &str,
    selector: &str,
) -> Result<BTreeSet<String>, FleetError> {
    let Some((api, _)) = api(client, kind, None) else { return Ok(BTreeSet::new()) };
    let listed = api.list_metadata(&ListParams::default().labels(selector)).await;
    let listed = listed.map_err(|error| match api_code(&error) {
        Some(400) => FleetError::Request { field: "selector", problem: error.to_string() },
        _ => FleetError::api(format!("list {kind}"))(error),
    })?;
    Ok(listed.items.into_iter().filter_map(|o| o.metadata.uid).collect())
}

/// A workload as it is now; `None` when it is gone or another object has its name.
pub(super) struct Current {
    object: Value,
    pod_spec: &'static str,
}

/// Reads a workload.
pub(super) async fn read(
    client: &Client,
    kind: &str,
    namespace: &str,
    name: &str,
    uid: &str,
) -> Result<Option<Current>, FleetError> {
    let Some((api, pod_spec)) = api(client, kind, Some(namespace)) else { return Ok(None) };
    let found =
        api.get_opt(name).await.map_err(FleetError::api(format!("read {kind} {namespace}/{name}")))?;
    let found = found.filter(|object| {
        object.metadata.uid.as_deref() == Some(uid) && object.metadata.deletion_timestamp.is_none()
    });
    Ok(found.and_then(|object| serde_json::to_value(object).ok()).map(|object| Current { object, pod_spec }))
}

/// Container → image of a workload's template; empty when it is gone.
pub(super) async fn images(
    client: &Client,
    workload: &WorkloadRef,
) -> Result<BTreeMap<String, String>, FleetError> {
    let WorkloadRef { kind, namespace, name, uid } = workload;
    Ok(read(client, kind, namespace, name, uid).await?.map(|current| current.images()).unwrap_or_default())
}

const LISTS: [&str; 2] = ["initContainers", "containers"];

impl Current {
    /// Container → image.
    pub(super) fn images(&self) -> BTreeMap<String, String> {
        let spec = self.object.pointer(self.pod_spec).unwrap_or(&Value::Null);
        let all = LISTS.iter().filter_map(|list| spec[list].as_array()).flatten();
        all.filter_map(|c| Some((c["name"].as_str()?.to_owned(), c["image"].as_str()?.to_owned()))).collect()
    }

    /// Whether it is up, by its kind's own status.
    pub(super) fn health(&self) -> Health {
        match self.object["kind"].as_str() {
            Some("Pod") => pod_health(&self.object),
            Some("DaemonSet") => {
                counted(&self.object, "desiredNumberScheduled", "updatedNumberScheduled", "numberAvailable")
            }
            _ => replicated(&self.object),
        }
    }

    /// A strategic merge patch that sets images, with the preconditions.
    fn patch(&self, images: &BTreeMap<String, String>) -> Value {
        let mut pod = json!({});
        let spec = self.object.pointer(self.pod_spec).unwrap_or(&Value::Null);
        for list in LISTS {
            let named = spec[list].as_array().into_iter().flatten().filter_map(|c| c["name"].as_str());
            let changed: Vec<Value> = named
                .filter_map(|name| images.get(name).map(|image| json!({"name": name, "image": image})))
                .collect();
            if !changed.is_empty() {
                pod[list] = changed.into();
            }
        }
        let spec = if self.pod_spec == "/spec" { pod } else { json!({"template": {"spec": pod}}) };
        let metadata = &self.object["metadata"];
        json!({"metadata": {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}, "spec": spec})
    }
}

/// Which side of a change is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// The images of one side.
pub(super) fn side(changes: &[ImageChange], side: Side) -> BTreeMap<String, String> {
    let image = |c: &ImageChange| if side == Side::After { c.after.clone() } else { c.before.clone() };
    changes.iter().map(|c| (c.container.clone(), image(c))).collect()
}

/// Writes images; writes nothing when they are there already, or when the workload is gone or not ours any more.
pub(super) async fn set_images(
    client: &Client,
    entry: &WorkloadProgress,
    images: &BTreeMap<String, String>,
) -> Result<(), FleetError> {
    let WorkloadProgress { kind, namespace, name, uid, .. } = entry;
    let Some(current) = read(client, kind, namespace, name, uid).await? else { return Ok(()) };
    let now = current.images();
    if images.iter().all(|(container, image)| now.get(container) == Some(image)) {
        return Ok(());
    }
    let Some((api, _)) = api(client, kind, Some(namespace)) else { return Ok(()) };
    match api.patch(name, &PatchParams::default(), &Patch::Strategic(current.patch(images))).await {
        Ok(_) => Ok(()),
        // It changed or went since it was read: the next look decides anew.
        Err(error) if matches!(api_code(&error), Some(404 | 409)) => Ok(()),
        Err(error) => Err(FleetError::api(format!("change the images of {kind} {namespace}/{name}"))(error)),
    }
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|c| c["type"] == kind)
}

fn pod_health(pod: &Value) -> Health {
    if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) {
        return Health::Failed("the pod has ended".to_owned());
    }
    // The kubelet tells of a spec change by the container's image.
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let waiting = statuses.clone().find_map(|c| c["state"]["waiting"]["reason"].as_str());
    if let Some(reason) = waiting {
        return Health::Waiting(format!("a container waits: {reason}"));
    }
    match condition(pod, "Ready") {
        Some(ready) if ready["status"] == "True" => Health::Ready,
        _ => Health::Waiting("the pod is not ready".to_owned()),
    }
}

fn replicated(object: &Value) -> Health {
    if let Some(progressing) = condition(object, "Progressing")
        && progressing["status"] == "False"
    {
        let why = progressing["message"].as_str().unwrap_or("its progress deadline is over");
        return Health::Failed(why.to_owned());
    }
    let (spec, status) = (&object["spec"], &object["status"]);
    let wanted = spec["replicas"].as_u64().unwrap_or(1);
    let of = |field: &str| status[field].as_u64().unwrap_or_default();
    if status["observedGeneration"] != object["metadata"]["generation"] {
        return Health::Waiting("the controller has not seen the change yet".to_owned());
    }
    let (updated, available, all) = (of("updatedReplicas"), of("availableReplicas"), of("replicas"));
    if updated == wanted && available == wanted && all == wanted {
        return Health::Ready;
    }
    Health::Waiting(format!(
        "{updated} of {wanted} replicas are updated, {available} available, {all} in all"
    ))
}

fn counted(object: &Value, wanted: &str, updated: &str, available: &str) -> Health {
    let of = |field: &str| object["status"][field].as_u64().unwrap_or_default();
    if object["status"]["observedGeneration"] != object["metadata"]["generation"] {
        return Health::Waiting("the controller has not seen the change yet".to_owned());
    }
    if of(updated) == of(wanted) && of(available) == of(wanted) {
        return Health::Ready;
    }
    Health::Waiting(format!(
        "{} of {} pods are updated, {} available",
        of(updated),
        of(wanted),
        of(available)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(updated: u64, available: u64, all: u64) -> Current {
        let object = json!({"kind": "Deployment", "metadata": {"generation": 2, "uid": "u", "resourceVersion": "9"},
            "spec": {"replicas": 3, "template": {"spec": {
                "initContainers": [{"name": "setup", "image": "a:1"}],
                "containers": [{"name": "main", "image": "b:1"}, {"name": "side", "image": "c:1"}]}}},
            "status": {"observedGeneration": 2, "updatedReplicas": updated, "availableReplicas": available, "replicas": all}});
        Current { object, pod_spec: "/spec/template/spec" }
    }

    #[test]
    fn a_deployment_is_ready_when_nothing_old_is_left() {
        assert_eq!(deployment(3, 3, 3).health(), Health::Ready);
        for (updated, available, all) in [(2, 3, 3), (3, 2, 3), (3, 3, 4)] {
            assert!(matches!(deployment(updated, available, all).health(), Health::Waiting(_)));
        }
    }

    #[test]
    fn a_patch_names_only_the_containers_that_change_and_its_preconditions() {
        let images =
            BTreeMap::from([("setup".to_owned(), "a:2".to_owned()), ("side".to_owned(), "c:2".to_owned())]);
        let want = json!({"metadata": {"uid": "u", "resourceVersion": "9"}, "spec": {"template": {"spec": {
            "initContainers": [{"name": "setup", "image": "a:2"}], "containers": [{"name": "side", "image": "c:2"}]}}}});
        assert_eq!(deployment(3, 3, 3).patch(&images), want);
    }

    #[test]
    fn a_pod_that_waits_is_not_ready_even_if_its_condition_is_old() {
        let mut pod = json!({"kind": "Pod", "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "a", "state": {"running": {}}}]}});
        assert_eq!(pod_health(&pod), Health::Ready);
        pod["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "ErrImageNeverPull"}});
        assert!(matches!(pod_health(&pod), Health::Waiting(_)));
    }
}
