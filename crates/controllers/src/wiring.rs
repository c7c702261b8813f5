//! Which change wakes which key: the whole map, in one place.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use konzert_workloads::Resource;
use konzert_workloads::action::{
    DEPLOYMENT, ENDPOINT_SLICE, JOB, NAMESPACE, NODE, POD, REPLICA_SET, SERVICE, SERVICE_ACCOUNT,
};
use konzert_workloads::pods::controller_of;
use konzert_workloads::selector::{matches, matches_map};

use crate::cache::{Cache, Change};
use crate::endpointslice::service_of;
use crate::garbage::Collector;
use crate::queue::{Key, Queue};
use crate::scheduler::Scheduler;
use crate::world::World;

/// Places of the controllers in the table.
pub(crate) mod place {
    pub(crate) const DEPLOYMENTS: usize = 0;
    pub(crate) const REPLICA_SETS: usize = 1;
    pub(crate) const JOBS: usize = 2;
    pub(crate) const ENDPOINT_SLICES: usize = 3;
    pub(crate) const NAMESPACES: usize = 4;
    pub(crate) const DEFAULT_ACCOUNTS: usize = 5;
    pub(crate) const SCHEDULER: usize = 6;
    pub(crate) const GARBAGE: usize = 7;
}

/// Everything a listener may wake.
#[derive(Clone)]
pub(crate) struct Wiring {
    pub(crate) queue: Arc<Queue>,
    pub(crate) collector: Arc<Collector>,
    pub(crate) scheduler: Arc<Scheduler>,
}

impl Wiring {
    fn wake(&self, controller: usize, meta: &ObjectMeta) {
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        self.wake_named(controller, namespace, meta.name.as_deref().unwrap_or_default());
    }

    fn wake_named(&self, controller: usize, namespace: &str, name: &str) {
        self.queue.wake(Key { controller, namespace: namespace.to_owned(), name: name.to_owned() });
    }

    fn collect<K: kube::Resource>(&self, resource: &Arc<Resource>, change: &Change<'_, K>) {
        let meta = |side: Option<&'_ Arc<K>>| side.map(|object| object.meta().clone());
        self.collector.changed(resource, meta(change.old).as_ref(), meta(change.new).as_ref());
    }

    /// Objects that are looked at under their own name.
    fn wire_own<K>(&self, cache: &Cache<K>, resource: Resource, controllers: &'static [usize])
    where
        K: kube::Resource + Clone + 'static,
    {
        let (wiring, resource) = (self.clone(), Arc::new(resource));
        cache.listen(move |change: &Change<'_, K>| {
            wiring.collect(&resource, change);
            if let Some(object) = change.new.or(change.old) {
                for controller in controllers {
                    wiring.wake(*controller, object.meta());
                }
            }
        });
    }

    /// Connects every cache.
    pub(crate) fn connect(&self, world: &World) {
        self.wire_own(&world.deployments, DEPLOYMENT, &[place::DEPLOYMENTS]);
        self.wire_own(&world.jobs, JOB, &[place::JOBS]);
        self.wire_own(&world.services, SERVICE, &[place::ENDPOINT_SLICES]);
        self.wire_own(&world.namespaces, NAMESPACE, &[place::NAMESPACES, place::DEFAULT_ACCOUNTS]);
        self.wire_accounts(world);
        self.wire_slices(world);
        self.wire_nodes(world);
        self.wire_replica_sets(world);
        self.wire_pods(world);
    }

    fn wire_accounts(&self, world: &World) {
        let (wiring, resource) = (self.clone(), Arc::new(SERVICE_ACCOUNT));
        world.accounts.listen(move |change| {
            wiring.collect(&resource, change);
            if let (Some(old), None) = (change.old, change.new) {
                let namespace = old.metadata.namespace.as_deref().unwrap_or_default();
                wiring.wake_named(place::DEFAULT_ACCOUNTS, "", namespace);
            }
        });
    }

    fn wire_slices(&self, world: &World) {
        let (wiring, resource) = (self.clone(), Arc::new(ENDPOINT_SLICE));
        world.slices.listen(move |change| {
            wiring.collect(&resource, change);
            for slice in change.sides() {
                let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
                if let Some(service) = service_of(slice) {
                    wiring.wake_named(place::ENDPOINT_SLICES, namespace, service);
                }
            }
        });
    }

