//! Rows of `apiregistration.k8s.io/v1`.

use super::super::{Gvk, KindRow, Scope, Subresource};
use super::base;
use crate::validation::NameRule;
use crate::{defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![api_service()]
}

fn api_service() -> KindRow {
    KindRow {
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        subresources: &[Subresource::Status],
        validate: validation::apiservice::validate,
        prepare_create: defaults::apiservice::prepare_create,
        name_rule: NameRule::PathSegment,
        columns: table::apiservice::COLUMNS,
        cells: table::apiservice::cells,
        ..base(Gvk::fixed("apiregistration.k8s.io", "v1", "APIService"), "apiservices", "apiservice")
    }
}
