//! The stored form of an object and its resourceVersion.
//!
//! Invariants:
//! 1. A stored value is one JSON object that starts with `{"metadata":{` and whose metadata has no resourceVersion; it
//!    always carries apiVersion and kind.
//! 2. [`stamp`] splices the revision in right behind that prefix, so it never parses and never shifts meaning.
//! 3. [`encode`] then [`stamp`] then [`decode`] gives the object back, with its resourceVersion.

use bytes::{BufMut, Bytes, BytesMut};
use konzert_api::ApiError;
use konzert_store::Revision;
use serde_json::{Map, Value};

const PREFIX: &[u8] = b"{\"metadata\":{";

/// Inserts the resourceVersion into a stored value. Values that are not ours are passed through.
pub fn stamp(value: &Bytes, revision: Revision) -> Bytes {
    let Some(rest) = value.strip_prefix(PREFIX) else { return value.clone() };
    let mut stamped = BytesMut::with_capacity(value.len() + 42);
    stamped.put_slice(PREFIX);
    stamped.put_slice(format!("\"resourceVersion\":\"{}\"", revision.0).as_bytes());
    if rest.first() != Some(&b'}') {
        stamped.put_u8(b',');
    }
    stamped.put_slice(rest);
    stamped.freeze()
}

/// Replaces the resourceVersion of a stamped value: for a watcher that lost sight of an object, the old state at the
/// revision at which it went out of sight.
pub(crate) fn restamp(stamped: &Bytes, revision: Revision) -> Bytes {
    match unstamp(stamped) {
        Some(value) => stamp(&value, revision),
        None => stamped.clone(),
    }
}

/// Undoes [`stamp`].
fn unstamp(stamped: &Bytes) -> Option<Bytes> {
    let rest = stamped.strip_prefix(PREFIX)?.strip_prefix(b"\"resourceVersion\":\"")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let rest = rest[digits..].strip_prefix(b"\"")?;
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    let mut value = BytesMut::with_capacity(PREFIX.len() + rest.len());
    value.put_slice(PREFIX);
    value.put_slice(rest);
    Some(value.freeze())
}

/// The stored form of `object`: metadata first, without resourceVersion.
pub(crate) fn encode(object: &Value) -> Result<Bytes, ApiError> {
    let empty = Map::new();
    let metadata = object.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(PREFIX);
    let kept = metadata.iter().filter(|(k, _)| k.as_str() != "resourceVersion");
    put_members(&mut out, kept)?;
    out.push(b'}');
    let fields = object.as_object().into_iter().flatten().filter(|(k, _)| k.as_str() != "metadata");
    let mut rest = Vec::with_capacity(1024);
    put_members(&mut rest, fields)?;
    if !rest.is_empty() {
        out.push(b',');
        out.append(&mut rest);
    }
    out.push(b'}');
    Ok(Bytes::from(out))
}

fn put_members<'a>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = (&'a String, &'a Value)>,
) -> Result<(), ApiError> {
    for (n, (key, value)) in members.enumerate() {
        if n > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, key).map_err(ApiError::internal)?;
        out.push(b':');
        serde_json::to_writer(&mut *out, value).map_err(ApiError::internal)?;
    }
    Ok(())
}

/// The object that stored bytes stand for.
pub(crate) fn decode(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice(bytes)
        .map_err(|e| ApiError::internal(format!("a stored object cannot be read: {e}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stamping_and_reading_back() {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"metadata": "{\"metadata\":{"},
            "metadata": {"name": "a", "resourceVersion": "3", "uid": "u"},
        });
        let stored = encode(&object).unwrap();
        assert!(stored.starts_with(PREFIX));
        assert!(!std::str::from_utf8(&stored).unwrap().contains("resourceVersion"));
        let mut want = object.clone();
        want["metadata"]["resourceVersion"] = json!("12");
        assert_eq!(decode(&stamp(&stored, Revision(12))).unwrap(), want);
    }

    #[test]
    fn restamping_changes_the_revision_only() {
        let stored = encode(&json!({"kind": "X", "metadata": {"name": "a"}})).unwrap();
        assert_eq!(restamp(&stamp(&stored, Revision(3)), Revision(44)), stamp(&stored, Revision(44)));
        let bare = encode(&json!({"kind": "X", "metadata": {}})).unwrap();
        assert_eq!(restamp(&stamp(&bare, Revision(3)), Revision(44)), stamp(&bare, Revision(44)));
    }

    #[test]
    fn an_empty_metadata_stays_valid_json() {
        let stored = encode(&json!({"kind": "X", "metadata": {}})).unwrap();
        let stamped = stamp(&stored, Revision(1));
        assert_eq!(decode(&stamped).unwrap()["metadata"]["resourceVersion"], json!("1"));
    }
}
