//! Validation of Events.

use serde_json::Value;

use super::text;
use crate::meta;
use crate::status::FieldError;

pub(crate) fn validate(event: &Value) -> Vec<FieldError> {
    let involved = event.get("involvedObject").unwrap_or(&Value::Null);
    let (namespace, about) = (meta::namespace(event), text(involved, "namespace"));
    // Events about things beside all namespaces are kept in `default`.
    let fits = about == namespace || (about.is_empty() && namespace == "default");
    if fits {
        return Vec::new();
    }
    vec![FieldError::invalid("involvedObject.namespace", about, "does not match event.namespace")]
}
