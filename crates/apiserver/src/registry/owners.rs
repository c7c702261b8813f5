//! Owners of fields on the write path: who writes, and where `metadata.managedFields` of the next object come from.
//!
//! The decisions are [`konzert_api::apply`]; here they get their manager, their time and the other versions of the kind.

use jiff::Timestamp;
use konzert_api::apply::{Reset, Tracker, Writer, validate_managed_fields};
use konzert_api::{ApiError, Kind, Subresource, meta};
use serde_json::Value;

use super::{Mode, Place, Registry, now};

/// The manager of what the server writes on its own account.
const SERVER: &str = "apiserver";

/// Who writes, and through which subresource.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    manager: String,
    subresource: &'static str,
}

impl Author {
    /// A writer of the object or of a part of it.
    pub(crate) fn new(manager: &str, mode: Mode) -> Self {
        let subresource = match mode {
            Mode::Whole | Mode::Internal => "",
            Mode::Status => Subresource::Status.name(),
            Mode::Part(subresource) => subresource.name(),
            Mode::Approval => Subresource::Approval.name(),
        };
        Self { manager: manager.to_owned(), subresource }
    }

    /// A writer through the `scale` subresource.
    pub(crate) fn of_scale(manager: &str) -> Self {
        Self { manager: manager.to_owned(), subresource: Subresource::Scale.name() }
    }

    /// The server itself.
    pub(crate) fn server() -> Self {
        Self::new(SERVER, Mode::Whole)
    }

    /// What the tracker wants to know. `kind` says what this path cannot change.
    pub(crate) fn writer(&self, kind: &Kind, now: Timestamp) -> Writer<'_> {
        let reset = match self.subresource {
            "status" => Reset::AllButStatus,
            "finalize" => Reset::AllButFinalizers,
            _ if kind.has(Subresource::Status) => Reset::Status,
            _ => Reset::Nothing,
        };
        Writer { manager: &self.manager, subresource: self.subresource, reset, now }
    }
}

/// Where the owners of the next object come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Owners<'a> {
    /// From a comparison with the current object, in the name of an author.
    Tracked(&'a Author),
    /// Whoever makes the next object says so.
    Made,
    /// Nothing changes: the write is the server's own and nobody owns it.
    Kept,
}

impl Registry {
    /// The other served versions of a kind.
    pub(super) fn siblings(&self, place: &Place) -> Vec<Kind> {
        let served = self.served();
        let own = &place.kind;
        let others = served.catalogue.kinds().filter(|kind| {
            kind.gvk() != own.gvk()
                && kind.is_custom() == own.is_custom()
                && if own.is_custom() {
                    kind.group() == own.group() && kind.kind() == own.kind()
                } else {
                    kind.stored_gvk() == own.stored_gvk()
                }
        });
        others.cloned().collect()
    }

    /// Records the owners of `new` in the name of `author`; `live` is the current object.
    pub(super) fn track(
        &self,
        place: &Place,
        author: &Author,
        live: &Value,
        new: &mut Value,
    ) -> Result<(), ApiError> {
        let siblings = self.siblings(place);
        Tracker::new(&place.kind, &siblings, author.writer(&place.kind, now())).update(live, new);
        let errors = validate_managed_fields(new);
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(&place.kind.group_kind(), meta::name(new), errors))
    }

    /// As [`Self::track`], for an object that is created.
    pub(crate) fn track_new(
        &self,
        place: &Place,
        author: &Author,
        object: &mut Value,
    ) -> Result<(), ApiError> {
        // What the server sets itself has no owner, whatever the client wrote there.
        if let Some(metadata) = meta::metadata_mut(object) {
            for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
                metadata.remove(key);
            }
        }
        let nothing = serde_json::json!({});
        self.track(place, author, &nothing, object)
    }
}
