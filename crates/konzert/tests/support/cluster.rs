//! What tests ask of the API, again and again.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::Client;
use kube::api::{Api, ListParams, ObjectMeta, PostParams};
use kube::runtime::wait::{Condition, await_condition};

/// Makes a namespace.
pub(crate) async fn create_namespace(client: &Client, name: &str) {
    let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
    let namespace = Namespace { metadata, ..Namespace::default() };
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}

/// Creates an object in its namespace.
pub(crate) async fn create<K>(client: &Client, object: &K) -> K
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::Serialize
        + serde::de::DeserializeOwned,
{
    let namespace = object.meta().namespace.clone().unwrap();
    Api::namespaced(client.clone(), &namespace).create(&PostParams::default(), object).await.unwrap()
}

/// Waits until an object is as wanted; `None` when it is gone.
pub(crate) async fn wait<K>(api: Api<K>, name: &str, what: &str, done: impl Condition<K>) -> Option<K>
where
    K: Clone
        + std::fmt::Debug
        + Send
        + serde::de::DeserializeOwned
        + kube::Resource<DynamicType = ()>
        + 'static,
{
    match tokio::time::timeout(super::PATIENCE, await_condition(api.clone(), name, done)).await {
        Ok(waited) => waited.unwrap(),
        Err(_elapsed) => {
            let last = api.get_opt(name).await;
            panic!("{name} is not {what} within {} s: {last:#?}", super::PATIENCE.as_secs())
        }
    }
}

/// Waits until a Deployment has all its replicas, new and available, and no others.
pub(crate) async fn available(client: &Client, namespace: &str, name: &str) {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    wait(api, name, "available", |deployment: Option<&Deployment>| deployment.is_some_and(is_available))
        .await;
}

fn is_available(deployment: &Deployment) -> bool {
    let wanted = deployment.spec.replicas;
    deployment.status.as_ref().is_some_and(|status| {
        status.observed_generation == deployment.metadata.generation
            && status.updated_replicas == wanted
            && status.available_replicas == wanted
            && status.replicas == wanted
    })
}

/// Pods of an application that nobody has asked to end.
pub(crate) async fn pods_of(client: &Client, namespace: &str, app: &str) -> Vec<Pod> {
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let listed = api.list(&ListParams::default().labels(&format!("app={app}"))).await.unwrap();
    listed.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

/// A phase of a pod.
pub(crate) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|s| s.phase.as_deref()).unwrap_or_default()
}
