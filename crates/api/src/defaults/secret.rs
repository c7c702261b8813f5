//! Defaults of Secrets: `stringData` is a way to write `data`.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{object_or_new, set};

pub(crate) fn apply(secret: &mut Value) {
    let Some(map) = secret.as_object_mut() else { return };
    set(map, "type", "Opaque");
    if let Some(Value::Object(plain)) = map.remove("stringData")
        && let Some(data) = object_or_new(map, "data")
    {
        for (key, value) in plain {
            let text = value.as_str().unwrap_or_default();
            data.insert(key, json!(base64::engine::general_purpose::STANDARD.encode(text)));
        }
    }
}
