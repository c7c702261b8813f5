//! Our own resources, group `konzert.dev/v1alpha1`: plain CRDs, so that the same files install on any cluster.
//!
//! Does not hold behaviour: what to scan, patch or reap is decided on floor 1 and done by `fleet`.
//!
//! Invariants: statuses carry summaries and references only (far below etcd's object limit), and every record names the
//! UID of the object it speaks of, because names are reused.

mod campaign;
mod reap;
mod report;

pub use campaign::*;
pub use reap::*;
pub use report::*;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

/// API group of our own resources.
pub const GROUP: &str = "konzert.dev";
/// Version of our own resources.
pub const VERSION: &str = "v1alpha1";

/// The definitions to install, in the order in which they are applied.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![ImageReport::crd(), PatchCampaign::crd(), ReapPolicy::crd(), ReapRecord::crd()]
}
