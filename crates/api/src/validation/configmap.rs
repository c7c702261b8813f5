//! Validation of `ConfigMaps`.

use serde_json::{Map, Value};

use super::{Path, immutable_when_sealed, keys};
use crate::status::FieldError;

/// All entries of a `ConfigMap` or Secret together.
pub(super) const DATA_BYTES_MAX: usize = 1024 * 1024;

pub(crate) fn validate(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let empty = Map::new();
    let map_at = |key: &str| object.get(key).and_then(Value::as_object).unwrap_or(&empty);
    let (data, binary) = (map_at("data"), map_at("binaryData"));
    keys(data, &Path::new("data"), &mut errors);
    keys(binary, &Path::new("binaryData"), &mut errors);
    for key in data.keys().filter(|key| binary.contains_key(*key)) {
        let path = Path::new("data").key(key);
        let detail = "duplicate of key present in binaryData";
        errors.push(FieldError::invalid(path.to_string(), key.as_str(), detail));
    }
    let size = |map: &Map<String, Value>| map.values().filter_map(Value::as_str).map(str::len).sum::<usize>();
    // Base64 makes four bytes of three.
    if size(data) + size(binary) / 4 * 3 > DATA_BYTES_MAX {
        errors.push(FieldError::too_long("", DATA_BYTES_MAX));
    }
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    immutable_when_sealed(old, new, &["data", "binaryData"])
}
