//! The table of built-in kinds: one file per API group, in the order of discovery. A new kind is one row there and a file
//! each for its defaults, validation and columns.

mod apiextensions;
mod apps;
mod authentication;
mod authorization;
mod batch;
mod certificates;
mod coordination;
mod core;
mod discovery;
mod rbac;

use std::sync::LazyLock;

use super::{GenerationRule, Gvk, KindRow, Scope, StorageClass};
use crate::validation::NameRule;
use crate::{defaults, table, validation};

pub(super) static ROWS: LazyLock<Vec<KindRow>> = LazyLock::new(|| {
    let groups = [
        core::rows(),
        discovery::rows(),
        coordination::rows(),
        apps::rows(),
        batch::rows(),
        authentication::rows(),
        authorization::rows(),
        certificates::rows(),
        rbac::rows(),
        apiextensions::rows(),
    ];
    groups.into_iter().flatten().collect()
});

/// What most rows have in common; every row says the rest.
fn base(gvk: Gvk, plural: &'static str, singular: &'static str) -> KindRow {
    KindRow {
        gvk,
        plural,
        singular,
        short_names: &[],
        categories: &[],
        scope: Scope::Namespaced,
        storage: StorageClass::Durable,
        subresources: &[],
        generation: GenerationRule::None,
        default_fn: defaults::none,
        validate: validation::none,
        validate_update: validation::any_update,
        prepare_create: defaults::nothing_to_prepare,
        prepare_update: defaults::nothing_to_keep,
        name_rule: NameRule::Subdomain,
        field_labels: &[],
        columns: table::namespace::COLUMNS,
        cells: table::namespace::cells,
        row_conditions: table::no_conditions,
        keep_status_on_create: false,
    }
}
