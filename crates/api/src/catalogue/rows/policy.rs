//! Rows of `policy/v1`.

use super::super::{GenerationRule, Gvk, KindRow, Subresource};
use super::base;
use crate::validation::NameRule;
use crate::{table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![disruption_budget()]
}

fn disruption_budget() -> KindRow {
    KindRow {
        short_names: &["pdb"],
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        validate: validation::poddisruptionbudget::validate,
        validate_status: validation::poddisruptionbudget::validate_status,
        name_rule: NameRule::PathSegment,
        columns: table::poddisruptionbudget::COLUMNS,
        cells: table::poddisruptionbudget::cells,
        ..base(
            Gvk::fixed("policy", "v1", "PodDisruptionBudget"),
            "poddisruptionbudgets",
            "poddisruptionbudget",
        )
    }
}
