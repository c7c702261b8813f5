//! Rows of `batch/v1`.

use super::super::{GenerationRule, Gvk, KindRow, Subresource};
use super::base;
use crate::{defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![job(), cronjob()]
}

fn job() -> KindRow {
    KindRow {
        categories: &["all"],
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        default_fn: defaults::job::apply,
        validate: validation::job::validate,
        validate_update: validation::job::validate_update,
        validate_status: validation::job::validate_status,
        prepare_create: defaults::job::prepare_create,
        prepare_update: defaults::job::prepare_update,
        field_labels: &["status.successful"],
        columns: table::job::COLUMNS,
        cells: table::job::cells,
        ..base(Gvk::fixed("batch", "v1", "Job"), "jobs", "job")
    }
}

fn cronjob() -> KindRow {
    KindRow {
        short_names: &["cj"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        default_fn: defaults::cronjob::apply,
        validate: validation::cronjob::validate,
        validate_create: validation::cronjob::validate_create,
        columns: table::cronjob::COLUMNS,
        cells: table::cronjob::cells,
        ..base(Gvk::fixed("batch", "v1", "CronJob"), "cronjobs", "cronjob")
    }
}
