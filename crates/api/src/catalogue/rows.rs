//! The table of built-in kinds. A new kind is one row here and a file each for its defaults, validation and columns.

use std::sync::LazyLock;

use k8s_openapi::api::{apps, batch, coordination, core, discovery};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{GenerationRule, Gvk, KindRow, Scope, StorageClass, Subresource};
use crate::validation::NameRule;
use crate::{defaults, table, validation};

pub(super) static ROWS: LazyLock<Vec<KindRow>> = LazyLock::new(|| {
    vec![
        namespace(),
        node(),
        pod(),
        configmap(),
        secret(),
        serviceaccount(),
        service(),
        event(),
        endpointslice(),
        lease(),
        replicaset(),
        deployment(),
        job(),
        crd(),
    ]
});

/// Checks the types of all known fields by reading the object as `T`.
fn decode<T: DeserializeOwned>(object: &Value) -> Result<(), String> {
    T::deserialize(object).map(drop).map_err(|error| error.to_string())
}

/// What most rows have in common; every row says the rest.
fn base<T: DeserializeOwned>(gvk: Gvk, plural: &'static str, singular: &'static str) -> KindRow {
    KindRow {
        gvk,
        plural,
        singular,
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        storage: StorageClass::Durable,
        subresources: &[],
        generation: GenerationRule::None,
        decode_fn: decode::<T>,
        default_fn: defaults::none,
        validate: validation::none,
        validate_update: validation::any_update,
        prepare_create: defaults::nothing_to_prepare,
        prepare_update: defaults::nothing_to_keep,
        name_rule: NameRule::Subdomain,
        field_labels: &[],
        columns: table::namespace::COLUMNS,
        cells: table::namespace::cells,
        row_conditions: table::no_conditions,
        keep_status_on_create: false,
    }
}

fn namespace() -> KindRow {
    KindRow {
        short_names: &["ns"],
        scope: Scope::Cluster,
        subresources: &[Subresource::Status, Subresource::Finalize],
        default_fn: defaults::namespace::apply,
        prepare_create: defaults::namespace::prepare_create,
        prepare_update: defaults::namespace::prepare_update,
        name_rule: NameRule::Label,
        field_labels: &["status.phase"],
        ..base::<core::v1::Namespace>(Gvk::fixed("", "v1", "Namespace"), "namespaces", "namespace")
    }
}

fn node() -> KindRow {
    KindRow {
        short_names: &["no"],
        scope: Scope::Cluster,
        subresources: &[Subresource::Status],
        default_fn: defaults::node::apply,
        validate: validation::node::validate,
        validate_update: validation::node::validate_update,
        keep_status_on_create: true,
        field_labels: &["spec.unschedulable"],
        columns: table::node::COLUMNS,
        cells: table::node::cells,
        ..base::<core::v1::Node>(Gvk::fixed("", "v1", "Node"), "nodes", "node")
    }
}

fn pod() -> KindRow {
    KindRow {
        short_names: &["po"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Log, Subresource::Binding, Subresource::Eviction],
        generation: GenerationRule::Spec,
        default_fn: defaults::pod::apply,
        validate: validation::pod::validate,
        validate_update: validation::pod::validate_update,
        prepare_create: defaults::pod::prepare_create,
        prepare_update: defaults::pod::prepare_update,
        field_labels: &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        columns: table::pod::COLUMNS,
        cells: table::pod::cells,
        row_conditions: table::pod::row_conditions,
        ..base::<core::v1::Pod>(Gvk::fixed("", "v1", "Pod"), "pods", "pod")
    }
}

fn configmap() -> KindRow {
    KindRow {
        short_names: &["cm"],
        validate: validation::configmap::validate,
        validate_update: validation::configmap::validate_update,
        columns: table::configmap::COLUMNS,
        cells: table::configmap::cells,
        ..base::<core::v1::ConfigMap>(Gvk::fixed("", "v1", "ConfigMap"), "configmaps", "configmap")
    }
}

fn secret() -> KindRow {
    KindRow {
        default_fn: defaults::secret::apply,
        validate: validation::secret::validate,
        validate_update: validation::secret::validate_update,
        field_labels: &["type"],
        columns: table::secret::COLUMNS,
        cells: table::secret::cells,
        ..base::<core::v1::Secret>(Gvk::fixed("", "v1", "Secret"), "secrets", "secret")
    }
}

