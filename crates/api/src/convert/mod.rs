//! Kinds that are stored once and seen through two versions: pure conversions between the two.
//!
//! Invariant: what the stored version holds survives a look through the other one and back.

pub(crate) mod event;
pub(crate) mod horizontalpodautoscaler;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

/// Renames top-level members.
fn rename(object: &mut Value, pairs: &[(&str, &str)], forth: bool) {
    let Some(map) = object.as_object_mut() else { return };
    for (there, here) in pairs {
        let (from, to) = if forth { (there, here) } else { (here, there) };
        if let Some(value) = map.remove(*from) {
            map.insert((*to).to_owned(), value);
        }
    }
}

/// Takes an annotation out and parses it as JSON; what does not parse stays where it is.
fn take_json(object: &mut Value, key: &str) -> Option<Value> {
    let annotations = object.pointer_mut("/metadata/annotations")?.as_object_mut()?;
    let parsed = serde_json::from_str(annotations.get(key)?.as_str()?).ok()?;
    annotations.remove(key);
    if annotations.is_empty()
        && let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.remove("annotations");
    }
    Some(parsed)
}

/// Keeps a value as JSON in an annotation.
fn put_json(object: &mut Value, key: &str, value: &Value) {
    let Some(metadata) = crate::meta::metadata_mut(object) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Map::new()));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(key.to_owned(), Value::String(value.to_string()));
    }
}
