//! Rows of `discovery.k8s.io/v1`.

use super::super::{Gvk, KindRow};
use super::base;
use crate::{defaults, table, validation, warnings};

pub(super) fn rows() -> Vec<KindRow> {
    vec![endpointslice()]
}

fn endpointslice() -> KindRow {
    KindRow {
        default_fn: defaults::endpointslice::apply,
        validate: validation::endpointslice::validate,
        validate_update: validation::endpointslice::validate_update,
        prepare_create: defaults::endpointslice::prepare_create,
        prepare_update: defaults::endpointslice::prepare_update,
        warnings: warnings::endpoint_slice,
        columns: table::endpointslice::COLUMNS,
        cells: table::endpointslice::cells,
        ..base(Gvk::fixed("discovery.k8s.io", "v1", "EndpointSlice"), "endpointslices", "endpointslice")
    }
}
