//! The table of built-in kinds: one file per API group, in the order of discovery. A new kind is one row there and a file
//! each for its defaults, validation and columns.

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod authentication;
mod authorization;
mod autoscaling;
mod batch;
mod certificates;
mod coordination;
mod core;
mod discovery;
mod events;
mod networking;
mod node;
mod policy;
mod rbac;
mod scheduling;
mod storage;

use std::sync::LazyLock;

use super::{GenerationRule, Gvk, KindRow, Scope, StorageClass};
use crate::validation::NameRule;
use crate::{defaults, table, validation, warnings};

pub(super) static ROWS: LazyLock<Vec<KindRow>> = LazyLock::new(|| {
    let groups = [
        core::rows(),
        apiregistration::rows(),
        discovery::rows(),
        coordination::rows(),
        events::rows(),
        apps::rows(),
        autoscaling::rows(),
        batch::rows(),
        networking::rows(),
        node::rows(),
        scheduling::rows(),
        storage::rows(),
        admissionregistration::rows(),
        policy::rows(),
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
        validate_create: validation::none,
        validate_update: validation::any_update,
        validate_status: validation::any_update,
        prepare_create: defaults::nothing_to_prepare,
        prepare_update: defaults::nothing_to_keep,
        warnings: warnings::none,
        name_rule: NameRule::Subdomain,
        field_labels: &[],
        columns: table::namespace::COLUMNS,
        cells: table::namespace::cells,
        row_conditions: table::no_conditions,
        keep_status_on_create: false,
        parts: &[],
        stored_as: None,
        acts_on: None,
        deprecation: None,
        creates_on_update: false,
        deletes_collections: true,
    }
}
