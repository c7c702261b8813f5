//! The caches of the kinds that controllers read, together.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use konzert_workloads::Resource;
use konzert_workloads::action::{
    DEPLOYMENT, ENDPOINT_SLICE, JOB, NAMESPACE, NODE, POD, REPLICA_SET, SERVICE, SERVICE_ACCOUNT,
};
use serde::de::DeserializeOwned;

use crate::cache::Cache;

/// One cache per kind that is read in full.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) pods: Arc<Cache<Pod>>,
    pub(crate) replica_sets: Arc<Cache<ReplicaSet>>,
    pub(crate) deployments: Arc<Cache<Deployment>>,
    pub(crate) jobs: Arc<Cache<Job>>,
    pub(crate) services: Arc<Cache<Service>>,
    pub(crate) slices: Arc<Cache<EndpointSlice>>,
    pub(crate) namespaces: Arc<Cache<Namespace>>,
    pub(crate) nodes: Arc<Cache<Node>>,
    pub(crate) accounts: Arc<Cache<ServiceAccount>>,
}

/// The kinds of the world; all others are watched by metadata only.
pub(crate) const TYPED: &[Resource] =
    &[POD, REPLICA_SET, DEPLOYMENT, JOB, SERVICE, ENDPOINT_SLICE, NAMESPACE, NODE, SERVICE_ACCOUNT];

/// Runs one expression with the cache of the resource, whatever its type.
macro_rules! with_cache {
    ($world:expr, $resource:expr, $cache:ident => $run:expr) => {
        match ($resource.group.as_ref(), $resource.plural.as_ref()) {
            ("", "pods") => {
                let $cache = &$world.pods;
                $run
            }
            ("", "services") => {
                let $cache = &$world.services;
                $run
            }
            ("", "namespaces") => {
                let $cache = &$world.namespaces;
                $run
            }
            ("", "nodes") => {
                let $cache = &$world.nodes;
                $run
            }
            ("", "serviceaccounts") => {
                let $cache = &$world.accounts;
                $run
            }
            ("apps", "replicasets") => {
                let $cache = &$world.replica_sets;
                $run
            }
            ("apps", "deployments") => {
                let $cache = &$world.deployments;
                $run
            }
            ("batch", "jobs") => {
                let $cache = &$world.jobs;
                $run
            }
            ("discovery.k8s.io", "endpointslices") => {
                let $cache = &$world.slices;
                $run
            }
            _ => {}
        }
    };
}

impl World {
    /// Takes in the answer to a write of ours.
    pub(crate) fn written(&self, resource: &Resource, answer: &str) {
        with_cache!(self, resource, cache => take_in(cache, resource, answer));
    }

    /// Takes in that a delete of ours removed the object.
    pub(crate) fn erased(&self, resource: &Resource, namespace: &str, name: &str, uid: &str) {
        with_cache!(self, resource, cache => cache.erase(namespace, name, uid));
    }
}

fn take_in<K>(cache: &Cache<K>, resource: &Resource, answer: &str)
where
    K: kube::Resource + Clone + DeserializeOwned,
{
    match serde_json::from_str(answer) {
        Ok(object) => cache.written(object),
        // The watch brings it as well, only later.
        Err(error) => tracing::debug!(kind = %resource.kind, %error, "the answer to a write is no object"),
    }
}
