//! Metadata of objects: reading it, and the parts that only the server writes.
//!
//! Does not check names or labels (that is [`crate::validation`]) and takes uid, time and randomness as arguments.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Members of `metadata` that an update cannot change: they are taken from the stored object.
const SERVER_OWNED: &[&str] =
    &["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"];

/// An owner reference, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerReference<'a> {
    /// `v1`, `apps/v1`.
    pub api_version: &'a str,
    /// Kind of the owner.
    pub kind: &'a str,
    /// Name of the owner.
    pub name: &'a str,
    /// Uid of the owner; the name alone is not enough.
    pub uid: &'a str,
    /// Whether the owner manages the object.
    pub controller: bool,
    /// Whether foreground deletion of the owner waits for the object.
    pub block_owner_deletion: bool,
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get("metadata").and_then(|m| m.get(key)).and_then(Value::as_str).unwrap_or_default()
}

/// `metadata.name`, or empty.
pub fn name(object: &Value) -> &str {
    text(object, "name")
}

/// `metadata.namespace`, or empty.
pub fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

/// `metadata.uid`, or empty.
pub fn uid(object: &Value) -> &str {
    text(object, "uid")
}

/// `metadata.resourceVersion`, or empty.
pub fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// `metadata.generation`, or 0.
pub fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0)
}

/// `metadata.labels`.
pub fn labels(object: &Value) -> Option<&Map<String, Value>> {
    object.pointer("/metadata/labels").and_then(Value::as_object)
}

/// One label.
pub fn label<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    labels(object)?.get(key)?.as_str()
}

/// `metadata.annotations`.
pub fn annotations(object: &Value) -> Option<&Map<String, Value>> {
    object.pointer("/metadata/annotations").and_then(Value::as_object)
}

/// One annotation.
pub fn annotation<'a>(object: &'a Value, key: &str) -> Option<&'a str> {
    annotations(object)?.get(key)?.as_str()
}

/// `metadata.finalizers`.
pub fn finalizers(object: &Value) -> Vec<&str> {
    let list = object.pointer("/metadata/finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// `metadata.ownerReferences`.
pub fn owner_references(object: &Value) -> Vec<OwnerReference<'_>> {
    let list = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    list.into_iter().flatten().map(owner_reference).collect()
}

fn owner_reference(value: &Value) -> OwnerReference<'_> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
    let flag = |key: &str| value.get(key).and_then(Value::as_bool).unwrap_or(false);
    OwnerReference {
        api_version: text("apiVersion"),
        kind: text("kind"),
        name: text("name"),
        uid: text("uid"),
        controller: flag("controller"),
        block_owner_deletion: flag("blockOwnerDeletion"),
    }
}

/// `metadata.creationTimestamp`.
pub fn creation_timestamp(object: &Value) -> Option<Timestamp> {
    text(object, "creationTimestamp").parse().ok()
}

/// `metadata.deletionTimestamp`: set once deletion was asked for.
pub fn deletion_timestamp(object: &Value) -> Option<Timestamp> {
    text(object, "deletionTimestamp").parse().ok()
}

/// Whether deletion was asked for.
pub fn is_being_deleted(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// `metadata` for writing; made when missing, `None` when the object is not a JSON object.
pub fn metadata_mut(object: &mut Value) -> Option<&mut Map<String, Value>> {
    let map = object.as_object_mut()?;
    let metadata = map.entry("metadata").or_insert_with(|| json!({}));
    if !metadata.is_object() {
        *metadata = json!({});
    }
    metadata.as_object_mut()
}

/// Sets a member of `metadata`.
pub fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(metadata) = metadata_mut(object) {
        metadata.insert(key.to_owned(), value.into());
    }
}

/// Sets `metadata.generation`.
pub fn set_generation(object: &mut Value, generation: i64) {
    set(object, "generation", generation);
}

/// Sets a label.
pub fn set_label(object: &mut Value, key: &str, value: &str) {
    let Some(metadata) = metadata_mut(object) else { return };
    if let Some(labels) = metadata.entry("labels").or_insert_with(|| json!({})).as_object_mut() {
        labels.insert(key.to_owned(), json!(value));
    }
}

/// RFC 3339 in UTC with whole seconds, as `metav1.Time` is written.
pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What every new object gets, and what a client cannot choose: uid, creationTimestamp, no resourceVersion, no deletion.
pub fn stamp_new(object: &mut Value, uid: &str, now: Timestamp) {
    let Some(metadata) = metadata_mut(object) else { return };
    for key in SERVER_OWNED.iter().chain(&["resourceVersion", "selfLink"]) {
        metadata.remove(*key);
    }
    metadata.insert("uid".to_owned(), json!(uid));
    metadata.insert("creationTimestamp".to_owned(), json!(format_time(now)));
}

