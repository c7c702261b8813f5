//! Custom kinds: from a stored `CustomResourceDefinition` to descriptor rows that answer the same questions as built-in
//! ones.
//!
//! A definition gives one [`CustomKind`] per served version. Conversion between versions is `None` only: objects keep
//! their fields and change their `apiVersion`; webhooks are refused by name.
//!
//! Invariant: whatever [`custom_kinds`] accepts can default, prune and validate any JSON object, within bounds of time and
//! memory, without panicking.

mod advice;
mod approval;
mod cel;
mod columns;
mod definition;
mod jsonpath;
mod naming;
mod printer;
mod publish;
pub mod robust;
mod schema;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub(crate) use advice::advice;
pub use definition::{custom_kinds, is_established, storage_version};
pub(crate) use definition::{default_definition, validate_definition, validate_definition_update};
pub(crate) use naming::prepare;
pub use naming::{Taken, establish, note_storage};
pub use schema::{Changed, Structural};

use crate::catalogue::{Gvk, Scope, Subresource};
use crate::printed::{go_type, in_go};
use crate::status::FieldError;
use crate::table::Column;

/// Where the `scale` subresource finds its numbers, as JSON pointers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// Wished replicas.
    pub spec_replicas: String,
    /// Observed replicas.
    pub status_replicas: String,
    /// Selector as text.
    pub label_selector: Option<String>,
}

/// One served version of a custom kind.
#[derive(Clone, Debug)]
pub struct CustomKind {
    /// Group, version, kind.
    pub gvk: Gvk,
    /// Kind of a list of these.
    pub list_kind: String,
    /// Plural, as in the path.
    pub plural: String,
    /// Singular.
    pub singular: String,
    /// Abbreviations that kubectl takes.
    pub short_names: Vec<String>,
    /// Groups of kinds such as `all`.
    pub categories: Vec<String>,
    /// Namespaced or not.
    pub scope: Scope,
    /// Whether objects are stored in this version.
    pub storage_version: bool,
    /// The version to which objects are written.
    pub stored_as: String,
    /// A sentence for a `Warning` header when the version is deprecated.
    pub deprecation: Option<String>,
    /// Whether `/status` is served.
    pub status: bool,
    /// Whether and how `/scale` is served.
    pub scale: Option<ScalePaths>,
    /// Columns of the table.
    pub columns: Vec<Column>,
    /// Fields that a field selector may name.
    pub selectable_fields: Vec<String>,
    /// The schema as written in the definition, for `OpenAPI`.
    pub raw_schema: Arc<Value>,
    schema: Arc<Structural>,
    printers: Vec<printer::Printer>,
}

impl CustomKind {
    /// What is served below an object.
    pub fn subresources(&self) -> Vec<Subresource> {
        let status = self.status.then_some(Subresource::Status);
        let scale = self.scale.as_ref().map(|_| Subresource::Scale);
        status.into_iter().chain(scale).collect()
    }

    /// The schema.
    pub fn schema(&self) -> &Structural {
        &self.schema
    }

    /// The schema for readers of `OpenAPI` v2, which has no logic, no `null` and no rules.
    pub fn schema_v2(&self) -> Value {
        publish::for_v2(&self.raw_schema)
    }

    /// Drops fields that the schema does not know and returns their paths.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        self.schema.prune(object)
    }

    /// Fills in the defaults of the schema.
    pub fn default(&self, object: &mut Value) {
        self.schema.default(object);
    }

    /// What is wrong with a new object, besides its metadata as such.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        self.validate_after(object, Vec::new())
    }

    /// As [`Self::validate`], after what was found about the metadata.
    pub(crate) fn validate_after(&self, object: &Value, metadata: Vec<FieldError>) -> Vec<FieldError> {
        self.schema.validate_with(object, metadata, self.scale_errors(object, Changed::Whole))
    }

    /// What is wrong with a change, besides the metadata as such. What was wrong before and did not change is let pass.
    pub fn validate_update(&self, old: &Value, new: &Value, part: Changed) -> Vec<FieldError> {
        self.schema.validate_update_with(old, new, part, self.scale_errors(new, part))
    }

    /// The numbers behind the `scale` subresource are numbers.
    fn scale_errors(&self, object: &Value, part: Changed) -> Vec<FieldError> {
        let Some(scale) = &self.scale else { return Vec::new() };
        let mut errors = Vec::new();
        let spec = (part == Changed::Whole).then_some(&scale.spec_replicas);
        for pointer in spec.into_iter().chain([&scale.status_replicas]) {
            let path = pointer.replace('/', ".");
            let Some(value) = object.pointer(pointer) else { continue };
            let error = match value.as_i64() {
                None => FieldError::invalid(&path, 0, not_a(&path, value, "int64")),
                Some(n) if n < 0 => FieldError::invalid(&path, n, "should be a non-negative integer"),
                Some(n) if n > i64::from(i32::MAX) => {
                    FieldError::invalid(&path, n, format!("should be less than or equal to {}", i32::MAX))
                }
                Some(_) => continue,
            };
            errors.push(error);
        }
        let pointer = scale.label_selector.as_deref().unwrap_or_default();
        if let Some(value) = object.pointer(pointer).filter(|v| !pointer.is_empty() && !v.is_string()) {
            let path = pointer.replace('/', ".");
            let why = not_a(&path, value, "string");
            errors.push(FieldError::invalid(path, "", why));
        }
        errors
    }

    /// Cells of one row, as many as there are columns.
    pub fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let name = crate::meta::name(object);
        let rest = self.printers.iter().map(|printer| printer.cell(object, now));
        std::iter::once(Value::from(name)).chain(rest).collect()
    }
}

/// A value of another type than the path promises.
fn not_a(path: &str, value: &Value, wanted: &str) -> String {
    let (shown, found) = (in_go(value), go_type(value));
    format!("{path} accessor error: {shown} is of the type {found}, expected {wanted}")
}
