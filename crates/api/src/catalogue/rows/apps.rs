//! Rows of `apps/v1`.

use super::super::{GenerationRule, Gvk, KindRow, Subresource};
use super::base;
use crate::{defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![replicaset(), deployment()]
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
        ..base(Gvk::fixed("apps", "v1", "ReplicaSet"), "replicasets", "replicaset")
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
        ..base(Gvk::fixed("apps", "v1", "Deployment"), "deployments", "deployment")
    }
}
