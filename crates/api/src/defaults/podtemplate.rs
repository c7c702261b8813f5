//! Defaults of `PodTemplates`.

use serde_json::Value;

use super::podspec;

pub(crate) fn apply(object: &mut Value) {
    if let Some(map) = object.as_object_mut() {
        podspec::apply_template(map);
    }
}
