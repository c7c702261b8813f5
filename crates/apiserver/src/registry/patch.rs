//! Patch: JSON, merge and strategic merge patches, applied to the current object in the update loop. Server-side apply has
//! its own way, [`super::apply`].

use konzert_api::printed::in_go;
use konzert_api::schema::syntax_error;
use konzert_api::{ApiError, FieldError, GroupKind, Gvk, Kind, patch};
use serde_json::Value;

use super::owners::{Author, Owners};
use super::update::{Change, expect_uid};
use super::{Mode, Place, Registry, Written};
use crate::decode::{Document, RawBody, json, shape};
use crate::options::WriteOptions;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Whether the body is a server-side apply, which has parameters of its own.
pub(crate) fn is_apply(body: &RawBody) -> bool {
    body.content_type == APPLY_PATCH
}

/// A decoded patch.
#[derive(Debug)]
pub(crate) enum PatchBody {
    /// RFC 6902.
    Json(Value),
    /// RFC 7386.
    Merge(Value),
    /// Kubernetes' own, built-in kinds only.
    Strategic(Value),
}

impl PatchBody {
    /// Decodes by content type. Returns what is odd about the text, too.
    pub(crate) fn parse(kind: &Kind, body: &RawBody) -> Result<(Self, Vec<String>), ApiError> {
        match body.content_type.as_str() {
            JSON_PATCH => json_patch_document(body).map(|d| (Self::Json(d.value), d.problems)),
            MERGE_PATCH => merge_document(body).map(|d| (Self::Merge(d.value), d.problems)),
            STRATEGIC_PATCH if !kind.is_custom() => {
                strategic_document(body).map(|d| (Self::Strategic(d.value), d.problems))
            }
            _ if kind.is_custom() => {
                Err(ApiError::unsupported_media_type(&[JSON_PATCH, MERGE_PATCH, APPLY_PATCH]))
            }
            _ => Err(ApiError::no_such_encoding()),
        }
    }

    /// The object after the patch.
    pub(crate) fn apply(&self, gvk: &Gvk, current: &Value) -> Result<Value, ApiError> {
        match self {
            Self::Json(operations) => patch::json_patch(current, operations),
            Self::Merge(merge) => Ok(patch::merge_patch(current, merge)),
            Self::Strategic(merge) => {
                let mut patched = patch::strategic_merge(gvk, current, merge)?;
                patch::whole_numbers(&mut patched);
                // What an object is stands apart from its fields there.
                for key in ["apiVersion", "kind"] {
                    patched[key] = current[key].clone();
                }
                Ok(patched)
            }
        }
    }

    /// The refusal of an object that the patch made, as Kubernetes words it: the patch is what is invalid.
    pub(super) fn refused(&self, kind: &str, patched: &Value, error: ApiError) -> ApiError {
        let heading = format!(" cannot be handled as a {kind}: ");
        let why = match error.message.split_once(&heading) {
            Some((_, why)) if error.code == 400 => why,
            _ => return error,
        };
        let shown = match self {
            Self::Json(_) | Self::Merge(_) => patched.to_string(),
            Self::Strategic(patch) => in_go(patch),
        };
        let cause = FieldError::invalid("patch", shown, why);
        ApiError::invalid(&GroupKind::default(), "", vec![cause])
    }
}

fn document(body: &RawBody) -> Result<Document, ApiError> {
    if syntax_error(&body.bytes).is_some() {
        return Err(ApiError::bad_request("invalid JSON patch"));
    }
    json(&body.bytes)
}

/// What is odd about operations is said to be odd about the patch.
fn json_patch_document(body: &RawBody) -> Result<Document, ApiError> {
    let Document { value, mut problems } = document(body)?;
    problems.extend(patch::unknown_operation_fields(&value));
    let problems = problems.into_iter().map(|problem| format!("json patch {problem}")).collect();
    Ok(Document { value, problems })
}

fn merge_document(body: &RawBody) -> Result<Document, ApiError> {
    let document = document(body)?;
    match &document.value {
        Value::Object(_) => Ok(document),
        Value::Null => Err(ApiError::bad_request("Invalid JSON Patch")),
        other => Err(ApiError::bad_request(format!("error decoding patch: {}", no_map(other)))),
    }
}

/// Null is the patch that changes nothing.
fn strategic_document(body: &RawBody) -> Result<Document, ApiError> {
    let document = document(body)?;
    match &document.value {
        Value::Object(_) | Value::Null => Ok(document),
        other => Err(ApiError::bad_request(no_map(other))),
    }
}

fn no_map(found: &Value) -> String {
    patch::cannot_unmarshal(found, "map[string]interface {}")
}

impl Registry {
    /// PATCH of an object or of its status.
    pub(crate) async fn patch(
        &self,
        place: &Place,
        name: &str,
        body: &RawBody,
        mode: Mode,
        options: WriteOptions,
    ) -> Result<Written, ApiError> {
        let (patch, problems) = PatchBody::parse(&place.kind, body)?;
        let (mut warnings, mut advice) = (Vec::new(), Vec::new());
        let make = |current: &Value| {
            let wished = patch.apply(place.kind.gvk(), current)?;
            let mut patched = wished.clone();
            let shaped = shape(&place.kind, &mut patched, problems.clone(), options.field_validation);
            warnings = shaped.map_err(|error| patch.refused(place.kind.kind(), &wished, error))?;
            expect_uid(place, name, current, &patched)?;
            advice = mode.advice(&place.kind, &patched, current);
            Ok(patched)
        };
        let author = Author::new(&options.manager, mode);
        let change = Change { mode, dry_run: options.dry_run, owners: Owners::Tracked(&author) };
        let written = self.modify_as(place, name, change, make).await;
        let bytes = written.map_err(|error| error.with_warnings(&warnings))?;
        warnings.append(&mut advice);
        Ok(Written { bytes, warnings })
    }
}
