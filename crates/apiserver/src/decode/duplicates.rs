//! Reads YAML into JSON values and remembers the lines on which a key of a map stands again. The last one wins.

use std::cell::RefCell;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::Spanned;

/// Duplicates beyond this are not reported.
const MAX_REPORTED: usize = 100;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Duplicates(RefCell<Vec<String>>);

impl Duplicates {
    pub(super) fn seed(&self) -> Seed<'_> {
        Seed(self)
    }

    pub(super) fn into_problems(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// Reads one value.
#[derive(Clone, Copy)]
pub(super) struct Seed<'a>(&'a Duplicates);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// A key of a map, which JSON wants as text.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let nowhere = Duplicates::default();
        match deserializer.deserialize_any(nowhere.seed())? {
            Value::String(text) => Ok(Self(text)),
            scalar @ (Value::Bool(_) | Value::Number(_)) => Ok(Self(scalar.to_string())),
            Value::Null => Ok(Self("null".to_owned())),
            Value::Array(_) | Value::Object(_) => Err(D::Error::custom("a map key must be a scalar")),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value that JSON has")
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

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("JSON has no such number"))
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

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = access.next_key::<Spanned<Key>>()? {
            let line = key.referenced.line();
            let Key(name) = key.value;
            let value = access.next_value_seed(self)?;
            let mut found = self.0.0.borrow_mut();
            if object.contains_key(&name) && found.len() < MAX_REPORTED {
                found.push(format!("line {line}: key {name:?} already set in map"));
            }
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}
