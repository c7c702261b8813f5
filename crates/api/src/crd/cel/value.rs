//! Values while a rule runs. Data of the object stays where it is and is typed by its schema when it is looked at.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use jiff::Timestamp;
use kube_cel::cel;
use serde_json::{Map, Value};

use super::super::schema::{Additional, ListKind, Node, Type as JsonType};
use super::expr::Literal;
use super::time;
use super::types::{escape, unescape};

/// Largest compiled pattern.
pub(super) const REGEX_BYTES_MAX: usize = 256 << 10;

/// Text that is borrowed where it can be.
#[derive(Clone, Debug)]
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Shared(Arc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
        }
    }
}

/// A key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Str(Arc<str>),
}

/// Part of the object with its schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Data<'a> {
    pub(super) value: &'a Value,
    pub(super) node: &'a Node,
    /// `apiVersion`, `kind` and `metadata` are there whatever the schema says.
    pub(super) resource: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Val<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    Str(Text<'a>),
    Bytes(Arc<[u8]>),
    Timestamp(Timestamp),
    Duration(i64),
    List(Arc<Vec<Val<'a>>>),
    Map(Arc<BTreeMap<Key, Val<'a>>>),
    /// A list or object of the data.
    Data(Data<'a>),
    /// Data that the schema says nothing about; it can only be compared.
    Unknown(&'a Value),
    Optional(Option<Arc<Val<'a>>>),
    /// A type by name.
    Type(&'static str),
    /// Values of the Kubernetes libraries.
    Foreign(cel::Value),
}

/// An error as the language words it.
pub(super) type Outcome<'a> = Result<Val<'a>, String>;

static TEXT_NODE: LazyLock<Node> = LazyLock::new(|| Node { kind: Some(JsonType::String), ..Node::default() });
static META_NODE: LazyLock<Node> = LazyLock::new(|| Node {
    kind: Some(JsonType::Object),
    properties: ["name", "generateName"].map(|name| (name.to_owned(), TEXT_NODE.clone())).into(),
    ..Node::default()
});

impl<'a> Data<'a> {
    /// The schema of a member, by its real name.
    pub(super) fn member(&self, name: &str) -> Option<&'a Node> {
        match name {
            "apiVersion" | "kind" if self.resource => return Some(&TEXT_NODE),
            "metadata" if self.resource => return Some(&META_NODE),
            _ => {}
        }
        match (self.node.properties.get(name), &self.node.additional) {
            (Some(node), _) => Some(node),
            (None, Additional::Values(node)) if !self.is_object() => Some(node),
            _ => None,
        }
    }

    /// Whether the data has fields rather than keys.
    pub(super) fn is_object(&self) -> bool {
        self.resource || !self.node.properties.is_empty()
    }

    pub(super) fn map(&self) -> Option<&'a Map<String, Value>> {
        self.value.as_object()
    }

    pub(super) fn list(&self) -> Option<&'a [Value]> {
        self.value.as_array().map(Vec::as_slice)
    }

    /// The member behind an identifier or key.
    pub(super) fn get(&self, key: &str) -> Option<Outcome<'a>> {
        let object = self.is_object();
        let name = if object { unescape(key) } else { key.to_owned() };
        let value = self.map()?.get(&name)?;
        if object && value.is_null() {
            return None;
        }
        self.member(&name).map(|node| typed(value, node))
    }

    /// Item of a list.
    pub(super) fn item(&self, index: usize) -> Option<Outcome<'a>> {
        let value = self.list()?.get(index)?;
        Some(match self.node.items.as_deref() {
            Some(node) => typed(value, node),
            None => Ok(Val::Unknown(value)),
        })
    }

    /// Keys that rules may see.
    pub(super) fn keys(&self) -> Vec<Val<'a>> {
        let object = self.is_object();
        let visible = |name: &'a String| {
            self.member(name)?;
            let escaped = if object { escape(name) } else { None };
            Some(match escaped {
                Some(escaped) if escaped != *name => Val::text(escaped),
                _ => Val::Str(Text::Borrowed(name)),
            })
        };
        self.map().into_iter().flat_map(Map::keys).filter_map(visible).collect()
    }

    /// How items of a list are told apart.
    pub(super) fn list_kind(&self) -> &'a ListKind {
        &self.node.list
    }
}

/// Data of a schema as a value.
pub(super) fn typed<'a>(value: &'a Value, node: &'a Node) -> Outcome<'a> {
    if value.is_null() {
        return if node.nullable {
            Ok(Val::Null)
        } else {
            Err("invalid data, got null for schema with nullable=false".to_owned())
        };
    }
    let data = || Val::Data(Data { value, node, resource: node.embedded });
    let wrong = |wanted: &str| Err(format!("invalid data, expected {wanted}"));
    if node.int_or_string {
        return match value {
            Value::String(text) => Ok(Val::Str(Text::Borrowed(text))),
            Value::Number(number) => integer(number).ok_or_else(|| "invalid data, expected int".to_owned()),
            _ => wrong("XIntOrString value to be either a string or integer"),
        };
    }
    match (node.kind, value) {
        (Some(JsonType::Object), Value::Object(_)) | (Some(JsonType::Array), Value::Array(_)) => Ok(data()),
        (Some(JsonType::Object), _) => wrong("a map for the provided schema with type=object"),
        (Some(JsonType::Array), _) => wrong("an array for the provided schema with type=array"),
        (Some(JsonType::String), Value::String(text)) => string(text, node.format.as_deref()),
        (Some(JsonType::Integer), Value::Number(number)) => {
            integer(number).ok_or_else(|| "invalid data, expected int".to_owned())
        }
        (Some(JsonType::Number), Value::Number(number)) => {
            number.as_f64().map(Val::Double).ok_or_else(|| "invalid data, expected float".to_owned())
        }
        (Some(JsonType::Boolean), Value::Bool(value)) => Ok(Val::Bool(*value)),
        (Some(kind), _) => wrong(kind.name()),
        (None, _) => Ok(Val::Unknown(value)),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "only whole numbers within the range come here")]
