//! Rows of `coordination.k8s.io/v1`.

use super::super::{Gvk, KindRow, StorageClass};
use super::base;
use crate::{table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![lease()]
}

fn lease() -> KindRow {
    KindRow {
        storage: StorageClass::Volatile,
        validate: validation::lease::validate,
        columns: table::lease::COLUMNS,
        cells: table::lease::cells,
        creates_on_update: true,
        ..base(Gvk::fixed("coordination.k8s.io", "v1", "Lease"), "leases", "lease")
    }
}
