//! Update: one compare-and-swap loop under PUT, PATCH, `scale`, `status`, `binding` and the parts that kinds name.
//!
//! The loop reads the current object, lets the caller make the next one from it, prepares, validates and swaps it in. A
//! caller whose object names a resourceVersion loses to whoever wrote in between (409); one that names none starts again.
//! An update that changes nothing writes nothing.

use bytes::Bytes;
use jiff::Timestamp;
use konzert_api::crd::Changed;
use konzert_api::{ApiError, FieldError, GroupKind, Kind, Subresource, apply, meta};
use konzert_store::{Entry, Expect};
use serde_json::Value;

use super::create::{as_if_stored, settle_namespace};
use super::owners::{Author, Owners};
use super::{MAX_ATTEMPTS, Place, Registry, Written, now};
use crate::decode::{RawBody, shape};
use crate::hooks::{Hooks, Write};
use crate::options::WriteOptions;

/// Which part of the object an update may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Everything but the status, where that is a subresource.
    Whole,
    /// Only the status.
    Status,
    /// Only the part that the subresource stands for.
    Part(Subresource),
    /// Only `status.conditions` (of a certificate request), where its approval stands.
    Approval,
    /// Fields that only the server sets through a subresource of its own, such as a pod's binding.
    Internal,
}

impl Mode {
    /// What the client should be told about an update; only the whole object is looked at.
    pub(super) fn advice(self, kind: &Kind, next: &Value, current: &Value) -> Vec<String> {
        if self == Self::Whole { kind.warnings(next, Some(current)) } else { Vec::new() }
    }
}

impl Registry {
    /// PUT of an object or of its status.
    pub(crate) async fn update(
        &self,
        place: &Place,
        name: &str,
        body: &RawBody,
        mode: Mode,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let document = body.object(place.kind.kind())?;
        let mut object = document.value;
        let mut warnings = shape(&place.kind, &mut object, document.problems, options.field_validation)?;
        let unversioned = !place.kind.updates_unconditionally() && meta::resource_version(&object).is_empty();
        let mut advice = Vec::new();
        let make = |current: &Value| {
            if unversioned {
                return Err(version_missing(place, name));
            }
            advice = mode.advice(&place.kind, &object, current);
            Ok(object.clone())
        };
        let author = Author::new(&options.manager, mode);
        let change = Change { mode, dry_run: options.dry_run, owners: Owners::Tracked(&author) };
        let written = self.modify_as(place, name, change, make).await;
        let bytes = written.map_err(|error| error.with_warnings(&warnings))?;
        warnings.append(&mut advice);
        Ok(Written { bytes, warnings })
    }

    /// A write of the server itself, which changes no owners. See [`Self::modify_as`].
    pub(crate) async fn modify(
        &self,
        place: &Place,
        name: &str,
        mode: Mode,
        dry_run: bool,
        make: impl FnMut(&Value) -> Result<Value, ApiError> + Send,
    ) -> Result<Bytes, ApiError> {
        self.modify_as(place, name, Change { mode, dry_run, owners: Owners::Kept }, make).await
    }

    /// The loop. `make` turns the current object into the wished one; it may run several times.
    pub(crate) async fn modify_as(
        &self,
        place: &Place,
        name: &str,
        change: Change<'_>,
        mut make: impl FnMut(&Value) -> Result<Value, ApiError> + Send,
    ) -> Result<Bytes, ApiError> {
        for _ in 0..MAX_ATTEMPTS {
            let entry = self.entry(place, name)?;
            let current = place.read(&entry.value)?;
            let mut wished = make(&current)?;
            read_version(place, name, &mut wished)?;
            let Change { mode, dry_run, owners } = change;
            let step = Step { registry: self, place, name, mode, owners, now: now() };
            if let Some(bytes) = step.attempt(&entry, &current, wished, dry_run).await? {
                return Ok(bytes);
            }
        }
        Err(ApiError::conflict(&place.kind.group_resource(), name))
    }
}

/// What an update may change, whether it is written, and who owns what then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    pub(crate) mode: Mode,
    pub(crate) dry_run: bool,
    pub(crate) owners: Owners<'a>,
}

/// One turn of the loop.
struct Step<'a> {
    registry: &'a Registry,
    place: &'a Place,
    name: &'a str,
    mode: Mode,
    owners: Owners<'a>,
    now: Timestamp,
}

