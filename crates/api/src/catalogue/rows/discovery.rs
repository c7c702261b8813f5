//! Rows of `discovery.k8s.io/v1`.

use super::super::{GenerationRule, Gvk, KindRow};
use super::base;
use crate::{defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![endpointslice()]
}

fn endpointslice() -> KindRow {
    KindRow {
        generation: GenerationRule::AllButMetadata,
        default_fn: defaults::endpointslice::apply,
        validate: validation::endpointslice::validate,
        validate_update: validation::endpointslice::validate_update,
        columns: table::endpointslice::COLUMNS,
        cells: table::endpointslice::cells,
        ..base(Gvk::fixed("discovery.k8s.io", "v1", "EndpointSlice"), "endpointslices", "endpointslice")
    }
}
