//! Create: POST to a collection.

use jiff::Timestamp;
use konzert_api::{ApiError, CreateFacts, meta};
use konzert_store::{Expect, Revision};
use serde_json::Value;
use uuid::Uuid;

use super::owners::Author;
use super::{Mode, Place, Registry, Written, now};
use crate::decode::{RawBody, shape};
use crate::encode::stamp;
use crate::hooks::{Hooks, Write};
use crate::options::WriteOptions;

/// Tries of a generated name before the clash is reported.
const NAME_ATTEMPTS: usize = 8;

impl Registry {
    /// Creates the object in `body`.
    pub(crate) async fn create(
        &self,
        place: &Place,
        body: &RawBody,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let document = body.object(place.kind.kind())?;
        let mut object = document.value;
        let warnings = shape(&place.kind, &mut object, document.problems, options.field_validation)?;
        self.create_shaped(place, object, warnings, &options).await
    }

    /// Creates an object that is shaped already, in the name of a client. What is odd about it is said even if it is refused.
    async fn create_shaped(
        &self,
        place: &Place,
        mut object: Value,
        mut warnings: Vec<String>,
        options: &WriteOptions,
    ) -> Result<Written, ApiError> {
        let advice = place.kind.warnings(&object, None);
        self.track_new(place, &Author::new(&options.manager, Mode::Whole), &mut object)?;
        let created = self.create_object(place, object, options.dry_run).await;
        let bytes = created.map_err(|error| error.with_warnings(&warnings))?;
        warnings.extend(advice);
        Ok(Written { bytes, warnings })
    }

    /// Whether an update of that name would create the object.
    pub(crate) fn creates(&self, place: &Place, name: &str) -> bool {
        place.kind.creates_on_update() && self.store.get(&place.key(name)).is_none()
    }

    /// Creates the object in `body` under the name that an update was sent to.
    pub(crate) async fn create_named(
        &self,
        place: &Place,
        name: &str,
        body: &RawBody,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let document = body.document()?;
        let mut object = document.value;
        let warnings = shape(&place.kind, &mut object, document.problems, options.field_validation)?;
        let given = meta::name(&object);
        if given != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        let uid = meta::uid(&object);
        if !uid.is_empty() {
            let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
            return Err(ApiError::conflict_because(&place.kind.group_resource(), name, &why));
        }
        // What it was read at says nothing any more.
        if let Some(metadata) = meta::metadata_mut(&mut object) {
            metadata.remove("resourceVersion");
        }
        self.create_shaped(place, object, warnings, &options).await
    }

    /// Creates an object that is shaped already and says who owns its fields.
    pub(crate) async fn create_object(
        &self,
        place: &Place,
        mut object: Value,
        dry_run: bool,
    ) -> Result<bytes::Bytes, ApiError> {
        settle_namespace(place, &mut object)?;
        refuse_preset(&mut object)?;
        let generate = name_base(&object);
        for attempt in 1.. {
            if let Some(base) = &generate {
                meta::set(&mut object, "name", meta::generate_name(base, random()));
            }
            match self.try_create(place, object.clone(), dry_run).await {
                Err(error)
                    if error.reason == "AlreadyExists" && generate.is_some() && attempt < NAME_ATTEMPTS => {}
                other => return other,
            }
        }
        Err(ApiError::internal("no name could be generated"))
    }

    async fn try_create(
        &self,
        place: &Place,
        mut object: Value,
        dry_run: bool,
    ) -> Result<bytes::Bytes, ApiError> {
        let now = now();
        let name = meta::name(&object).to_owned();
        self.admit_create(place, &name)?;
        let write = Write { registry: self, place, name: &name, now };
        Hooks::admit(&write, &mut object)?;
        prepare(place, &mut object, now);
        let mut errors = place.kind.validate(&object);
        errors.extend(place.kind.validate_create(&object));
        if !errors.is_empty() {
            return Err(ApiError::invalid(&place.kind.group_kind(), &name, errors));
        }
        storable(&name)?;
        let taken = || ApiError::already_exists(&place.kind.group_resource(), &name);
        // Before anything is reserved: the reservation of a second object of the same name would look like a clash.
        if self.store.get(&place.key(&name)).is_some() {
            return Err(taken());
        }

        let reservation = self.hooks.before_create(&write, &mut object)?;
        if dry_run {
            return serde_json::to_vec(&object).map(bytes::Bytes::from).map_err(ApiError::internal);
        }
        let Some(entry) = self.put(place, &name, &object, Expect::Absent).await? else {
            return Err(taken());
        };
        drop(reservation);
        self.hooks.written(self, place, entry.modified).await;
        place.present(&entry.value)
    }

