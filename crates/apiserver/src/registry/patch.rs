//! Patch: JSON, merge and strategic merge patches, applied to the current object in the update loop. Server-side apply has
//! its own way, [`super::apply`].

use konzert_api::{ApiError, Kind, patch};
use serde_json::Value;

use super::owners::{Author, Owners};
use super::update::Change;
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
        let accepted: &[&str] = if kind.is_custom() {
            &[JSON_PATCH, MERGE_PATCH, APPLY_PATCH]
        } else {
            &[JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH]
        };
        let refused = || Err(ApiError::unsupported_media_type(accepted));
        match body.content_type.as_str() {
            JSON_PATCH => json(&body.bytes).map(|d| (Self::Json(d.value), d.problems)),
            MERGE_PATCH => merge_document(body).map(|d| (Self::Merge(d.value), d.problems)),
            STRATEGIC_PATCH if kind.is_custom() => refused(),
            STRATEGIC_PATCH => merge_document(body).map(|d| (Self::Strategic(d.value), d.problems)),
            _ => refused(),
        }
    }

    /// The object after the patch.
    pub(crate) fn apply(&self, kind: &Kind, current: &Value) -> Result<Value, ApiError> {
        match self {
            Self::Json(operations) => patch::json_patch(current, operations),
            Self::Merge(merge) => Ok(patch::merge_patch(current, merge)),
            Self::Strategic(merge) => patch::strategic_merge(kind.gvk(), current, merge),
        }
    }
}

fn merge_document(body: &RawBody) -> Result<Document, ApiError> {
    let document = json(&body.bytes)?;
    if document.value.is_object() {
        return Ok(document);
    }
    Err(ApiError::bad_request("the patch must be an object"))
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
        let mut warnings = Vec::new();
        let make = |current: &Value| {
            let mut patched = patch.apply(&place.kind, current)?;
            warnings = shape(&place.kind, &mut patched, problems.clone(), options.field_validation)?;
            warnings.extend(mode.advice(&place.kind, &patched, current));
            Ok(patched)
        };
        let author = Author::new(&options.manager, mode);
        let change = Change { mode, dry_run: options.dry_run, owners: Owners::Tracked(&author) };
        let bytes = self.modify_as(place, name, change, make).await?;
        Ok(Written { bytes, warnings })
    }
}
