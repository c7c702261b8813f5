//! Rows of `apps/v1`.

use super::super::{GenerationRule, Gvk, KindRow, Subresource};
use super::base;
use crate::validation::NameRule;
use crate::{defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![replicaset(), deployment(), statefulset(), daemonset(), controllerrevision()]
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
        validate_status: validation::replicaset::validate_status,
        field_labels: &["status.replicas"],
        columns: table::replicaset::COLUMNS,
        cells: table::replicaset::cells,
        ..base(Gvk::fixed("apps", "v1", "ReplicaSet"), "replicasets", "replicaset")
    }
}

fn deployment() -> KindRow {
    KindRow {
        short_names: &["deploy"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Scale],
        generation: GenerationRule::SpecAndAnnotations,
        default_fn: defaults::deployment::apply,
        validate: validation::deployment::validate,
        validate_update: validation::deployment::validate_update,
        validate_status: validation::deployment::validate_status,
        columns: table::deployment::COLUMNS,
        cells: table::deployment::cells,
        ..base(Gvk::fixed("apps", "v1", "Deployment"), "deployments", "deployment")
    }
}

fn statefulset() -> KindRow {
    KindRow {
        short_names: &["sts"],
        categories: &["all"],
        subresources: &[Subresource::Status, Subresource::Scale],
        generation: GenerationRule::Spec,
        default_fn: defaults::statefulset::apply,
        validate: validation::statefulset::validate,
        validate_update: validation::statefulset::validate_update,
        validate_status: validation::statefulset::validate_status,
        name_rule: NameRule::Label,
        columns: table::statefulset::COLUMNS,
        cells: table::statefulset::cells,
        ..base(Gvk::fixed("apps", "v1", "StatefulSet"), "statefulsets", "statefulset")
    }
}

fn daemonset() -> KindRow {
    KindRow {
        short_names: &["ds"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        default_fn: defaults::daemonset::apply,
        prepare_create: defaults::daemonset::prepare_create,
        prepare_update: defaults::daemonset::prepare_update,
        validate: validation::daemonset::validate,
        validate_update: validation::daemonset::validate_update,
        validate_status: validation::daemonset::validate_status,
        columns: table::daemonset::COLUMNS,
        cells: table::daemonset::cells,
        ..base(Gvk::fixed("apps", "v1", "DaemonSet"), "daemonsets", "daemonset")
    }
}

fn controllerrevision() -> KindRow {
    KindRow {
        validate: validation::controllerrevision::validate,
        validate_update: validation::controllerrevision::validate_update,
        columns: table::controllerrevision::COLUMNS,
        cells: table::controllerrevision::cells,
        ..base(Gvk::fixed("apps", "v1", "ControllerRevision"), "controllerrevisions", "controllerrevision")
    }
}
