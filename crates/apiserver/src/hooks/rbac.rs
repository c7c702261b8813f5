//! Roles and bindings: nobody grants more than they hold.

use konzert_api::ApiError;
use serde_json::Value;

use super::{Hooks, Reservation, Write};
use crate::auth::escalation::{check_binding, check_role};
use crate::registry::Mode;

pub(super) fn create_role(_: &Hooks, write: &Write<'_>, role: &mut Value) -> Result<Reservation, ApiError> {
    check_role(write.registry, write.place, None, role).map(|()| Reservation::default())
}

pub(super) fn update_role(
    _: &Hooks,
    write: &Write<'_>,
    old: &Value,
    role: &mut Value,
    _: Mode,
) -> Result<Reservation, ApiError> {
    check_role(write.registry, write.place, Some(old), role).map(|()| Reservation::default())
}

pub(super) fn create_binding(
    _: &Hooks,
    write: &Write<'_>,
    binding: &mut Value,
) -> Result<Reservation, ApiError> {
    check_binding(write.registry, write.place, None, binding).map(|()| Reservation::default())
}

pub(super) fn update_binding(
    _: &Hooks,
    write: &Write<'_>,
    old: &Value,
    binding: &mut Value,
    _: Mode,
) -> Result<Reservation, ApiError> {
    check_binding(write.registry, write.place, Some(old), binding).map(|()| Reservation::default())
}