/// Keeps the server-owned metadata of `old` in `new`; an update cannot change it.
pub fn carry_over(old: &Value, new: &mut Value) {
    let kept = old.get("metadata").and_then(Value::as_object);
    let Some(metadata) = metadata_mut(new) else { return };
    metadata.remove("selfLink");
    for key in SERVER_OWNED {
        match kept.and_then(|m| m.get(*key)) {
            Some(value) => metadata.insert((*key).to_owned(), value.clone()),
            None => metadata.remove(*key),
        };
    }
}

/// Makes a top-level member of `to` what it is in `from`, missing included.
pub fn copy_member(from: &Value, to: &mut Value, key: &str) {
    let Some(map) = to.as_object_mut() else { return };
    match from.get(key) {
        Some(value) => map.insert(key.to_owned(), value.clone()),
        None => map.remove(key),
    };
}

/// Whether two objects are equal but for some top-level members.
pub fn equal_but(a: &Value, b: &Value, skip: &[&str]) -> bool {
    let (Some(a), Some(b)) = (a.as_object(), b.as_object()) else { return a == b };
    let counted = |m: &Map<String, Value>| m.keys().filter(|k| !skip.contains(&k.as_str())).count();
    counted(a) == counted(b) && a.iter().all(|(k, v)| skip.contains(&k.as_str()) || b.get(k) == Some(v))
}

/// Removes object members that are `null`, at every depth: to Kubernetes they are the same as missing ones. Items of
/// lists stay.
pub fn strip_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, v| !v.is_null());
            map.values_mut().for_each(strip_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(strip_nulls),
        _ => {}
    }
}

/// Letters and digits of generated names: no vowels, so no words, and nothing that looks alike.
const NAME_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const GENERATED_SUFFIX: usize = 5;
/// A generated name is at most a DNS label.
const GENERATED_NAME_MAX: usize = 63;

/// A name from `metadata.generateName`: the base, cut so that five characters from `random` fit.
pub fn generate_name(base: &str, random: u64) -> String {
    let mut end = base.len().min(GENERATED_NAME_MAX - GENERATED_SUFFIX);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    let mut rest = random;
    for _ in 0..GENERATED_SUFFIX {
        let index = usize::try_from(rest % 27).expect("a remainder of 27 fits");
        name.push(char::from(NAME_ALPHABET[index]));
        rest /= 27;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_fit_a_label() {
        assert_eq!(generate_name("web-", 0), "web-bbbbb");
        assert_eq!(generate_name(&"x".repeat(80), u64::MAX).len(), 63);
        assert_ne!(generate_name("web-", 1), generate_name("web-", 27));
    }

    #[test]
    fn an_update_cannot_touch_what_the_server_owns() {
        let old = json!({"metadata": {"uid": "1", "creationTimestamp": "t", "generation": 3, "labels": {"a": "b"}}});
        let mut new = json!({"metadata": {"uid": "2", "deletionTimestamp": "x", "labels": {"c": "d"}}});
        carry_over(&old, &mut new);
        let expected = json!({"metadata": {"uid": "1", "creationTimestamp": "t", "generation": 3, "labels": {"c": "d"}}});
        assert_eq!(new, expected);
    }

    #[test]
    fn nulls_vanish_from_objects_but_not_from_lists() {
        let mut value = json!({"a": null, "b": {"c": null, "d": [null, {"e": null}]}});
        strip_nulls(&mut value);
        assert_eq!(value, json!({"b": {"d": [null, {}]}}));
    }

    #[test]
    fn equality_ignores_only_what_is_named() {
        let a = json!({"metadata": {"x": 1}, "spec": 1});
        assert!(equal_but(
            &a,
            &json!({"metadata": {"x": 2}, "spec": 1, "status": {}}),
            &["metadata", "status"]
        ));
        assert!(!equal_but(&a, &json!({"metadata": {"x": 1}, "spec": 2}), &["metadata", "status"]));
        assert!(!equal_but(&a, &json!({"metadata": {"x": 1}, "spec": 1, "data": 2}), &["metadata"]));
    }

    #[test]
    fn times_have_whole_seconds() {
        let time: Timestamp = "2026-01-02T03:04:05.678Z".parse().expect("a timestamp");
        assert_eq!(format_time(time), "2026-01-02T03:04:05Z");
    }
}
