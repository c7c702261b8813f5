//! JSON as requests bring it: bounded in size, depth and number of values, with duplicate fields found.
//!
//! The last of two duplicates wins, as in Kubernetes; what that means for the request is the caller's decision
//! (`fieldValidation`). Numbers keep what `serde_json` can hold.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::catalogue::Gvk;
use crate::status::ApiError;

/// Largest body that is parsed, as in Kubernetes.
pub const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// Largest number of JSON values in one body: a value costs far more memory than its two or three bytes of text.
pub const MAX_VALUES: usize = 500_000;
/// Deepest nesting of an object. Below the 128 levels that JSON readers take, because objects are read inside lists and
/// watch events, too.
pub const MAX_JSON_DEPTH: usize = 100;
/// Duplicates beyond this are not reported.
const MAX_REPORTED: usize = 100;

/// Parses a body. The strings are `duplicate field "spec.foo"`, one per field, in document order.
///
/// Errors are 413 for a body that is too large, and 400 for one that is not JSON, is nested deeper than [`MAX_JSON_DEPTH`] or
/// has too many values.
pub fn parse_json_strict(bytes: &[u8]) -> Result<(Value, Vec<String>), ApiError> {
    if bytes.len() > MAX_BODY_BYTES {
        return Err(ApiError::too_large(format!("limit is {MAX_BODY_BYTES}")));
    }
    let state = State {
        path: RefCell::default(),
        duplicates: RefCell::default(),
        depth: Cell::new(0),
        left: Cell::new(MAX_VALUES),
    };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Seed(&state).deserialize(&mut deserializer).and_then(|value| {
        deserializer.end()?;
        Ok(value)
    });
    match value {
        Ok(value) => Ok((value, state.duplicates.into_inner())),
        Err(error) => Err(ApiError::bad_request(format!("the object provided is not valid JSON: {error}"))),
    }
}

/// The 400 for `fieldValidation=Strict`, from the paths of unknown fields and the messages about duplicates.
pub fn strict_decoding_error(gvk: &Gvk, unknown_paths: &[String], duplicates: &[String]) -> ApiError {
    let unknown = unknown_paths.iter().map(|path| format!("unknown field {path:?}"));
    let all: Vec<String> = duplicates.iter().cloned().chain(unknown).collect();
    let (kind, version) = (&gvk.kind, &gvk.version);
    ApiError::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: strict decoding error: {}",
        all.join(", ")
    ))
}

/// Whether a value that came another way is nested deeper than [`parse_json_strict`] would take.
pub fn too_deep(value: &Value) -> bool {
    fn deeper(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => {
                !items.is_empty()
                    && left.checked_sub(1).is_none_or(|left| items.iter().any(|item| deeper(item, left)))
            }
            Value::Object(entries) => {
                !entries.is_empty()
                    && left
                        .checked_sub(1)
                        .is_none_or(|left| entries.values().any(|value| deeper(value, left)))
            }
            _ => false,
        }
    }
    deeper(value, MAX_JSON_DEPTH)
}

struct State {
    path: RefCell<String>,
    duplicates: RefCell<Vec<String>>,
    depth: Cell<usize>,
    left: Cell<usize>,
}

impl State {
    fn count<E: serde::de::Error>(&self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1);
        self.left.set(left.ok_or_else(|| E::custom(format_args!("more than {MAX_VALUES} values")))?);
        Ok(())
    }

    /// Runs `inner` with `part` at the end of the path.
    fn within<T, E: serde::de::Error>(
        &self,
        part: fmt::Arguments<'_>,
        inner: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        if self.depth.get() >= MAX_JSON_DEPTH {
            return Err(E::custom(format_args!("nested more than {MAX_JSON_DEPTH} levels deep")));
        }
        self.depth.set(self.depth.get() + 1);
        let length = self.path.borrow().len();
        self.path.borrow_mut().push_str(&part.to_string());
        let result = inner();
        self.path.borrow_mut().truncate(length);
        self.depth.set(self.depth.get() - 1);
        result
    }

    fn duplicate(&self, key: &str) {
        let mut duplicates = self.duplicates.borrow_mut();
        if duplicates.len() >= MAX_REPORTED {
            return;
        }
        let path = self.path.borrow();
        let dot = if path.is_empty() { "" } else { "." };
        let message = format!("duplicate field {:?}", format!("{path}{dot}{key}"));
        if !duplicates.contains(&message) {
            duplicates.push(message);
        }
    }
}

#[derive(Clone, Copy)]
struct Seed<'a>(&'a State);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.0.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        loop {
            let index = items.len();
            let item = self.0.within(format_args!("[{index}]"), || access.next_element_seed(self))?;
            let Some(item) = item else { return Ok(Value::Array(items)) };
            items.push(item);
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let dot = if self.0.path.borrow().is_empty() { "" } else { "." };
            let value = self.0.within(format_args!("{dot}{key}"), || access.next_value_seed(self))?;
            if object.contains_key(&key) {
                self.0.duplicate(&key);
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
