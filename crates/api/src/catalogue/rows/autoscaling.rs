//! Rows of `autoscaling/v2` and `autoscaling/v1`.

use super::super::{GenerationRule, Gvk, KindRow, StoredAs, Subresource};
use super::base;
use crate::{convert, defaults, table, validation};

pub(super) fn rows() -> Vec<KindRow> {
    vec![autoscaler(), autoscaler_v1()]
}

fn autoscaler() -> KindRow {
    KindRow {
        short_names: &["hpa"],
        categories: &["all"],
        subresources: &[Subresource::Status],
        generation: GenerationRule::Spec,
        default_fn: defaults::horizontalpodautoscaler::apply,
        validate: validation::horizontalpodautoscaler::validate,
        validate_status: validation::horizontalpodautoscaler::validate_status,
        columns: table::horizontalpodautoscaler::COLUMNS,
        cells: table::horizontalpodautoscaler::cells,
        ..base(
            Gvk::fixed("autoscaling", "v2", "HorizontalPodAutoscaler"),
            "horizontalpodautoscalers",
            "horizontalpodautoscaler",
        )
    }
}

/// The same objects, seen through the version that knows only cpu.
fn autoscaler_v1() -> KindRow {
    KindRow {
        default_fn: defaults::horizontalpodautoscaler::apply_v1,
        validate: validation::horizontalpodautoscaler::validate_v1,
        prepare_update: defaults::horizontalpodautoscaler::keep_status_v1,
        cells: table::horizontalpodautoscaler::cells_v1,
        stored_as: Some(StoredAs {
            gvk: Gvk::fixed("autoscaling", "v2", "HorizontalPodAutoscaler"),
            to_stored: convert::horizontalpodautoscaler::to_v2,
            from_stored: convert::horizontalpodautoscaler::to_v1,
        }),
        gvk: Gvk::fixed("autoscaling", "v1", "HorizontalPodAutoscaler"),
        ..autoscaler()
    }
}
