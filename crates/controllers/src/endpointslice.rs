//! `EndpointSlices`: gathers the pods and slices of one Service.

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use konzert_workloads::Plan;
use konzert_workloads::endpointslice::{Observed, SERVICE_NAME, decide};

use crate::controller::{Attempt, Controller, ready};
use crate::world::World;

/// Keys are namespace and name of a Service.
pub(crate) struct EndpointSlices(pub(crate) Arc<World>);

impl Controller for EndpointSlices {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn plan<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
        attempt: Attempt,
    ) -> BoxFuture<'a, Result<Plan, kube::Error>> {
        let Some(service) = self.0.services.get(namespace, name) else { return ready(Plan::nothing()) };
        let pods = self.0.pods.in_namespace(namespace);
        let mut slices = self.0.slices.in_namespace(namespace);
        slices.retain(|slice| service_of(slice) == Some(name));
        ready(decide(&Observed { service, pods, slices, seed: attempt.seed }))
    }
}

/// The Service that a slice belongs to.
pub(crate) fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME).map(String::as_str)
}
