//! Rows of `events.k8s.io/v1`.

use super::super::{Gvk, KindRow, StorageClass, StoredAs};
use super::base;
use crate::validation::NameRule;
use crate::{convert, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![event()]
}

/// The events of `core/v1`, by newer names.
fn event() -> KindRow {
    KindRow {
        short_names: &["ev"],
        name_rule: NameRule::Unchecked,
        storage: StorageClass::Volatile,
        validate: validation::event::validate_v1,
        validate_create: validation::event::validate_v1_create,
        validate_update: validation::event::validate_v1_update,
        field_labels: &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        columns: table::event::COLUMNS,
        cells: table::event::cells_v1,
        stored_as: Some(StoredAs {
            gvk: Gvk::fixed("", "v1", "Event"),
            to_stored: convert::event::to_core,
            from_stored: convert::event::from_core,
        }),
        creates_on_update: true,
        ..base(Gvk::fixed("events.k8s.io", "v1", "Event"), "events", "event")
    }
}
