//! Rows of `scheduling.k8s.io/v1`.

use super::super::{Gvk, KindRow, Scope};
use super::base;
use crate::{defaults, table, validation, warnings};

pub(super) fn rows() -> Vec<KindRow> {
    vec![priority_class()]
}

fn priority_class() -> KindRow {
    KindRow {
        short_names: &["pc"],
        scope: Scope::Cluster,
        default_fn: defaults::priorityclass::apply,
        validate: validation::priorityclass::validate,
        validate_update: validation::priorityclass::validate_update,
        prepare_create: defaults::priorityclass::prepare_create,
        warnings: warnings::priority_class,
        columns: table::priorityclass::COLUMNS,
        cells: table::priorityclass::cells,
        ..base(Gvk::fixed("scheduling.k8s.io", "v1", "PriorityClass"), "priorityclasses", "priorityclass")
    }
}
