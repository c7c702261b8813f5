//! Rows of `core/v1`.

use super::super::{GenerationRule, Gvk, KindRow, Scope, StorageClass, Subresource};
use super::base;
use crate::validation::NameRule;
use crate::{defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![namespace(), node(), pod(), configmap(), secret(), serviceaccount(), service(), event()]
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
        ..base(Gvk::fixed("", "v1", "Namespace"), "namespaces", "namespace")
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
        ..base(Gvk::fixed("", "v1", "Node"), "nodes", "node")
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
        ..base(Gvk::fixed("", "v1", "Pod"), "pods", "pod")
    }
}

fn configmap() -> KindRow {
    KindRow {
        short_names: &["cm"],
        validate: validation::configmap::validate,
        validate_update: validation::configmap::validate_update,
        columns: table::configmap::COLUMNS,
        cells: table::configmap::cells,
        ..base(Gvk::fixed("", "v1", "ConfigMap"), "configmaps", "configmap")
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
        ..base(Gvk::fixed("", "v1", "Secret"), "secrets", "secret")
    }
}

fn serviceaccount() -> KindRow {
    KindRow {
        subresources: &[Subresource::Token],
        short_names: &["sa"],
        columns: table::serviceaccount::COLUMNS,
        cells: table::serviceaccount::cells,
        ..base(Gvk::fixed("", "v1", "ServiceAccount"), "serviceaccounts", "serviceaccount")
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
        ..base(Gvk::fixed("", "v1", "Service"), "services", "service")
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
        ..base(Gvk::fixed("", "v1", "Event"), "events", "event")
    }
}
