//! Rows of `apiextensions.k8s.io/v1`.

use super::super::{GenerationRule, Gvk, KindRow, Scope, Subresource};
use super::base;
use crate::{crd, defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![definition()]
}

fn definition() -> KindRow {
    KindRow {
        short_names: &["crd", "crds"],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        default_fn: defaults::crd::apply,
        validate: validation::crd::validate,
        validate_update: validation::crd::validate_update,
        warnings: crd::advice,
        prepare_create: defaults::crd::prepare_create,
        columns: table::crd::COLUMNS,
        cells: table::crd::cells,
        ..base(
            Gvk::fixed("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
            "customresourcedefinitions",
            "customresourcedefinition",
        )
    }
}
