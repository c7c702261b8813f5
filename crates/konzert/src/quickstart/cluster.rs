//! What the story asks of the API: apply its manifests, wait for the fleet, and look at it. Any client could do the same.

use std::net::SocketAddr;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod, Service};
use kube::api::{Api, DynamicObject, ListParams, PostParams};
use kube::discovery::{ApiResource, Scope};
use kube::runtime::wait::{Condition, await_condition};
use kube::{Client, ResourceExt as _};

use crate::exit::Failure;

/// The namespace of the fleet.
pub(crate) const NAMESPACE: &str = "concert";
/// The manifests, in the order in which they are applied.
const MANIFESTS: [&str; 7] = [
    include_str!("../../../../examples/quickstart/namespace.yaml"),
    include_str!("../../../../examples/quickstart/web.yaml"),
    include_str!("../../../../examples/quickstart/api.yaml"),
    include_str!("../../../../examples/quickstart/worker.yaml"),
    include_str!("../../../../examples/quickstart/tuner.yaml"),
    include_str!("../../../../examples/quickstart/rehearsal.yaml"),
    include_str!("../../../../examples/quickstart/preview.yaml"),
];
const PATIENCE: Duration = Duration::from_secs(30);

/// Creates every object of the manifests; returns how many containers they ask for.
pub(crate) async fn apply(client: &Client) -> Result<u32, Failure> {
    let mut containers = 0;
    for manifest in MANIFESTS {
        let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(manifest)?;
        for document in documents {
            containers += containers_of(&document);
            create(client, document).await?;
        }
    }
    Ok(containers)
}

fn containers_of(object: &serde_json::Value) -> u32 {
    let count = |pod: &serde_json::Value| pod["containers"].as_array().map_or(0, Vec::len);
    let spec = &object["spec"];
    let each = count(spec).max(count(&spec["template"]["spec"]));
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    u32::try_from(each as u64 * replicas).unwrap_or(u32::MAX)
}

async fn create(client: &Client, document: serde_json::Value) -> Result<(), Failure> {
    let object: DynamicObject = serde_json::from_value(document)?;
    let types = object.types.clone().unwrap_or_default();
    let gvk = kube::core::GroupVersionKind::try_from(&types)?;
    let (resource, capabilities) = kube::discovery::pinned_kind(client, &gvk).await?;
    let api = api_for(client, &resource, &capabilities.scope, &object);
    api.create(&PostParams::default(), &object).await?;
    Ok(())
}

fn api_for(
    client: &Client,
    resource: &ApiResource,
    scope: &Scope,
    object: &DynamicObject,
) -> Api<DynamicObject> {
    match (scope, object.namespace()) {
        (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(client.clone(), &namespace, resource),
        _ => Api::all_with(client.clone(), resource),
    }
}

/// Waits until the node is ready for pods.
pub(crate) async fn node_ready(client: &Client, name: &str) -> Result<(), Failure> {
    let ready = |node: Option<&Node>| {
        let conditions =
            node.and_then(|n| n.status.as_ref()).and_then(|s| s.conditions.as_deref()).unwrap_or_default();
        conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    };
    wait(Api::all(client.clone()), name, "the node", ready).await
}

/// Waits until every Deployment is fully available, the bare pod is ready and the Job is complete.
pub(crate) async fn fleet_ready(client: &Client) -> Result<(), Failure> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    for deployment in deployments.list(&ListParams::default()).await? {
        available(client, &deployment.name_any()).await?;
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let ready = |pod: Option<&Pod>| {
        let conditions =
            pod.and_then(|p| p.status.as_ref()).and_then(|s| s.conditions.as_deref()).unwrap_or_default();
        conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    };
    wait(pods, "tuner", "pod tuner", ready).await?;
    let jobs: Api<Job> = Api::namespaced(client.clone(), NAMESPACE);
    let complete =
        |job: Option<&Job>| job.and_then(|j| j.status.as_ref()).and_then(|s| s.succeeded) == Some(1);
    wait(jobs, "rehearsal", "job rehearsal", complete).await
}

/// Waits until a Deployment has all its replicas, new and available.
pub(crate) async fn available(client: &Client, name: &str) -> Result<(), Failure> {
    let available = |deployment: Option<&Deployment>| {
        let Some(deployment) = deployment else { return false };
        let wanted = deployment.spec.replicas;
        let status = deployment.status.as_ref();
        status.is_some_and(|s| {
            s.observed_generation == deployment.metadata.generation
                && s.updated_replicas == wanted
                && s.available_replicas == wanted
                && s.replicas == wanted
        })
    };
    wait(Api::namespaced(client.clone(), NAMESPACE), name, &format!("deployment {name}"), available).await
}

async fn wait<K>(api: Api<K>, name: &str, what: &str, done: impl Condition<K>) -> Result<(), Failure>
where
    K: Clone
        + std::fmt::Debug
        + Send
        + serde::de::DeserializeOwned
        + kube::Resource<DynamicType = ()>
        + 'static,
{
    match tokio::time::timeout(PATIENCE, await_condition(api, name, done)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(Failure::failed(error)),
        Err(_elapsed) => {
            Err(Failure::failed(anyhow::anyhow!("{what} is not ready after {} s", PATIENCE.as_secs()))
                .hint("run it again with -v"))
        }
    }
}

/// Where a Service of the fleet is reached.
pub(crate) async fn service_address(client: &Client, name: &str) -> Result<SocketAddr, Failure> {
    let service = Api::<Service>::namespaced(client.clone(), NAMESPACE).get(name).await?;
    let address = service.spec.and_then(|s| s.cluster_ip).unwrap_or_default();
    Ok(SocketAddr::new(address.parse()?, 80))
}

/// Images that the Deployment's template names now.
pub(crate) async fn template_images(client: &Client, name: &str) -> Result<Vec<String>, Failure> {
    let deployment = Api::<Deployment>::namespaced(client.clone(), NAMESPACE).get(name).await?;
    let pod = deployment.spec.template.spec.unwrap_or_default();
    Ok(pod.containers.into_iter().filter_map(|c| c.image).collect())
}

/// Whether a Deployment is there.
pub(crate) async fn deployment_exists(client: &Client, name: &str) -> Result<bool, Failure> {
    Ok(Api::<Deployment>::namespaced(client.clone(), NAMESPACE).get_opt(name).await?.is_some())
}