    /// Where admission stands for new objects: the object is shaped, nothing is validated or reserved yet.
    fn admit_create(&self, place: &Place, name: &str) -> Result<(), ApiError> {
        if place.definition.as_ref().is_some_and(|d| d.terminating) {
            let mut error = ApiError::method_not_supported(&place.kind.group_resource(), "create");
            "create not allowed while custom resource definition is terminating"
                .clone_into(&mut error.message);
            return Err(error);
        }
        self.admit_namespace(place, name)
    }

    /// Creates what the server itself needs; an object that is there already is left alone.
    pub(crate) async fn ensure(&self, place: &Place, mut object: Value) -> Result<Revision, ApiError> {
        shape(&place.kind, &mut object, Vec::new(), crate::options::FieldValidation::Strict)?;
        let name = meta::name(&object).to_owned();
        if let Some(entry) = self.store.get(&place.key(&name)) {
            return Ok(entry.modified);
        }
        self.track_new(place, &Author::server(), &mut object)?;
        match self.create_object(place, object, false).await {
            Err(error) if error.reason != "AlreadyExists" => Err(error),
            _ => self.entry(place, &name).map(|entry| entry.modified),
        }
    }
}

/// The name becomes a part of a key, whatever the kind thinks of it.
fn storable(name: &str) -> Result<(), ApiError> {
    if name.is_empty() {
        return Err(ApiError::bad_request("Name parameter required."));
    }
    if matches!(name, "." | "..") || name.contains(['/', '%']) {
        return Err(ApiError::bad_request(format!("Name parameter invalid: {name:?}")));
    }
    Ok(())
}

/// A revision in a new object is refused late, as by Kubernetes; what is no revision is dropped.
fn refuse_preset(object: &mut Value) -> Result<(), ApiError> {
    if meta::resource_version(object).parse::<u64>().is_ok_and(|revision| revision != 0) {
        return Err(ApiError::unnamed("resourceVersion should not be set on objects to be created"));
    }
    if let Some(metadata) = meta::metadata_mut(object) {
        metadata.remove("resourceVersion");
    }
    Ok(())
}

/// The namespace of the path is the namespace of the object.
pub(crate) fn settle_namespace(place: &Place, object: &mut Value) -> Result<(), ApiError> {
    let given = meta::namespace(object);
    match &place.namespace {
        Some(namespace) if !given.is_empty() && given != namespace => Err(ApiError::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        )),
        Some(namespace) => {
            meta::set(object, "namespace", namespace.as_str());
            Ok(())
        }
        None => {
            if let Some(metadata) = meta::metadata_mut(object) {
                metadata.remove("namespace");
            }
            Ok(())
        }
    }
}

/// `metadata.generateName`, when it is what gives the name.
fn name_base(object: &Value) -> Option<String> {
    let base = object.pointer("/metadata/generateName").and_then(Value::as_str)?;
    (meta::name(object).is_empty() && !base.is_empty()).then(|| base.to_owned())
}

fn prepare(place: &Place, object: &mut Value, now: Timestamp) {
    let uid = Uuid::new_v4().to_string();
    meta::stamp_new(object, &uid, now);
    place.kind.prepare_create(object, &CreateFacts { uid, now });
}

fn random() -> u64 {
    Uuid::new_v4().as_u64_pair().1
}

/// Bytes of an object as if they were stored at `revision`.
pub(super) fn as_if_stored(
    place: &Place,
    object: &Value,
    revision: Revision,
) -> Result<bytes::Bytes, ApiError> {
    place.present(&stamp(&place.to_stored(object)?, revision))
}
