//! Validation of Secrets. Never puts a value into a message.

use base64::Engine as _;
use serde_json::{Map, Value};

use super::configmap::DATA_BYTES_MAX;
use super::{Path, immutable_when_sealed, keys};
use crate::status::FieldError;

/// Keys that a type of secret must have.
const REQUIRED: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];
/// Of these, one is enough.
const BASIC_AUTH: [&str; 2] = ["username", "password"];
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

pub(crate) fn validate(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let empty = Map::new();
    let data = object.get("data").and_then(Value::as_object).unwrap_or(&empty);
    keys(data, &Path::new("data"), &mut errors);
    let mut size = 0;
    for (key, value) in data {
        let decoded = value.as_str().map(|text| base64::engine::general_purpose::STANDARD.decode(text));
        if let Some(Ok(bytes)) = decoded {
            size += bytes.len();
        } else {
            let path = Path::new("data").key(key).to_string();
            errors.push(FieldError::invalid(path, "<hidden>", "must be base64"));
        }
    }
    if size > DATA_BYTES_MAX {
        errors.push(FieldError::too_long("data", DATA_BYTES_MAX));
    }
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
    for (_, required) in REQUIRED.iter().filter(|(name, _)| *name == kind) {
        for key in required.iter().filter(|key| !data.contains_key(**key)) {
            errors.push(FieldError::required(Path::new("data").key(key).to_string(), ""));
        }
    }
    by_type(object, kind, data, &mut errors);
    errors
}

/// What a type asks for beyond keys that are there.
fn by_type(object: &Value, kind: &str, data: &Map<String, Value>, errors: &mut Vec<FieldError>) {
    let decoded = |key: &str| {
        let text = data.get(key).and_then(Value::as_str)?;
        base64::engine::general_purpose::STANDARD.decode(text).ok()
    };
    match kind {
        "kubernetes.io/service-account-token"
            if crate::meta::annotation(object, ACCOUNT_NAME).is_none_or(str::is_empty) =>
        {
            let path = Path::new("metadata").child("annotations").key(ACCOUNT_NAME);
            errors.push(FieldError::required(path.to_string(), ""));
        }
        "kubernetes.io/basic-auth" if BASIC_AUTH.iter().all(|key| !data.contains_key(*key)) => {
            let missing = BASIC_AUTH.map(|key| Path::new("data").key(key).to_string());
            errors.extend(missing.into_iter().map(|path| FieldError::required(path, "")));
        }
        "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson" => {
            let key = if kind.ends_with("json") { ".dockerconfigjson" } else { ".dockercfg" };
            let parsed = decoded(key).map(|bytes| serde_json::from_slice::<Map<String, Value>>(&bytes));
            if let Some(Err(error)) = parsed {
                let path = Path::new("data").key(key).to_string();
                // Only the kind of the mistake: the text around it would show the secret.
                let detail = format!("invalid JSON at line {} column {}", error.line(), error.column());
                errors.push(FieldError::invalid(path, "<secret contents redacted>", detail));
            }
        }
        _ => {}
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = immutable_when_sealed(old, new, &["data"]);
    if old.get("type") != new.get("type") {
        errors.push(FieldError::immutable("type", new.get("type").unwrap_or(&Value::Null)));
    }
    errors
}
