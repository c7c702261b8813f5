//! From a pod template to a pod object.

use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::action::Resource;
use crate::names::generated;
use crate::pods::{controller_reference, name};

/// How the pods of one controller are named: prefix and the draw of this pass.
pub(crate) struct Naming {
    /// The prefix, with its dash.
    pub(crate) base: String,
    /// Drawn by the caller for every pass.
    pub(crate) seed: u64,
}

/// The pod number `index` of this pass.
pub(crate) fn pod(
    template: &PodTemplateSpec,
    owner_resource: &Resource,
    owner: &ObjectMeta,
    naming: &Naming,
    index: usize,
) -> Pod {
    let meta = template.metadata.clone().unwrap_or_default();
    Pod {
        metadata: ObjectMeta {
            name: Some(generated(&naming.base, naming.seed, index)),
            generate_name: Some(naming.base.clone()),
            namespace: owner.namespace.clone(),
            labels: meta.labels,
            annotations: meta.annotations,
            finalizers: meta.finalizers,
            owner_references: Some(vec![controller_reference(owner_resource, owner)]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// The usual naming: after the owner.
pub(crate) fn naming(owner: &ObjectMeta, seed: u64) -> Naming {
    Naming { base: format!("{}-", name(owner)), seed }
}
