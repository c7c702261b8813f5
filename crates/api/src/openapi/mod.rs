//! `OpenAPI` v3: the index, and one document per group version; and v2, made from them.
//!
//! Enough of a document for kubectl to choose a patch type, to know that the server validates fields, and to explain
//! fields; and no more: it lists only what is served.
//!
//! Invariants: strategic merge patch is listed for built-in kinds only; every `$ref` of a document leads to a schema of
//! the same document; the same kinds give the same document.

mod gnostic;
mod paths;
mod schemas;
#[cfg(test)]
mod tests;
pub(crate) mod types;
mod v2;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::catalogue::{self, Gvk, Kind, Scope, StorageClass, Subresource};

pub use v2::{V2Encoding, write_v2};

/// What a document needs to know of a kind.
#[derive(Clone, Debug)]
pub struct OpenApiKind<'a> {
    /// Group, version, kind.
    pub gvk: &'a Gvk,
    /// Plural, as in the path.
    pub plural: &'a str,
    /// Namespaced or not.
    pub scope: Scope,
    /// What is served below an object.
    pub subresources: Vec<Subresource>,
    /// `openAPIV3Schema` of a custom kind; `None` for a built-in one.
    pub custom_schema: Option<&'a Value>,
    /// Objects are not kept; there is nothing but `create`.
    pub create_only: bool,
    /// Fields of a custom kind that a field selector may name, `.spec.color`.
    pub selectable_fields: Vec<String>,
}

impl<'a> From<&'a Kind> for OpenApiKind<'a> {
    fn from(kind: &'a Kind) -> Self {
        let (custom_schema, selectable_fields) = match kind {
            Kind::Builtin(_) => (None, Vec::new()),
            Kind::Custom(custom) => {
                let fields = custom.selectable_fields.iter().map(|f| f.trim_start_matches('.').to_owned());
                (Some(custom.raw_schema.as_ref()), fields.collect())
            }
        };
        let (scope, subresources) = (kind.scope(), kind.subresources());
        let create_only = kind.acts_on().is_some();
        Self {
            gvk: kind.gvk(),
            plural: kind.plural(),
            scope,
            subresources,
            custom_schema,
            create_only,
            selectable_fields,
        }
    }
}

impl OpenApiKind<'_> {
    /// Whether the kind is a question: created, answered, never stored, so that no list of it exists.
    fn is_virtual(&self) -> bool {
        self.custom_schema.is_none()
            && catalogue::builtin()
                .iter()
                .any(|row| row.gvk == *self.gvk && row.storage == StorageClass::Virtual)
    }
}

/// One line of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenApiEntry {
    /// `api/v1` or `apis/apps/v1`.
    pub path: String,
    /// [`document_hash`] of its document. Clients keep a document for as long as its hash stays.
    pub hash: String,
}

/// Path of a group version: `api/v1` or `apis/apps/v1`.
pub fn group_version_path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The document at `/openapi/v3`.
pub fn openapi_v3_index(entries: &[OpenApiEntry]) -> Value {
    let paths: Map<String, Value> = entries
        .iter()
        .map(|OpenApiEntry { path, hash }| {
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path.clone(), json!({ "serverRelativeURL": url }))
        })
        .collect();
    json!({ "paths": paths })
}

/// Names the content of a document: upper-case hex of SHA-256.
pub fn document_hash(document: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut hash = String::with_capacity(64);
    for byte in Sha256::digest(document) {
        write!(hash, "{byte:02X}").expect("writing to a string");
    }
    hash
}

/// The document of one group version, at `/openapi/v3/<path>`; `kinds` are all kinds served in it.
pub fn openapi_v3(kinds: &[OpenApiKind<'_>]) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        paths::add(kind, &mut paths);
    }
    json!({
        "openapi": "3.0.0",
        "info": { "title": "Kubernetes", "version": "v1.37.0" },
        "paths": paths,
        "components": { "schemas": schemas::schemas(kinds) },
    })
}

/// Name of a kind's schema: `io.k8s.api.core.v1.Pod`, or the reversed group for custom kinds.
fn schema_name(kind: &OpenApiKind<'_>) -> String {
    let gvk = kind.gvk;
    let builtin = crate::schema::schema().by_gvk(&gvk.group, &gvk.version, &gvk.kind);
    if let (None, Some(message)) = (kind.custom_schema, builtin) {
        return message.name.clone();
    }
    let reversed: Vec<&str> = gvk.group.split('.').rev().collect();
    format!("{}.{}.{}", reversed.join("."), gvk.version, gvk.kind)
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn gvk_value(group: &str, version: &str, kind: &str) -> Value {
    json!({ "group": group, "version": version, "kind": kind })
}

const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";
const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
const STATUS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Status";
const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";
const BINDING: &str = "io.k8s.api.core.v1.Binding";
const EVICTION: &str = "io.k8s.api.policy.v1.Eviction";
const TOKEN_REQUEST: &str = "io.k8s.api.authentication.v1.TokenRequest";
