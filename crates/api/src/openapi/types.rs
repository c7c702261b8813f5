//! The Rust type behind the schema of every kind of the schema table: types and descriptions come from k8s-openapi.
//!
//! A flat list, in the order of names; a schema is generated only for what is served.

use k8s_openapi::{api, apiextensions_apiserver, apimachinery, kube_aggregator};
use schemars::generate::{SchemaGenerator, SchemaSettings};

macro_rules! types {
    ($($name:literal => $type:path,)*) => {
        /// Adds a type and all that it refers to. Nothing happens for a name that is not in the list.
        pub(super) fn generate(generator: &mut SchemaGenerator, name: &str) {
            match name {
                $($name => drop(generator.subschema_for::<$type>()),)*
                _ => {}
            }
        }

        /// All names, for the tests that hold the schema table against the types.
        #[cfg(test)]
        pub(crate) const NAMES: &[&str] = &[$($name,)*];
    };
}

/// A generator that leaves references and formats as they are.
pub(crate) fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::openapi3();
    settings.transforms.clear();
    settings.meta_schema = None;
    SchemaGenerator::new(settings)
}

/// The definitions of everything in the list.
#[cfg(test)]
pub(crate) fn everything() -> serde_json::Map<String, serde_json::Value> {
    let mut generator = generator();
    for name in NAMES {
        generate(&mut generator, name);
    }
    generator.take_definitions(false)
}

