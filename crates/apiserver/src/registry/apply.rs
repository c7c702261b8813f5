//! Server-side apply: merges a configuration into the current object, or creates the object from it.
//!
//! Conflicts and ownership are [`konzert_api::apply`]; the write itself goes through the update loop or through create, with
//! their preparation, validation and hooks.

use konzert_api::apply::{Force, Tracker, apply_scale};
use konzert_api::{ApiError, meta};
use serde_json::Value;

use super::owners::{Author, Owners};
use super::subresource::{replicas_set, scale_of};
use super::update::{Change, expect_uid, parsed_version, set_owners};
use super::{MAX_ATTEMPTS, Mode, Place, Registry, Written, now};
use crate::decode::{Document, RawBody, apply_document, shape, strict_problems};
use crate::encode::decode;
use crate::options::{FieldValidation, WriteOptions};
use crate::present::to_bytes;

/// Options of an apply.
#[derive(Clone, Debug)]
pub(crate) struct ApplyOptions {
    pub(crate) write: WriteOptions,
    pub(crate) force: Force,
    /// Why the caller may not create the object, if it does not exist.
    pub(crate) create_denied: Option<ApiError>,
}

/// What an apply did.
#[derive(Debug)]
pub(crate) struct Applied {
    pub(crate) written: Written,
    /// The object did not exist before.
    pub(crate) created: bool,
}

/// A decoded configuration and how to apply it.
struct Application<'a> {
    registry: &'a Registry,
    place: &'a Place,
    name: &'a str,
    document: Document,
    options: &'a ApplyOptions,
}

impl Registry {
    /// Applies the configuration in `body`. Only the object itself is created when it does not exist, its status is not.
    pub(crate) async fn apply(
        &self,
        place: &Place,
        name: &str,
        body: &RawBody,
        mode: Mode,
        options: &ApplyOptions,
    ) -> Result<Applied, ApiError> {
        let document = apply_document(&body.bytes)?;
        let application = Application { registry: self, place, name, document, options };
        for _ in 0..MAX_ATTEMPTS {
            let exists = self.store.get(&place.key(name)).is_some();
            if exists || mode != Mode::Whole {
                match application.to_existing(mode).await {
                    // It went away in between.
                    Err(error) if error.code == 404 && mode == Mode::Whole => {}
                    other => return other.map(|written| Applied { written, created: false }),
                }
            } else {
                match application.to_new().await {
                    Err(error) if error.reason == "AlreadyExists" => {}
                    other => return other.map(|written| Applied { written, created: true }),
                }
            }
        }
        Err(ApiError::conflict(&place.kind.group_resource(), name))
    }

    /// Applies a `Scale`.
    pub(crate) async fn apply_scale(
        &self,
        place: &Place,
        name: &str,
        body: &RawBody,
        options: &ApplyOptions,
    ) -> Result<Written, ApiError> {
        let document = apply_document(&body.bytes)?;
        let warnings = strict(&document, options)?;
        let author = Author::of_scale(&options.write.manager);
        let make = |current: &Value| {
            let writer = author.writer(&place.kind, now());
            let (scale, owners) = apply_scale(&place.kind, current, &document.value, writer, options.force)?;
            let mut next = replicas_set(place, name, current, &scale)?;
            set_owners(&mut next, owners);
            Ok(next)
        };
        let change = Change { mode: Mode::Whole, dry_run: options.write.dry_run, owners: Owners::Made };
        let bytes = self.modify_as(place, name, change, make).await?;
        Ok(Written { bytes: to_bytes(&scale_of(place, &decode(&bytes)?)?)?, warnings })
    }
}

impl Application<'_> {
    async fn to_existing(&self, mode: Mode) -> Result<Written, ApiError> {
        let author = Author::new(&self.options.write.manager, mode);
        let (mut warnings, mut advice) = (Vec::new(), Vec::new());
        let make = |current: &Value| {
            let mut applied = self.merged(&author, Some(current))?;
            warnings = self.shape(&mut applied)?;
            expect_uid(self.place, self.name, current, &applied)?;
            advice = mode.advice(&self.place.kind, &applied, current);
            Ok(applied)
        };
        let change = Change { mode, dry_run: self.options.write.dry_run, owners: Owners::Made };
        let written = self.registry.modify_as(self.place, self.name, change, make).await;
        let bytes = written.map_err(|error| error.with_warnings(&warnings))?;
        warnings.append(&mut advice);
        Ok(Written { bytes, warnings })
    }

    async fn to_new(&self) -> Result<Written, ApiError> {
        let author = Author::new(&self.options.write.manager, Mode::Whole);
        let mut object = self.merged(&author, None)?;
        let uid = meta::uid(&object);
        if !uid.is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(ApiError::conflict_because(&self.place.kind.group_resource(), self.name, &why));
        }
        if let Some(denied) = &self.options.create_denied {
            return Err(denied.clone());
        }
        self.check_name(&object)?;
        parsed_version(&object)?;
        let mut warnings = self.shape(&mut object)?;
        let advice = self.place.kind.warnings(&object, None);
        if let Some(metadata) = meta::metadata_mut(&mut object) {
            metadata.remove("resourceVersion");
        }
        let created = self.registry.create_object(self.place, object, self.options.write.dry_run).await;
        let bytes = created.map_err(|error| error.with_warnings(&warnings))?;
        warnings.extend(advice);
        Ok(Written { bytes, warnings })
    }

    fn merged(&self, author: &Author, current: Option<&Value>) -> Result<Value, ApiError> {
        let siblings = self.registry.siblings(self.place);
        let writer = author.writer(&self.place.kind, now());
        let tracker = Tracker::new(&self.place.kind, &siblings, writer);
        tracker.apply(current, &self.document.value, self.options.force)
    }

    fn shape(&self, applied: &mut Value) -> Result<Vec<String>, ApiError> {
        let mut warnings = strict(&self.document, self.options)?;
        let validation = self.options.write.field_validation;
        warnings.extend(shape(&self.place.kind, applied, Vec::new(), validation)?);
        Ok(warnings)
    }

    fn check_name(&self, object: &Value) -> Result<(), ApiError> {
        let (given, name) = (meta::name(object), self.name);
        if given.is_empty() {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )));
        }
        if given != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        Ok(())
    }
}

/// What `fieldValidation` makes of duplicate fields in the configuration.
fn strict(document: &Document, options: &ApplyOptions) -> Result<Vec<String>, ApiError> {
    match options.write.field_validation {
        FieldValidation::Strict if !document.problems.is_empty() => Err(ApiError::bad_request(format!(
            "error strict decoding patch: error converting YAML to JSON: {}",
            strict_problems(&document.problems).join(", ")
        ))),
        FieldValidation::Warn => Ok(document.problems.clone()),
        FieldValidation::Strict | FieldValidation::Ignore => Ok(Vec::new()),
    }
}