impl Step<'_> {
    /// `Ok(None)`: somebody was faster.
    async fn attempt(
        &self,
        entry: &Entry,
        current: &Value,
        mut next: Value,
        dry_run: bool,
    ) -> Result<Option<Bytes>, ApiError> {
        self.check_identity(current, &next)?;
        if !matches!(self.owners, Owners::Kept) {
            expect_no_deletion(self.place, self.name, current, &next)?;
        }
        settle_namespace(self.place, &mut next)?;
        self.settle_owners(current, &mut next)?;
        self.prepare(current, &mut next);
        self.admit_update(current, &next)?;
        self.validate(current, &next)?;
        let write = Write { registry: self.registry, place: self.place, name: self.name, now: self.now };
        let hooks = &self.registry.hooks;
        let reservation = hooks.before_update(&write, current, &mut next, self.mode)?;
        apply::keep_times(current, &mut next);
        if next == *current {
            return self.place.present(&entry.value).map(Some);
        }
        if dry_run {
            return as_if_stored(self.place, &next, entry.modified).map(Some);
        }
        if self.deletion_is_complete(current, &next) {
            let gone = self.registry.remove(self.place, self.name, entry.modified).await?;
            return gone.map(|gone| as_if_stored(self.place, &next, gone.modified)).transpose();
        }
        let expect = Expect::At(entry.modified);
        let Some(written) = self.registry.put(self.place, self.name, &next, expect).await? else {
            return Ok(None);
        };
        drop(reservation);
        hooks.written(self.registry, self.place, written.modified).await;
        self.place.present(&written.value).map(Some)
    }

    /// Name, uid and resourceVersion of the wished object must be those of the current one, where given.
    fn check_identity(&self, current: &Value, next: &Value) -> Result<(), ApiError> {
        let group_resource = self.place.kind.group_resource();
        let name = meta::name(next);
        if name.is_empty() {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                self.name
            )));
        }
        if name != self.name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                self.name
            )));
        }
        let (uid, current_uid) = (meta::uid(next), meta::uid(current));
        if !uid.is_empty() && uid != current_uid {
            let why =
                format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {current_uid}");
            return Err(ApiError::conflict_because(&group_resource, self.name, &why));
        }
        let version = meta::resource_version(next);
        if !version.is_empty() && version != meta::resource_version(current) {
            return Err(ApiError::conflict(&group_resource, self.name));
        }
        Ok(())
    }

    /// Says who owns the fields of the next object, before the server changes it.
    fn settle_owners(&self, current: &Value, next: &mut Value) -> Result<(), ApiError> {
        match self.owners {
            Owners::Tracked(author) => self.registry.track(self.place, author, current, next),
            Owners::Made => Ok(()),
            Owners::Kept => {
                set_owners(next, owners_of(current));
                Ok(())
            }
        }
    }

    fn prepare(&self, current: &Value, next: &mut Value) {
        let owners = owners_of(next);
        match self.mode {
            Mode::Whole => {
                self.place.kind.prepare_update(current, next);
                Hooks::settle_update(self.place, current, next);
            }
            Mode::Status => self.place.kind.prepare_status_update(current, next),
            Mode::Part(subresource) => {
                if let Some(part) = self.place.kind.part(subresource) {
                    self.place.kind.prepare_part(part, current, next);
                }
            }
            Mode::Approval => {
                let conditions = next.pointer("/status/conditions").cloned();
                *next = current.clone();
                if let Some(status) = next.get_mut("status").and_then(Value::as_object_mut) {
                    match conditions {
                        Some(conditions) => status.insert("conditions".to_owned(), conditions),
                        None => status.remove("conditions"),
                    };
                }
            }
            Mode::Internal => {}
        }
        set_owners(next, owners);
        // The revision is checked; from here on both objects carry the same one.
        meta::set(next, "resourceVersion", meta::resource_version(current));
    }

    /// Where admission stands for changes: both objects are known, nothing is validated or reserved yet.
    fn admit_update(&self, current: &Value, next: &Value) -> Result<(), ApiError> {
        if !meta::is_being_deleted(current) {
            return Ok(());
        }
        let before = meta::finalizers(current);
        let added: Vec<&str> = meta::finalizers(next).into_iter().filter(|f| !before.contains(f)).collect();
        if added.is_empty() {
            return Ok(());
        }
        let why = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            added.iter().map(|f| format!("{f:?}")).collect::<Vec<_>>().join(", ")
        );
        let error = FieldError::forbidden("metadata.finalizers", why);
        Err(ApiError::invalid(&self.place.kind.group_kind(), self.name, vec![error]))
    }

    fn validate(&self, current: &Value, next: &Value) -> Result<(), ApiError> {
        if next == current || self.mode == Mode::Internal {
            return Ok(());
        }
        let kind = &self.place.kind;
        let changed = if self.mode == Mode::Status { Changed::Status } else { Changed::Whole };
        let mut errors = kind.validate_change(current, next, changed);
        match self.mode {
            Mode::Whole => errors.extend(kind.validate_update(current, next)),
            Mode::Status => errors.extend(kind.validate_status(current, next)),
            Mode::Part(subresource) => {
                errors.extend(kind.part(subresource).into_iter().flat_map(|p| (p.validate)(current, next)));
            }
            Mode::Approval | Mode::Internal => {}
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(ApiError::invalid(&self.place.kind.group_kind(), self.name, errors))
    }

    /// The last finalizer of an object that waits for its deletion was taken away.
    fn deletion_is_complete(&self, current: &Value, next: &Value) -> bool {
        let grace = current.pointer("/metadata/deletionGracePeriodSeconds").and_then(Value::as_i64);
        meta::is_being_deleted(current)
            && grace.unwrap_or(0) == 0
            && meta::finalizers(next).is_empty()
            && !Hooks::holds(self.place, next)
    }
}