types! {
    "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy" => api::admissionregistration::v1::MutatingAdmissionPolicy,
    "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding" => api::admissionregistration::v1::MutatingAdmissionPolicyBinding,
    "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration" => api::admissionregistration::v1::MutatingWebhookConfiguration,
    "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy" => api::admissionregistration::v1::ValidatingAdmissionPolicy,
    "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding" => api::admissionregistration::v1::ValidatingAdmissionPolicyBinding,
    "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration" => api::admissionregistration::v1::ValidatingWebhookConfiguration,
    "io.k8s.api.apps.v1.ControllerRevision" => api::apps::v1::ControllerRevision,
    "io.k8s.api.apps.v1.DaemonSet" => api::apps::v1::DaemonSet,
    "io.k8s.api.apps.v1.Deployment" => api::apps::v1::Deployment,
    "io.k8s.api.apps.v1.ReplicaSet" => api::apps::v1::ReplicaSet,
    "io.k8s.api.apps.v1.StatefulSet" => api::apps::v1::StatefulSet,
    "io.k8s.api.authentication.v1.SelfSubjectReview" => api::authentication::v1::SelfSubjectReview,
    "io.k8s.api.authentication.v1.TokenRequest" => api::authentication::v1::TokenRequest,
    "io.k8s.api.authentication.v1.TokenReview" => api::authentication::v1::TokenReview,
    "io.k8s.api.authorization.v1.LocalSubjectAccessReview" => api::authorization::v1::LocalSubjectAccessReview,
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview" => api::authorization::v1::SelfSubjectAccessReview,
    "io.k8s.api.authorization.v1.SelfSubjectRulesReview" => api::authorization::v1::SelfSubjectRulesReview,
    "io.k8s.api.authorization.v1.SubjectAccessReview" => api::authorization::v1::SubjectAccessReview,
    "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler" => api::autoscaling::v1::HorizontalPodAutoscaler,
    "io.k8s.api.autoscaling.v1.Scale" => api::autoscaling::v1::Scale,
    "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler" => api::autoscaling::v2::HorizontalPodAutoscaler,
    "io.k8s.api.batch.v1.CronJob" => api::batch::v1::CronJob,
    "io.k8s.api.batch.v1.Job" => api::batch::v1::Job,
    "io.k8s.api.certificates.v1.CertificateSigningRequest" => api::certificates::v1::CertificateSigningRequest,
    "io.k8s.api.certificates.v1.ClusterTrustBundle" => api::certificates::v1::ClusterTrustBundle,
    "io.k8s.api.certificates.v1.PodCertificateRequest" => api::certificates::v1::PodCertificateRequest,
    "io.k8s.api.coordination.v1.Lease" => api::coordination::v1::Lease,
    "io.k8s.api.core.v1.Binding" => api::core::v1::Binding,
    "io.k8s.api.core.v1.ComponentStatus" => api::core::v1::ComponentStatus,
    "io.k8s.api.core.v1.ConfigMap" => api::core::v1::ConfigMap,
    "io.k8s.api.core.v1.Endpoints" => api::core::v1::Endpoints,
    "io.k8s.api.core.v1.Event" => api::core::v1::Event,
    "io.k8s.api.core.v1.LimitRange" => api::core::v1::LimitRange,
    "io.k8s.api.core.v1.Namespace" => api::core::v1::Namespace,
    "io.k8s.api.core.v1.Node" => api::core::v1::Node,
    "io.k8s.api.core.v1.PersistentVolume" => api::core::v1::PersistentVolume,
    "io.k8s.api.core.v1.PersistentVolumeClaim" => api::core::v1::PersistentVolumeClaim,
    "io.k8s.api.core.v1.Pod" => api::core::v1::Pod,
    "io.k8s.api.core.v1.PodTemplate" => api::core::v1::PodTemplate,
    "io.k8s.api.core.v1.ReplicationController" => api::core::v1::ReplicationController,
    "io.k8s.api.core.v1.ResourceQuota" => api::core::v1::ResourceQuota,
    "io.k8s.api.core.v1.Secret" => api::core::v1::Secret,
    "io.k8s.api.core.v1.Service" => api::core::v1::Service,
    "io.k8s.api.core.v1.ServiceAccount" => api::core::v1::ServiceAccount,
    "io.k8s.api.discovery.v1.EndpointSlice" => api::discovery::v1::EndpointSlice,
    "io.k8s.api.events.v1.Event" => api::events::v1::Event,
    "io.k8s.api.flowcontrol.v1.FlowSchema" => api::flowcontrol::v1::FlowSchema,
    "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration" => api::flowcontrol::v1::PriorityLevelConfiguration,
    "io.k8s.api.networking.v1.IPAddress" => api::networking::v1::IPAddress,
    "io.k8s.api.networking.v1.Ingress" => api::networking::v1::Ingress,
    "io.k8s.api.networking.v1.IngressClass" => api::networking::v1::IngressClass,
    "io.k8s.api.networking.v1.NetworkPolicy" => api::networking::v1::NetworkPolicy,
    "io.k8s.api.networking.v1.ServiceCIDR" => api::networking::v1::ServiceCIDR,
    "io.k8s.api.node.v1.RuntimeClass" => api::node::v1::RuntimeClass,
    "io.k8s.api.policy.v1.Eviction" => api::policy::v1::Eviction,
    "io.k8s.api.policy.v1.PodDisruptionBudget" => api::policy::v1::PodDisruptionBudget,
    "io.k8s.api.rbac.v1.ClusterRole" => api::rbac::v1::ClusterRole,
    "io.k8s.api.rbac.v1.ClusterRoleBinding" => api::rbac::v1::ClusterRoleBinding,
    "io.k8s.api.rbac.v1.Role" => api::rbac::v1::Role,
    "io.k8s.api.rbac.v1.RoleBinding" => api::rbac::v1::RoleBinding,
    "io.k8s.api.resource.v1.DeviceClass" => api::resource::v1::DeviceClass,
    "io.k8s.api.resource.v1.DeviceTaintRule" => api::resource::v1::DeviceTaintRule,
    "io.k8s.api.resource.v1.ResourceClaim" => api::resource::v1::ResourceClaim,
    "io.k8s.api.resource.v1.ResourceClaimTemplate" => api::resource::v1::ResourceClaimTemplate,
    "io.k8s.api.resource.v1.ResourceSlice" => api::resource::v1::ResourceSlice,
    "io.k8s.api.scheduling.v1.PriorityClass" => api::scheduling::v1::PriorityClass,
    "io.k8s.api.storage.v1.CSIDriver" => api::storage::v1::CSIDriver,
    "io.k8s.api.storage.v1.CSINode" => api::storage::v1::CSINode,
    "io.k8s.api.storage.v1.CSIStorageCapacity" => api::storage::v1::CSIStorageCapacity,
    "io.k8s.api.storage.v1.StorageClass" => api::storage::v1::StorageClass,
    "io.k8s.api.storage.v1.VolumeAttachment" => api::storage::v1::VolumeAttachment,
    "io.k8s.api.storage.v1.VolumeAttributesClass" => api::storage::v1::VolumeAttributesClass,
    "io.k8s.api.storagemigration.v1.StorageVersionMigration" => api::storagemigration::v1::StorageVersionMigration,
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition" => apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup" => apimachinery::pkg::apis::meta::v1::APIGroup,
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList" => apimachinery::pkg::apis::meta::v1::APIGroupList,
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList" => apimachinery::pkg::apis::meta::v1::APIResourceList,
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions" => apimachinery::pkg::apis::meta::v1::APIVersions,
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions" => apimachinery::pkg::apis::meta::v1::DeleteOptions,
    "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta" => apimachinery::pkg::apis::meta::v1::ListMeta,
    "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" => apimachinery::pkg::apis::meta::v1::ObjectMeta,
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status" => apimachinery::pkg::apis::meta::v1::Status,
    "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService" => kube_aggregator::pkg::apis::apiregistration::v1::APIService,
}