    fn wire_nodes(&self, world: &World) {
        let (wiring, resource) = (self.clone(), Arc::new(NODE));
        world.nodes.listen(move |change| {
            wiring.collect(&resource, change);
            wiring.scheduler.node_changed(change);
        });
    }

    fn wire_replica_sets(&self, world: &World) {
        let (wiring, resource) = (self.clone(), Arc::new(REPLICA_SET));
        let deployments = Arc::clone(&world.deployments);
        world.replica_sets.listen(move |change| {
            wiring.collect(&resource, change);
            for set in change.sides() {
                let selector = |deployment: &Deployment| deployment.spec.selector.clone();
                wiring.wake_owners(&set.metadata, "Deployment", place::DEPLOYMENTS, &deployments, selector);
            }
            if let Some(set) = change.new.or(change.old) {
                wiring.wake(place::REPLICA_SETS, &set.metadata);
            }
        });
    }

    fn wire_pods(&self, world: &World) {
        let (wiring, resource) = (self.clone(), Arc::new(POD));
        let (replica_sets, jobs) = (Arc::clone(&world.replica_sets), Arc::clone(&world.jobs));
        let (deployments, services) = (Arc::clone(&world.deployments), Arc::clone(&world.services));
        world.pods.listen(move |change| {
            wiring.collect(&resource, change);
            wiring.scheduler.pod_changed(change);
            for pod in change.sides() {
                let of_set = |set: &ReplicaSet| set.spec.selector.clone();
                let of_job =
                    |job: &Job| job.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
                wiring.wake_owners(&pod.metadata, "ReplicaSet", place::REPLICA_SETS, &replica_sets, of_set);
                wiring.wake_owners(&pod.metadata, "Job", place::JOBS, &jobs, of_job);
            }
            wiring.wake_services(change, &services);
            wiring.wake_recreating(change, &replica_sets, &deployments);
        });
    }

    /// The controller of the object; for an object without one, everybody who would adopt it.
    fn wake_owners<K: kube::Resource + Clone>(
        &self,
        meta: &ObjectMeta,
        kind: &str,
        controller: usize,
        owners: &Cache<K>,
        selector: impl Fn(&K) -> LabelSelector,
    ) {
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        match controller_of(meta) {
            Some(owner) if owner.kind == kind => self.wake_named(controller, namespace, &owner.name),
            Some(_) => {}
            None => {
                let adopting = owners.in_namespace(namespace);
                for owner in adopting.iter().filter(|owner| matches(&selector(owner), meta.labels.as_ref())) {
                    self.wake(controller, owner.meta());
                }
            }
        }
    }

    fn wake_services(&self, change: &Change<'_, Pod>, services: &Cache<Service>) {
        if let (Some(old), Some(new)) = (change.old, change.new)
            && !konzert_workloads::endpointslice::concerns(old, new)
        {
            return;
        }
        let Some(pod) = change.new.or(change.old) else { return };
        for service in services.in_namespace(pod.metadata.namespace.as_deref().unwrap_or_default()) {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let chosen = |pod: &Arc<Pod>| {
                selector.is_some_and(|selector| matches_map(selector, pod.metadata.labels.as_ref()))
            };
            if change.sides().any(chosen) {
                self.wake(place::ENDPOINT_SLICES, &service.metadata);
            }
        }
    }

    /// A Deployment that recreates waits for its old pods to go.
    fn wake_recreating(
        &self,
        change: &Change<'_, Pod>,
        replica_sets: &Cache<ReplicaSet>,
        deployments: &Cache<Deployment>,
    ) {
        let Some(pod) = change.new.or(change.old) else { return };
        if change.new.is_some() && !konzert_workloads::pods::is_terminal(pod) {
            return;
        }
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let owner = |meta: &ObjectMeta, kind: &str| -> Option<OwnerReference> {
            controller_of(meta).filter(|owner| owner.kind == kind).cloned()
        };
        let set = owner(&pod.metadata, "ReplicaSet").and_then(|set| replica_sets.get(namespace, &set.name));
        let Some(deployment) = set.and_then(|set| owner(&set.metadata, "Deployment")) else { return };
        let recreates = deployments.get(namespace, &deployment.name).is_some_and(|deployment| {
            deployment.spec.strategy.as_ref().and_then(|strategy| strategy.type_.as_deref())
                == Some("Recreate")
        });
        if recreates {
            self.wake_named(place::DEPLOYMENTS, namespace, &deployment.name);
        }
    }
}