fn serviceaccount() -> KindRow {
    KindRow {
        short_names: &["sa"],
        columns: table::serviceaccount::COLUMNS,
        cells: table::serviceaccount::cells,
        ..base::<core::v1::ServiceAccount>(
            Gvk::fixed("", "v1", "ServiceAccount"),
            "serviceaccounts",
            "serviceaccount",
        )
    }
}

fn service() -> KindRow {
    KindRow {
        short_names: &["svc"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        default_fn: defaults::service::apply,
        validate: validation::service::validate,
        validate_update: validation::service::validate_update,
        prepare_create: defaults::service::prepare_create,
        prepare_update: defaults::service::prepare_update,
        name_rule: NameRule::Dns1035,
        field_labels: &["spec.clusterIP", "spec.type"],
        columns: table::service::COLUMNS,
        cells: table::service::cells,
        ..base::<core::v1::Service>(Gvk::fixed("", "v1", "Service"), "services", "service")
    }
}

fn event() -> KindRow {
    KindRow {
        short_names: &["ev"],
        storage: StorageClass::Volatile,
        validate: validation::event::validate,
        field_labels: &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        columns: table::event::COLUMNS,
        cells: table::event::cells,
        ..base::<core::v1::Event>(Gvk::fixed("", "v1", "Event"), "events", "event")
    }
}

fn endpointslice() -> KindRow {
    KindRow {
        generation: GenerationRule::AllButMetadata,
        default_fn: defaults::endpointslice::apply,
        validate: validation::endpointslice::validate,
        validate_update: validation::endpointslice::validate_update,
        columns: table::endpointslice::COLUMNS,
        cells: table::endpointslice::cells,
        ..base::<discovery::v1::EndpointSlice>(
            Gvk::fixed("discovery.k8s.io", "v1", "EndpointSlice"),
            "endpointslices",
            "endpointslice",
        )
    }
}

fn lease() -> KindRow {
    KindRow {
        storage: StorageClass::Volatile,
        validate: validation::lease::validate,
        columns: table::lease::COLUMNS,
        cells: table::lease::cells,
        ..base::<coordination::v1::Lease>(Gvk::fixed("coordination.k8s.io", "v1", "Lease"), "leases", "lease")
    }
}

fn replicaset() -> KindRow {
    KindRow {
        short_names: &["rs"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Scale],
        generation: GenerationRule::Spec,
        default_fn: defaults::replicaset::apply,
        validate: validation::replicaset::validate,
        validate_update: validation::replicaset::validate_update,
        field_labels: &["status.replicas"],
        columns: table::replicaset::COLUMNS,
        cells: table::replicaset::cells,
        ..base::<apps::v1::ReplicaSet>(Gvk::fixed("apps", "v1", "ReplicaSet"), "replicasets", "replicaset")
    }
}

fn deployment() -> KindRow {
    KindRow {
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Scale],
        generation: GenerationRule::Spec,
        default_fn: defaults::deployment::apply,
        validate: validation::deployment::validate,
        validate_update: validation::deployment::validate_update,
        columns: table::deployment::COLUMNS,
        cells: table::deployment::cells,
        ..base::<apps::v1::Deployment>(Gvk::fixed("apps", "v1", "Deployment"), "deployments", "deployment")
    }
}

fn job() -> KindRow {
    KindRow {
        categories: &["all"],
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        default_fn: defaults::job::apply,
        validate: validation::job::validate,
        validate_update: validation::job::validate_update,
        prepare_create: defaults::job::prepare_create,
        prepare_update: defaults::job::prepare_update,
        field_labels: &["status.successful"],
        columns: table::job::COLUMNS,
        cells: table::job::cells,
        ..base::<batch::v1::Job>(Gvk::fixed("batch", "v1", "Job"), "jobs", "job")
    }
}

fn crd() -> KindRow {
    KindRow {
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        default_fn: defaults::crd::apply,
        validate: validation::crd::validate,
        validate_update: validation::crd::validate_update,
        prepare_create: defaults::crd::prepare_create,
        columns: table::crd::COLUMNS,
        cells: table::crd::cells,
        ..base::<apiextensions::v1::CustomResourceDefinition>(
            Gvk::fixed("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            "customresourcedefinitions",
            "customresourcedefinition",
        )
    }
}
