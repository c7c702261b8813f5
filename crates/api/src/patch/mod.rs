//! The three patches of Kubernetes on JSON objects: JSON patch, merge patch, strategic merge patch.
//!
//! Pure functions; whether the result is valid, and which fields a client may change, is decided elsewhere.
//! Server-side apply is in [`crate::apply`].

mod order;
mod strategic;
#[cfg(test)]
mod tests;

use json_patch::{AddOperation, PatchErrorKind, PatchOperation};
use serde_json::{Map, Value};

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
    #[error("invalid value for $patch at {path:?}: {value}")]
    UnknownDirective {
        /// Where.
        path: String,
        /// The value.
        value: String,
    },
    /// `$retainKeys`, `$setElementOrder` or `$deleteFromPrimitiveList` with a value that is no list, or that does not
    /// cover the fields of the patch.
    #[error("invalid patch format of {directive} at {path:?}: {problem}")]
    BadDirective {
        /// The directive.
        directive: &'static str,
        /// Where.
        path: String,
        /// What is wrong.
        problem: &'static str,
    },
    /// An item of a keyed list lacks the key.
    #[error("map at {path:?} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The list.
        path: String,
        /// The key.
        key: &'static str,
    },
    /// A list holds values of more than one type, or lists.
    #[error("list at {path:?} holds values of different types")]
    MixedList {
        /// The list.
        path: String,
    },
}

impl From<PatchError> for ApiError {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::TooManyOperations(_) | PatchError::CopiesTooMuch => Self::too_large(error),
            // Kubernetes does not say which operation it was.
            PatchError::Operation(_) => Self::unprocessable(),
            PatchError::NoMergeKey { .. } | PatchError::MixedList { .. } => {
                let mut unprocessable = Self::unprocessable();
                unprocessable.message = format!("{}: {error}", unprocessable.message);
                unprocessable
            }
            PatchError::NoStrategy(_) => {
                Self::unsupported_media_type(&["application/json-patch+json", "application/merge-patch+json"])
            }
            PatchError::Malformed(_)
            | PatchError::NotAnObject
            | PatchError::TooDeep
            | PatchError::UnknownDirective { .. }
            | PatchError::BadDirective { .. } => Self::bad_request(error.to_string()),
        }
    }
}

/// RFC 6902. 400 for what is no JSON patch, 413 for one that is too large, 422 for one that does not fit the object.
pub fn json_patch(doc: &Value, patch: &Value) -> Result<Value, ApiError> {
    Ok(apply_operations(doc, patch)?)
}

fn apply_operations(doc: &Value, patch: &Value) -> Result<Value, PatchError> {
    let operations = match patch {
        Value::Null => return Ok(doc.clone()),
        Value::Array(operations) => operations,
        other => return Err(PatchError::Malformed(cannot_unmarshal(other, "[]handlers.jsonPatchOp"))),
    };
    if operations.len() > MAX_JSON_PATCH_OPERATIONS {
        return Err(PatchError::TooManyOperations(operations.len()));
    }
    if let Some(other) = operations.iter().find(|operation| !operation.is_object()) {
        return Err(PatchError::Malformed(cannot_unmarshal(other, "handlers.jsonPatchOp")));
    }
    let operations: Vec<PatchOperation> = match serde_json::from_value(patch.clone()) {
        Ok(operations) => operations,
        Err(error) => return Err(PatchError::Operation(error.to_string())),
    };
    let mut patched = doc.clone();
    let mut copied = 0_usize;
    for operation in &operations {
        if let PatchOperation::Copy(copy) = operation
            && let Ok(source) = copy.from.resolve(&patched)
        {
            copied = copied.saturating_add(size(source));
            if copied > MAX_BODY_BYTES {
                return Err(PatchError::CopiesTooMuch);
            }
        }
        if tests_for_absence(operation, &patched) {
            continue;
        }
        let operation = &adding(operation, &patched);
        if let Err(error) = json_patch::patch(&mut patched, std::slice::from_ref(operation)) {
            return Err(PatchError::Operation(explain(operation, &error.kind)));
        }
    }
    if too_deep(&patched) { Err(PatchError::TooDeep) } else { Ok(patched) }
}

/// To Kubernetes a member that is not there is null: clients test for it before they add the first finalizer. RFC 6902 does
/// not say so.
fn tests_for_absence(operation: &PatchOperation, object: &Value) -> bool {
    let PatchOperation::Test(test) = operation else { return false };
    let there =
        |path: Option<&json_patch::jsonptr::Pointer>| path.is_some_and(|path| path.resolve(object).is_ok());
    test.value.is_null() && !there(Some(&test.path)) && there(test.path.parent())
}

/// A `replace` of a member that is not there adds it, as in Kubernetes.
fn adding(operation: &PatchOperation, doc: &Value) -> PatchOperation {
    if let PatchOperation::Replace(replace) = operation
        && let Some((parent, _)) = replace.path.split_back()
        && parent.resolve(doc).is_ok_and(Value::is_object)
    {
        return PatchOperation::Add(AddOperation {
            path: replace.path.clone(),
            value: replace.value.clone(),
        });
    }
    operation.clone()
}

/// What the reader of Kubernetes says to a value of the wrong type.
pub fn cannot_unmarshal(found: &Value, wanted: &str) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {found} into Go value of type {wanted}")
}

fn explain(operation: &PatchOperation, error: &PatchErrorKind) -> String {
    match (operation, error) {
        (PatchOperation::Test(test), PatchErrorKind::TestFailed) => {
            format!("testing value {} failed: test failed", test.path)
        }
        (operation, error) => format!("{} operation does not apply: {error}", operation.path()),
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
    json_patch::merge(&mut merged, patch);
    merged
}

/// [`merge_patch`] for a request: 400 when the patch is not an object.
pub fn merge_patch_object(doc: &Value, patch: &Value) -> Result<Value, ApiError> {
    if patch.is_object() { Ok(merge_patch(doc, patch)) } else { Err(PatchError::NotAnObject.into()) }
}

/// Strategic merge patch with the merge rules of a built-in kind. 415 for a kind that has none, 400 for a malformed
/// patch, 422 for one that does not fit.
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
    let merged =
        strategic::merge_object(original, patch.clone(), Some(message), &mut strategic::Path::default())?;
    Ok(Value::Object(merged))
}
