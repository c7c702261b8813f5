//! The three patches of Kubernetes on JSON objects: JSON patch, merge patch, strategic merge patch.
//!
//! Pure functions; whether the result is valid, and which fields a client may change, is decided elsewhere.
//! Server-side apply is in [`crate::apply`].

mod json;
mod order;
mod strategic;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

pub use json::unknown_operation_fields;

use crate::catalogue::Gvk;
use crate::schema::{MAX_BODY_BYTES, MAX_JSON_DEPTH, schema, too_deep};
use crate::status::ApiError;

/// Most operations in one JSON patch, as in Kubernetes.
pub const MAX_JSON_PATCH_OPERATIONS: usize = 10_000;

/// Why a patch does not apply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Not a JSON patch at all.
    #[error("error decoding patch: {0}")]
    Malformed(String),
    /// More than [`MAX_JSON_PATCH_OPERATIONS`].
    #[error("The allowed maximum operations in a JSON patch is {MAX_JSON_PATCH_OPERATIONS}, got {0}")]
    TooManyOperations(usize),
    /// `copy` operations would grow the object beyond the size of a request.
    #[error("copy operations in the JSON patch add more than {MAX_BODY_BYTES} bytes")]
    CopiesTooMuch,
    /// The object would be nested deeper than one that is read.
    #[error("the patched object is nested more than {MAX_JSON_DEPTH} levels deep")]
    TooDeep,
    /// An operation does not fit the object: a failed `test`, a path that is not there.
    #[error("{0}")]
    Operation(String),
    /// A merge patch that is not an object.
    #[error("the patch is not a JSON object")]
    NotAnObject,
    /// The kind has no merge rules: a custom resource.
    #[error("kind {0} has no strategic merge patch")]
    NoStrategy(String),
    /// An unknown `$patch` value.
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownDirective {
        /// The value.
        directive: String,
        /// What it stands in.
        map: String,
    },
    /// `$patch: merge` in an item of a list.
    #[error("merging lists cannot yet be specified in the patch")]
    MergeOfList,
    /// `$retainKeys` that is no list or that does not name every field of the patch.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// Something else where a list belongs.
    #[error("expected a []interface {{}}, but received a {0}")]
    NoList(String),
    /// `$setElementOrder` that does not hold the items of the list in their order.
    #[error("The order in patch list:\n{patch}\n doesn't match $setElementOrder list:\n{order}\n")]
    OutOfOrder {
        /// The items of the patch.
        patch: String,
        /// The order.
        order: String,
    },
    /// `$setElementOrder` of a list that the type does not have.
    #[error("unable to find api field in struct {message} for the json field {field:?}")]
    NoSuchField {
        /// The type.
        message: String,
        /// The list.
        field: String,
    },
    /// An item of a keyed list lacks the key.
    #[error("map: {map} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item.
        map: String,
        /// The key.
        key: &'static str,
    },
    /// An item of the order of a keyed list is no object.
    #[error("value for key {0} is not a map")]
    NoMap(usize),
    /// A list holds values of more than one type.
    #[error("list element types are not identical: [{before} {patch}]")]
    MixedList {
        /// What is there.
        before: String,
        /// What the patch has.
        patch: String,
    },
    /// Lists in lists do not merge.
    #[error("lists of lists are not supported")]
    ListOfLists,
}

impl From<PatchError> for ApiError {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::TooManyOperations(_) | PatchError::CopiesTooMuch => Self::too_large(error),
            // Kubernetes does not say which operation it was.
            PatchError::Operation(_) => Self::unprocessable(),
            PatchError::NoStrategy(_) => {
                Self::unsupported_media_type(&["application/json-patch+json", "application/merge-patch+json"])
            }
            PatchError::Malformed(_)
            | PatchError::NotAnObject
            | PatchError::TooDeep
            | PatchError::RetainKeys => Self::bad_request(error.to_string()),
            // As in Kubernetes, which has no name for them.
            PatchError::UnknownDirective { .. }
            | PatchError::MergeOfList
            | PatchError::NoList(_)
            | PatchError::OutOfOrder { .. }
            | PatchError::NoSuchField { .. }
            | PatchError::NoMergeKey { .. }
            | PatchError::NoMap(_)
            | PatchError::MixedList { .. }
            | PatchError::ListOfLists => Self::unnamed(error.to_string()),
        }
    }
}

/// RFC 6902. 400 for what is no JSON patch, 413 for one that is too large, 422 for one that does not fit the object.
pub fn json_patch(doc: &Value, patch: &Value) -> Result<Value, ApiError> {
    Ok(apply_operations(doc, patch)?)
}

fn apply_operations(doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = json::operations(patch)?;
    if operations.len() > MAX_JSON_PATCH_OPERATIONS {
        return Err(PatchError::TooManyOperations(operations.len()));
    }
    let mut patched = json::Patched::new(doc.clone());
    for operation in operations {
        patched.apply(operation)?;
    }
    let patched = patched.into_object();
    if too_deep(&patched) { Err(PatchError::TooDeep) } else { Ok(patched) }
}

/// Makes integers of floats without a fraction, where they fit: what reads YAML or converts patches does so in Kubernetes.
pub fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or_default();
            // Beyond, not every integer has a float of its own, and text has an exponent.
            if float.fract() == 0.0 && float.abs() < 9e18 {
                #[expect(clippy::cast_possible_truncation, reason = "whole and within bounds")]
                let whole = float as i64;
                *value = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

/// What the reader of Kubernetes says to a value of the wrong type.
pub fn cannot_unmarshal(found: &Value, wanted: &str) -> String {
    let found = json_type(found);
    format!("json: cannot unmarshal {found} into Go value of type {wanted}")
}

/// How the reader of Kubernetes calls the type of a value.
fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Bytes of its JSON text, near enough to limit growth.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>() + 2
        }
    }
}

/// RFC 7386. The result of a patch that is no object is the patch itself; see [`merge_patch_object`] for requests.
pub fn merge_patch(doc: &Value, patch: &Value) -> Value {
    let mut merged = doc.clone();
    merge(&mut merged, patch);
    merged
}

fn merge(doc: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *doc = patch.clone();
        return;
    };
    if !doc.is_object() {
        *doc = Value::Object(Map::new());
    }
    let Value::Object(members) = doc else { return };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name.as_str()).or_insert(Value::Null), change);
        }
    }
}

/// [`merge_patch`] for a request: 400 when the patch is not an object.
pub fn merge_patch_object(doc: &Value, patch: &Value) -> Result<Value, ApiError> {
    if patch.is_object() { Ok(merge_patch(doc, patch)) } else { Err(PatchError::NotAnObject.into()) }
}

/// Strategic merge patch with the merge rules of a built-in kind. 415 for a kind that has none, 400 or 500 for a malformed
/// patch, as in Kubernetes.
pub fn strategic_merge(gvk: &Gvk, doc: &Value, patch: &Value) -> Result<Value, ApiError> {
    let Some(message) = schema().by_gvk(&gvk.group, &gvk.version, &gvk.kind) else {
        return Err(PatchError::NoStrategy(gvk.kind.to_string()).into());
    };
    let empty = Map::new();
    let patch = match patch {
        Value::Null => &empty,
        Value::Object(patch) => patch,
        _ => return Err(PatchError::NotAnObject.into()),
    };
    let original = doc.as_object().cloned().unwrap_or_default();
    let merged = strategic::merge_object(original, patch.clone(), Some(message))?;
    Ok(Value::Object(merged))
}
