//! Definitions of custom kinds: established when written, cleaned up before they go.
//!
//! Serving them, and removing their objects, is done by [`crate::definitions`]; this only shapes the definition itself.

use jiff::Timestamp;
use konzert_api::{ApiError, crd, meta};
use serde_json::{Value, json};

use super::{DEFAULT_DELETION, DeletionRules, Hooks, Reservation, Write};
use crate::definitions;
use crate::registry::Mode;

/// Holds a definition until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) const DELETION: DeletionRules = DeletionRules {
    mark: mark_terminating,
    // The first deletion only marks: the mark brings the finalizer.
    holds: |definition| !meta::is_being_deleted(definition),
    ..DEFAULT_DELETION
};

#[allow(clippy::unnecessary_wraps, reason = "the type of the table of hooks")]
pub(super) fn before_create(
    _: &Hooks,
    write: &Write<'_>,
    object: &mut Value,
) -> Result<Reservation, ApiError> {
    crd::establish(object, &definitions::taken(write.registry, object), write.now);
    Ok(Reservation::default())
}

/// Before validation: a new storage version counts as one in which objects are stored.
pub(super) fn settle_update(_: &Value, new: &mut Value) {
    crd::note_storage(new);
}

#[allow(clippy::unnecessary_wraps, reason = "the type of the table of hooks")]
pub(super) fn before_update(
    _: &Hooks,
    write: &Write<'_>,
    old: &Value,
    new: &mut Value,
    mode: Mode,
) -> Result<Reservation, ApiError> {
    if mode != Mode::Whole || meta::is_being_deleted(old) {
        return Ok(Reservation::default());
    }
    crd::establish(new, &definitions::taken(write.registry, new), write.now);
    Ok(Reservation::default())
}

fn add_finalizer(definition: &mut Value) {
    let mut all: Vec<String> = meta::finalizers(definition).into_iter().map(str::to_owned).collect();
    if !all.iter().any(|f| f == CLEANUP_FINALIZER) {
        all.push(CLEANUP_FINALIZER.to_owned());
    }
    meta::set(definition, "finalizers", all);
}

/// Sets the condition `Terminating`, and what holds the definition until its objects are gone.
fn mark_terminating(definition: &mut Value, now: Timestamp) {
    add_finalizer(definition);
    if !definition["status"].is_object() {
        definition["status"] = json!({});
    }
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|c| c.get("type").and_then(Value::as_str) != Some("Terminating"));
        list.push(json!({
            "type": "Terminating",
            "status": "True",
            "lastTransitionTime": meta::format_time(now),
            "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        }));
    }
}