fn integer<'a>(number: &serde_json::Number) -> Option<Val<'a>> {
    if let Some(value) = number.as_i64() {
        return Some(Val::Int(value));
    }
    let float = number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < 9.2e18)?;
    Some(Val::Int(float as i64))
}

fn string<'a>(text: &'a str, format: Option<&str>) -> Outcome<'a> {
    Ok(match format {
        Some("duration") => {
            Val::Duration(time::parse_loose_duration(text).ok_or_else(|| format!("Invalid duration {text}"))?)
        }
        Some("date") => Val::Timestamp(
            time::parse_date(text).ok_or_else(|| format!("Invalid date formatted string {text}"))?,
        ),
        Some("date-time") => Val::Timestamp(
            time::parse_timestamp(text)
                .ok_or_else(|| format!("Invalid date-time formatted string {text}"))?,
        ),
        Some("byte") => {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text);
            Val::Bytes(bytes.map_err(|e| format!("Invalid byte formatted string {text}: {e}"))?.into())
        }
        _ => Val::Str(Text::Borrowed(text)),
    })
}

impl<'a> Val<'a> {
    pub(super) fn text(text: impl Into<Arc<str>>) -> Self {
        Self::Str(Text::Shared(text.into()))
    }

    pub(super) fn list(items: Vec<Self>) -> Self {
        Self::List(Arc::new(items))
    }

    pub(super) fn some(value: Self) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    pub(super) fn of(literal: &'a Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Int(value) => Self::Int(*value),
            Literal::Uint(value) => Self::Uint(*value),
            Literal::Double(value) => Self::Double(*value),
            Literal::Str(text) => Self::Str(Text::Borrowed(text)),
            Literal::Bytes(bytes) => Self::Bytes(bytes.clone()),
        }
    }

    /// Characters, bytes, items or entries; 1 for everything else.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Str(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(items) => items.len(),
            Self::Map(entries) => entries.len(),
            Self::Data(data) => data.list().map_or_else(|| data.map().map_or(0, Map::len), <[Value]>::len),
            Self::Optional(Some(inner)) => inner.size(),
            _ => 1,
        }
    }

    /// The name of its type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null_type",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Uint(_) => "uint",
            Self::Double(_) => "double",
            Self::Str(_) => "string",
            Self::Bytes(_) => "bytes",
            Self::Timestamp(_) => "google.protobuf.Timestamp",
            Self::Duration(_) => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Data(data) => {
                if data.list().is_some() {
                    "list"
                } else {
                    "map"
                }
            }
            Self::Unknown(_) => "unknown",
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
            Self::Foreign(_) => "opaque",
        }
    }

    /// The value as a key of a map.
    pub(super) fn key(&self) -> Option<Key> {
        Some(match self {
            Self::Bool(value) => Key::Bool(*value),
            Self::Int(value) => Key::Int(*value),
            Self::Uint(value) => i64::try_from(*value).map_or(Key::Uint(*value), Key::Int),
            Self::Double(value) => Key::Int(whole(*value)?),
            Self::Str(text) => Key::Str(Arc::from(&**text)),
            _ => return None,
        })
    }

    /// Whether it is empty or zero.
    pub(super) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Uint(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::Duration(nanos) => *nanos == 0,
            Self::Optional(inner) => inner.is_none(),
            Self::Str(_) | Self::Bytes(_) | Self::List(_) | Self::Map(_) | Self::Data(_) => self.size() == 0,
            _ => false,
        }
    }
}

impl Key {
    pub(super) fn value<'a>(&self) -> Val<'a> {
        match self {
            Self::Bool(value) => Val::Bool(*value),
            Self::Int(value) => Val::Int(*value),
            Self::Uint(value) => Val::Uint(*value),
            Self::Str(text) => Val::text(text.clone()),
        }
    }
}

/// A double without a fraction as an integer.
#[allow(clippy::cast_possible_truncation, reason = "only whole numbers within the range are converted")]
pub(super) fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() < 9.2e18).then_some(value as i64)
}

/// Order of two scalars; numbers compare across their types.
#[allow(clippy::cast_precision_loss, reason = "the language compares integers with doubles as doubles")]
pub(super) fn order(a: &Val<'_>, b: &Val<'_>) -> Option<Ordering> {
    match (a, b) {
        (Val::Bool(a), Val::Bool(b)) => Some(a.cmp(b)),
        (Val::Int(a), Val::Int(b)) | (Val::Duration(a), Val::Duration(b)) => Some(a.cmp(b)),
        (Val::Uint(a), Val::Uint(b)) => Some(a.cmp(b)),
        (Val::Int(a), Val::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Val::Uint(a), Val::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Val::Double(a), Val::Double(b)) => a.partial_cmp(b),
        (Val::Double(a), Val::Int(b)) => a.partial_cmp(&(*b as f64)),
        (Val::Double(a), Val::Uint(b)) => a.partial_cmp(&(*b as f64)),
        (Val::Int(a), Val::Double(b)) => (*a as f64).partial_cmp(b),
        (Val::Uint(a), Val::Double(b)) => (*a as f64).partial_cmp(b),
        (Val::Str(a), Val::Str(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Val::Bytes(a), Val::Bytes(b)) => Some(a.cmp(b)),
        (Val::Timestamp(a), Val::Timestamp(b)) => Some(a.cmp(b)),
        _ => None,
    }
}
