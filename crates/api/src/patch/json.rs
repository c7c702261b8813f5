//! JSON patch as Kubernetes applies it, which is RFC 6902 but for a few liberties that clients have come to use.
//!
//! The liberties: a member that is not there is null to `test` and `copy`; `replace` of a member that is not there adds it; a
//! missing `value` is null; indices may be negative and count from the end, and may have a sign and leading zeros; `~` is
//! itself where it is neither `~0` nor `~1`.
//!
//! Invariant: the object does not grow beyond the size of a request by `copy`.

use serde_json::{Map, Value};

use super::PatchError;
use crate::schema::MAX_BODY_BYTES;

/// The fields of an operation.
const FIELDS: &[&str] = &["op", "path", "from", "value"];

/// An operation that does not fit the object. Clients do not hear which one it was; see [`PatchError::Operation`].
fn misfit(why: impl Into<String>) -> PatchError {
    PatchError::Operation(why.into())
}

/// The operations of a patch; null in their midst is an operation of no kind.
pub(super) fn operations(patch: &Value) -> Result<Vec<&Map<String, Value>>, PatchError> {
    static NOTHING: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    let wrong = |found: &Value, wanted: &str| PatchError::Malformed(super::cannot_unmarshal(found, wanted));
    let list = match patch {
        Value::Null => return Ok(Vec::new()),
        Value::Array(list) => list,
        other => return Err(wrong(other, "[]handlers.jsonPatchOp")),
    };
    let mut operations = Vec::with_capacity(list.len());
    for item in list {
        let operation = match item {
            Value::Object(operation) => operation,
            Value::Null => &NOTHING,
            other => return Err(wrong(other, "handlers.jsonPatchOp")),
        };
        for field in ["op", "path", "from"] {
            if let Some(found) = operation.get(field).filter(|found| !found.is_string() && !found.is_null()) {
                let found = super::json_type(found);
                return Err(PatchError::Malformed(format!(
                    "json: cannot unmarshal {found} into Go struct field jsonPatchOp.{field} of type string"
                )));
            }
        }
        operations.push(operation);
    }
    Ok(operations)
}

/// Fields that no operation has, as Kubernetes reports them.
pub fn unknown_operation_fields(patch: &Value) -> Vec<String> {
    let mut unknown = Vec::new();
    for (index, operation) in patch.as_array().into_iter().flatten().enumerate() {
        let fields = operation.as_object().into_iter().flat_map(Map::keys);
        let strange = fields.filter(|field| !FIELDS.contains(&field.as_str()));
        unknown.extend(strange.map(|field| format!("unknown field \"[{index}].{field}\"")));
    }
    unknown
}

/// Applies operations one after the other.
#[derive(Debug)]
pub(super) struct Patched {
    object: Value,
    /// Bytes that `copy` added.
    copied: usize,
}

impl Patched {
    pub(super) fn new(object: Value) -> Self {
        Self { object, copied: 0 }
    }

    pub(super) fn into_object(self) -> Value {
        self.object
    }

    pub(super) fn apply(&mut self, operation: &Map<String, Value>) -> Result<(), PatchError> {
        let text = |field: &str| operation.get(field).and_then(Value::as_str);
        let path = || text("path").ok_or_else(|| misfit("operation without a path"));
        let from = || text("from").ok_or_else(|| misfit("operation without a source"));
        let value = || operation.get("value").cloned().unwrap_or_default();
        match text("op").unwrap_or_default() {
            "add" => self.add(path()?, value()),
            "remove" => self.remove(path()?).map(drop),
            "replace" => self.replace(path()?, value()),
            "move" => {
                let moved = self.remove(from()?)?;
                self.add(path()?, moved)
            }
            "copy" => {
                let source = self.get(from()?)?.clone();
                self.copied = self.copied.saturating_add(super::size(&source));
                if self.copied > MAX_BODY_BYTES {
                    return Err(PatchError::CopiesTooMuch);
                }
                self.add(path()?, source)
            }
            "test" => self.test(path()?, &value()),
            other => Err(misfit(format!("unknown operation {other:?}"))),
        }
    }

