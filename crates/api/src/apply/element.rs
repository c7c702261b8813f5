//! Path elements: one step from an object to a field or an item, and its spelling in `fieldsV1`.
//!
//! Does not know schemas. Invariants: the order of elements is fields, keys, values, indices; the names inside a key are
//! sorted; [`PathElement::encode`] then [`PathElement::decode`] gives the element back.

use std::cmp::Ordering;
use std::fmt;

use serde_json::{Map, Value};

/// A scalar that names an item of a list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// Whole number or fraction; both compare by value.
    Number(Number),
    /// Text.
    Text(String),
    /// Truth value.
    Bool(bool),
    /// `null`.
    Null,
}

/// A JSON number with a total order.
#[derive(Clone, Copy, Debug)]
pub enum Number {
    /// Fits 64 bits.
    Int(i64),
    /// Everything else.
    Float(f64),
}

impl Number {
    fn as_float(self) -> f64 {
        match self {
            #[allow(clippy::cast_precision_loss, reason = "compared with a float, as Kubernetes does")]
            Self::Int(n) => n as f64,
            Self::Float(n) => n,
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (a, b) => a.as_float().total_cmp(&b.as_float()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Number {}

impl Scalar {
    /// `None` for lists and objects.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(flag) => Some(Self::Bool(*flag)),
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(n) => match (n.as_i64(), n.as_f64()) {
                (Some(n), _) => Some(Self::Number(Number::Int(n))),
                (None, Some(n)) => Some(Self::Number(Number::Float(n))),
                (None, None) => None,
            },
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(flag) => Value::from(*flag),
            Self::Text(text) => Value::from(text.as_str()),
            Self::Number(Number::Int(n)) => Value::from(*n),
            Self::Number(Number::Float(n)) => Value::from(*n),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Number(Number::Int(n)) => write!(f, "{n}"),
            Self::Number(Number::Float(n)) => write!(f, "{n}"),
        }
    }
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathElement {
    /// Member of an object: `f:replicas`.
    Field(String),
    /// Item of a list map, by its keys in order of their names: `k:{"name":"main"}`.
    Key(Vec<(String, Scalar)>),
    /// Item of a set: `v:"x"`.
    Value(Scalar),
    /// Item by position: `i:3`.
    Index(i64),
}

/// Why a path element of `fieldsV1` cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a path element: {why}")]
pub struct PathElementError {
    text: String,
    why: &'static str,
}

impl PathElement {
    /// A member of an object.
    pub fn field(name: &str) -> Self {
        Self::Field(name.to_owned())
    }

    /// As it is written in `fieldsV1`.
    pub fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(keys) => {
                let map: Map<String, Value> =
                    keys.iter().map(|(name, value)| (name.clone(), value.to_value())).collect();
                format!("k:{}", Value::Object(map))
            }
            Self::Value(value) => format!("v:{}", value.to_value()),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// Reads what is written in `fieldsV1`. `Ok(None)`: an element of a kind that is not known, to be skipped.
    ///
    /// # Errors
    /// When the text has no kind, or what follows it is not of that kind.
    pub fn decode(text: &str) -> Result<Option<Self>, PathElementError> {
        let wrong = |why| PathElementError { text: text.chars().take(64).collect(), why };
        let Some((kind, rest)) = text.split_once(':').filter(|(kind, _)| kind.len() == 1) else {
            return Err(wrong("missing colon"));
        };
        let json = || serde_json::from_str::<Value>(rest).map_err(|_e| wrong("not JSON"));
        match kind {
            "f" => Ok(Some(Self::field(rest))),
            "i" => rest.parse().map(|n| Some(Self::Index(n))).map_err(|_e| wrong("not a number")),
            "v" => {
                let value = Scalar::of(&json()?).ok_or_else(|| wrong("not a scalar"))?;
                Ok(Some(Self::Value(value)))
            }
            "k" => {
                let Value::Object(map) = json()? else { return Err(wrong("not an object")) };
                let mut keys = Vec::with_capacity(map.len());
                for (name, value) in map {
                    keys.push((name, Scalar::of(&value).ok_or_else(|| wrong("not a scalar"))?));
                }
                keys.sort();
                Ok(Some(Self::Key(keys)))
            }
            _ => Ok(None),
        }
    }
}

impl fmt::Display for PathElement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(keys) => {
                let keys: Vec<String> = keys.iter().map(|(name, value)| format!("{name}={value}")).collect();
                write!(f, "[{}]", keys.join(","))
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}
