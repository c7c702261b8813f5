//! Rows of `node.k8s.io/v1`.

use super::super::{Gvk, KindRow, Scope};
use super::base;
use crate::{defaults, table, validation, warnings};

pub(super) fn rows() -> Vec<KindRow> {
    vec![runtime_class()]
}

fn runtime_class() -> KindRow {
    KindRow {
        scope: Scope::Cluster,
        default_fn: defaults::runtimeclass::apply,
        validate: validation::runtimeclass::validate,
        validate_update: validation::runtimeclass::validate_update,
        warnings: warnings::runtime_class,
        columns: table::runtimeclass::COLUMNS,
        cells: table::runtimeclass::cells,
        creates_on_update: true,
        ..base(Gvk::fixed("node.k8s.io", "v1", "RuntimeClass"), "runtimeclasses", "runtimeclass")
    }
}
