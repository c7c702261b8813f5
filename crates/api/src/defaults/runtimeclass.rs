//! Defaults of `RuntimeClasses`: amounts in their canonical form.

use serde_json::Value;

use super::object;
use super::podspec::canonical;

pub(crate) fn apply(class: &mut Value) {
    let overhead = class.as_object_mut().and_then(|map| object(map, "overhead"));
    if let Some(amounts) = overhead.and_then(|overhead| object(overhead, "podFixed")) {
        canonical(amounts);
    }
}
