//! Definitions of custom kinds: established when written, cleaned up before they go.
//!
//! Serving them, and removing their objects, is done by [`crate::definitions`]; this only shapes the definition itself.

use jiff::Timestamp;
use konzert_api::{ApiError, FieldError, crd, meta};
use serde_json::{Value, json};

use super::{DEFAULT_DELETION, DeletionRules, Hooks, Reservation, Write};
use crate::registry::Mode;

/// Holds a definition until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) const DELETION: DeletionRules = DeletionRules { mark: mark_terminating, ..DEFAULT_DELETION };

pub(super) fn before_create(
    _: &Hooks,
    write: &Write<'_>,
    object: &mut Value,
) -> Result<Reservation, ApiError> {
    refuse_clash(write, object)?;
    add_finalizer(object);
    crd::establish(object, write.now);
    Ok(Reservation::default())
}

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
    refuse_clash(write, new)?;
    add_finalizer(new);
    crd::establish(new, write.now);
    Ok(Reservation::default())
}

/// Groups of built-in kinds, and kinds of another definition in the same group, cannot be taken over.
fn refuse_clash(write: &Write<'_>, definition: &Value) -> Result<(), ApiError> {
    let text = |pointer: &str| definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (group, plural, kind) = (text("/spec/group"), text("/spec/names/plural"), text("/spec/names/kind"));
    let served = write.registry.served();
    let error = served.catalogue.kinds().filter(|k| k.group() == group).find_map(|other| {
        if !other.is_custom() {
            return Some(FieldError::invalid("spec.group", group, "is a group of built-in resources"));
        }
        let same_kind = other.plural() != plural && other.kind() == kind;
        same_kind.then(|| FieldError::invalid("spec.names.kind", kind, "is already in use"))
    });
    match error {
        Some(error) => Err(ApiError::invalid(&write.place.kind.group_kind(), write.name, vec![error])),
        None => Ok(()),
    }
}

fn add_finalizer(definition: &mut Value) {
    let mut all: Vec<String> = meta::finalizers(definition).into_iter().map(str::to_owned).collect();
    if !all.iter().any(|f| f == CLEANUP_FINALIZER) {
        all.push(CLEANUP_FINALIZER.to_owned());
    }
    meta::set(definition, "finalizers", all);
}

/// Sets the condition `Terminating`.
fn mark_terminating(definition: &mut Value, now: Timestamp) {
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
