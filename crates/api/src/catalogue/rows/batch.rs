//! Rows of `batch/v1`.

use super::super::{GenerationRule, Gvk, KindRow, Subresource};
use super::base;
use crate::{defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![job()]
}

fn job() -> KindRow {
    KindRow {
        categories: &["all"],
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        default_fn: defaults::job::apply,
        validate: validation::job::validate,
        validate_update: validation::job::validate_update,
        prepare_create: defaults::job::prepare_create,
        prepare_update: defaults::job::prepare_update,
        field_labels: &["status.successful"],
        columns: table::job::COLUMNS,
        cells: table::job::cells,
        ..base(Gvk::fixed("batch", "v1", "Job"), "jobs", "job")
    }
}