/// A revision that nobody can have read fails as it does in Kubernetes, before it can be in conflict; zero names none.
fn read_version(place: &Place, name: &str, object: &mut Value) -> Result<(), ApiError> {
    match parsed_version(object)? {
        Some(0) if !place.kind.updates_unconditionally() => Err(version_missing(place, name)),
        Some(0) => {
            meta::set(object, "resourceVersion", "");
            Ok(())
        }
        Some(_) | None => Ok(()),
    }
}

/// The revision that an object names, if it names one.
pub(super) fn parsed_version(object: &Value) -> Result<Option<u64>, ApiError> {
    let version = meta::resource_version(object);
    if version.is_empty() {
        return Ok(None);
    }
    let unreadable = |_| ApiError::unnamed(format!("strconv.ParseUint: parsing {version:?}: invalid syntax"));
    version.parse().map(Some).map_err(unreadable)
}

/// Here the resource stands for the kind, as upstream.
fn version_missing(place: &Place, name: &str) -> ApiError {
    let error = FieldError::invalid("metadata.resourceVersion", 0, "must be specified for an update");
    ApiError::invalid(&GroupKind::new(place.kind.group(), place.kind.plural()), name, vec![error])
}

/// A patch cannot give an object another uid.
pub(super) fn expect_uid(place: &Place, name: &str, current: &Value, next: &Value) -> Result<(), ApiError> {
    let uid = meta::uid(next);
    if uid.is_empty() || uid == meta::uid(current) {
        return Ok(());
    }
    let error = FieldError::immutable("metadata.uid", &Value::from(uid));
    Err(ApiError::invalid(&place.kind.group_kind(), name, vec![error]))
}

/// Deletion is asked for with a DELETE; an update neither starts nor hastens it.
fn expect_no_deletion(place: &Place, name: &str, current: &Value, next: &Value) -> Result<(), ApiError> {
    let at = |object: &Value, key: &str| {
        object
            .get("metadata")
            .and_then(|metadata| metadata.get(key))
            .filter(|found| !found.is_null())
            .cloned()
    };
    let mut errors = Vec::new();
    for key in ["deletionTimestamp", "deletionGracePeriodSeconds"] {
        let Some(wished) = at(next, key) else { continue };
        // What stands already is kept, whatever the client says of the time.
        let stands = match at(current, key) {
            Some(_) if key == "deletionTimestamp" => true,
            before => before.as_ref() == Some(&wished),
        };
        if !stands {
            errors.push(FieldError::immutable(format!("metadata.{key}"), &wished));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::invalid(&place.kind.group_kind(), name, errors)) }
}

fn owners_of(object: &Value) -> Option<Value> {
    object.pointer("/metadata/managedFields").cloned()
}

/// Sets or removes `metadata.managedFields`.
pub(super) fn set_owners(object: &mut Value, owners: Option<Value>) {
    match owners {
        Some(owners) => meta::set(object, "managedFields", owners),
        None => {
            meta::metadata_mut(object).map(|metadata| metadata.remove("managedFields"));
        }
    }
}
