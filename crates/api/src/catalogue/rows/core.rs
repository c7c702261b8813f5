//! Rows of `core/v1`.

use super::super::{ActsOn, GenerationRule, Gvk, KindRow, Part, Scope, StorageClass, Subresource};
use super::base;
use crate::validation::NameRule;
use crate::{defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![
        namespace(),
        node(),
        pod(),
        configmap(),
        secret(),
        serviceaccount(),
        service(),
        event(),
        binding(),
        endpoints(),
        limitrange(),
        persistentvolume(),
        persistentvolumeclaim(),
        podtemplate(),
        replicationcontroller(),
        resourcequota(),
    ]
}

fn namespace() -> KindRow {
    KindRow {
        short_names: &["ns"],
        scope: Scope::Cluster,
        subresources: &[Subresource::Status, Subresource::Finalize],
        default_fn: defaults::namespace::apply,
        prepare_create: defaults::namespace::prepare_create,
        prepare_update: defaults::namespace::prepare_update,
        validate: validation::namespace::validate,
        name_rule: NameRule::Label,
        field_labels: &["status.phase"],
        parts: &[Part {
            subresource: Subresource::Finalize,
            prepare: defaults::namespace::only_finalizers,
            validate: validation::namespace::validate_finalize,
        }],
        deletes_collections: false,
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
        validate_status: validation::node::validate_status,
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
        subresources: &[
            Subresource::Status,
            Subresource::Log,
            Subresource::Binding,
            Subresource::Eviction,
            Subresource::EphemeralContainers,
            Subresource::Resize,
        ],
        generation: GenerationRule::Spec,
        default_fn: defaults::pod::apply,
        validate: validation::pod::validate,
        validate_create: validation::pod::validate_create,
        validate_update: validation::pod::validate_update,
        validate_status: validation::podstatus::validate,
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
        parts: &[
            Part {
                subresource: Subresource::EphemeralContainers,
                prepare: defaults::pod::only_ephemeral,
                validate: validation::pod::validate_ephemeral,
            },
            Part {
                subresource: Subresource::Resize,
                prepare: defaults::pod::only_resources,
                validate: validation::pod::validate_resize,
            },
        ],
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
        prepare_create: |account, _| defaults::serviceaccount::only_names(account),
        prepare_update: |_, account| defaults::serviceaccount::only_names(account),
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
        name_rule: NameRule::Label,
        field_labels: &["spec.clusterIP", "spec.type"],
        columns: table::service::COLUMNS,
        cells: table::service::cells,
        creates_on_update: true,
        ..base(Gvk::fixed("", "v1", "Service"), "services", "service")
    }
}

fn event() -> KindRow {
    KindRow {
        short_names: &["ev"],
        name_rule: NameRule::Unchecked,
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
        creates_on_update: true,
        ..base(Gvk::fixed("", "v1", "Event"), "events", "event")
    }
}

/// Nothing is kept: it is another way to write `pods/NAME/binding`.
fn binding() -> KindRow {
    KindRow {
        acts_on: Some(ActsOn { plural: "pods", subresource: Subresource::Binding }),
        ..base(Gvk::fixed("", "v1", "Binding"), "bindings", "binding")
    }
}

fn endpoints() -> KindRow {
    KindRow {
        short_names: &["ep"],
        default_fn: defaults::endpoints::apply,
        validate: validation::endpoints::validate,
        columns: table::endpoints::COLUMNS,
        cells: table::endpoints::cells,
        deprecation: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
        creates_on_update: true,
        ..base(Gvk::fixed("", "v1", "Endpoints"), "endpoints", "endpoints")
    }
}

fn limitrange() -> KindRow {
    KindRow {
        short_names: &["limits"],
        default_fn: defaults::limitrange::apply,
        validate: validation::limitrange::validate,
        columns: table::limitrange::COLUMNS,
        cells: table::limitrange::cells,
        creates_on_update: true,
        ..base(Gvk::fixed("", "v1", "LimitRange"), "limitranges", "limitrange")
    }
}

fn persistentvolume() -> KindRow {
    KindRow {
        short_names: &["pv"],
        scope: Scope::Cluster,
        subresources: &[Subresource::Status],
        default_fn: defaults::persistentvolume::apply,
        validate: validation::persistentvolume::validate,
        validate_update: validation::persistentvolume::validate_update,
        prepare_create: defaults::persistentvolume::prepare_create,
        columns: table::persistentvolume::COLUMNS,
        cells: table::persistentvolume::cells,
        ..base(Gvk::fixed("", "v1", "PersistentVolume"), "persistentvolumes", "persistentvolume")
    }
}

fn persistentvolumeclaim() -> KindRow {
    KindRow {
        short_names: &["pvc"],
        subresources: &[Subresource::Status],
        default_fn: defaults::persistentvolumeclaim::apply,
        validate: validation::persistentvolumeclaim::validate,
        validate_update: validation::persistentvolumeclaim::validate_update,
        prepare_create: defaults::persistentvolumeclaim::prepare_create,
        prepare_update: defaults::persistentvolumeclaim::prepare_update,
        columns: table::persistentvolumeclaim::COLUMNS,
        cells: table::persistentvolumeclaim::cells,
        ..base(
            Gvk::fixed("", "v1", "PersistentVolumeClaim"),
            "persistentvolumeclaims",
            "persistentvolumeclaim",
        )
    }
}

fn podtemplate() -> KindRow {
    KindRow {
        generation: GenerationRule::AllButMetadata,
        default_fn: defaults::podtemplate::apply,
        validate: validation::podtemplate::validate,
        columns: table::podtemplate::COLUMNS,
        cells: table::podtemplate::cells,
        ..base(Gvk::fixed("", "v1", "PodTemplate"), "podtemplates", "podtemplate")
    }
}

fn replicationcontroller() -> KindRow {
    KindRow {
        short_names: &["rc"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Scale],
        generation: GenerationRule::Spec,
        default_fn: defaults::replicationcontroller::apply,
        validate: validation::replicationcontroller::validate,
        validate_status: validation::replicationcontroller::validate_status,
        field_labels: &["status.replicas"],
        columns: table::replicationcontroller::COLUMNS,
        cells: table::replicationcontroller::cells,
        ..base(
            Gvk::fixed("", "v1", "ReplicationController"),
            "replicationcontrollers",
            "replicationcontroller",
        )
    }
}

fn resourcequota() -> KindRow {
    KindRow {
        short_names: &["quota"],
        subresources: &[Subresource::Status],
        default_fn: defaults::resourcequota::apply,
        validate: validation::resourcequota::validate,
        validate_update: validation::resourcequota::validate_update,
        validate_status: validation::resourcequota::validate_status,
        columns: table::resourcequota::COLUMNS,
        cells: table::resourcequota::cells,
        ..base(Gvk::fixed("", "v1", "ResourceQuota"), "resourcequotas", "resourcequota")
    }
}