    fn add(&mut self, path: &str, value: Value) -> Result<(), PatchError> {
        let (parent, key) = self.parent(path)?;
        match parent {
            Value::Object(members) => {
                members.insert(key, value);
            }
            Value::Array(items) if key == "-" => items.push(value),
            Value::Array(items) => {
                let at = position(&key, items.len() + 1)?;
                items.insert(at, value);
            }
            _ => return Err(misfit(format!("{path} is in no list and no object"))),
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) -> Result<Value, PatchError> {
        let (parent, key) = self.parent(path)?;
        match parent {
            Value::Object(members) => {
                members.remove(&key).ok_or_else(|| misfit(format!("there is no {path}")))
            }
            Value::Array(items) => Ok(items.remove(position(&key, items.len())?)),
            _ => Err(misfit(format!("{path} is in no list and no object"))),
        }
    }

    fn replace(&mut self, path: &str, value: Value) -> Result<(), PatchError> {
        if path.is_empty() {
            if !(value.is_object() || value.is_array()) {
                return Err(misfit("the whole object can be replaced by an object only"));
            }
            self.object = value;
            return Ok(());
        }
        let (parent, key) = self.parent(path)?;
        match parent {
            Value::Object(members) => {
                members.insert(key, value);
            }
            Value::Array(items) => {
                let at = position(&key, items.len())?;
                items[at] = value;
            }
            _ => return Err(misfit(format!("{path} is in no list and no object"))),
        }
        Ok(())
    }

    fn test(&mut self, path: &str, wanted: &Value) -> Result<(), PatchError> {
        let found = if path.is_empty() { &self.object } else { self.get(path)? };
        if found == wanted { Ok(()) } else { Err(misfit(format!("{path} has another value"))) }
    }

    /// The value there; a member that an object lacks is null.
    fn get(&mut self, path: &str) -> Result<&Value, PatchError> {
        let (parent, key) = self.parent(path)?;
        match parent {
            Value::Object(members) => Ok(members.get(&key).unwrap_or(&Value::Null)),
            Value::Array(items) => Ok(&items[position(&key, items.len())?]),
            _ => Err(misfit(format!("{path} is in no list and no object"))),
        }
    }

    /// The container of what the path names, and the last part of the path.
    fn parent(&mut self, path: &str) -> Result<(&mut Value, String), PatchError> {
        let missing = || misfit(format!("nothing holds {path}"));
        let mut parts: Vec<String> = path.split('/').skip(1).map(unescape).collect();
        let key = parts.pop().ok_or_else(missing)?;
        let mut container = &mut self.object;
        for part in parts {
            container = match container {
                Value::Object(members) => members.get_mut(&part).ok_or_else(missing)?,
                Value::Array(items) => {
                    let at = position(&part, items.len())?;
                    &mut items[at]
                }
                _ => return Err(missing()),
            };
        }
        Ok((container, key))
    }
}

/// A name of a path: `~1` is a slash, `~0` a tilde. From the left, so that `~01` is `~1`.
fn unescape(part: &str) -> String {
    let mut name = String::with_capacity(part.len());
    let mut rest = part;
    while let Some(at) = rest.find('~') {
        name.push_str(&rest[..at]);
        let (c, length) = match rest.as_bytes().get(at + 1) {
            Some(b'0') => ('~', 2),
            Some(b'1') => ('/', 2),
            _ => ('~', 1),
        };
        name.push(c);
        rest = &rest[at + length..];
    }
    name.push_str(rest);
    name
}

/// The position that an index names among `count`; a negative one counts from the end.
fn position(index: &str, count: usize) -> Result<usize, PatchError> {
    let outside = || misfit(format!("{index} is no index of a list of {count}"));
    let number: i64 = index.parse().map_err(|_not_a_number| outside())?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let at = if number < 0 { number.saturating_add(count) } else { number };
    if at < 0 || at >= count {
        return Err(outside());
    }
    usize::try_from(at).map_err(|_too_large| outside())
}
