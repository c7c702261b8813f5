//! Protobuf request bodies become the JSON that Kubernetes itself would print for them.
//!
//! The envelope is `k8s\0` and `runtime.Unknown{typeMeta, raw}`; the object is transcoded along the schema table, without
//! generated types. Answers are never protobuf.
//!
//! What is omitted: the encoder of Kubernetes always writes scalars that are no pointers in Go, zero or not, so a zero is
//! dropped unless the field is a pointer (`replicas: 0` stays) or required (`containerPort: 0` stays, an empty `name`
//! too). An int-or-string counts as a scalar here. Zero times and empty raw values are dropped. Empty messages stay: `emptyDir: {}` is a value.
//!
//! Invariants: no input panics; size, depth and the number of values are bounded; a tag that the table does not have is
//! counted in [`Decoded::unknown_fields`], never lost in silence.

mod special;
#[cfg(test)]
mod tests;
mod wire;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use crate::schema::{
    Cardinality, Field, FieldKind, MAX_BODY_BYTES, MAX_JSON_DEPTH, MAX_VALUES, Message, Special,
    parse_json_strict, schema, too_deep,
};
use crate::status::ApiError;
use wire::{Reader, WireValue};

/// How the body starts.
const MAGIC: &[u8] = b"k8s\0";
/// Deepest nesting of messages, which is at least that of the JSON: only the schemas of custom resources nest freely.
const MAX_DEPTH: usize = MAX_JSON_DEPTH;

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// `apiVersion` of the envelope.
    pub api_version: String,
    /// `kind` of the envelope.
    pub kind: String,
    /// The object, with `apiVersion` and `kind`.
    pub value: Value,
    /// Number of fields whose tags the schema does not have; their values are not in `value`.
    pub unknown_fields: u64,
}

/// What is wrong with a protobuf body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The body does not start with `k8s\0`.
    #[error("the body does not start with the Kubernetes protobuf prefix")]
    NoPrefix,
    /// Larger than [`MAX_BODY_BYTES`].
    #[error("limit is {MAX_BODY_BYTES}")]
    TooLarge,
    /// The envelope names a type that the schema does not have.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// `apiVersion` of the envelope.
        api_version: String,
        /// `kind` of the envelope.
        kind: String,
    },
    /// The envelope says that its content is neither protobuf nor JSON, or encoded.
    #[error("content type {content_type:?} with encoding {encoding:?} is not supported inside protobuf")]
    UnknownContent {
        /// `contentType` of the envelope.
        content_type: String,
        /// `contentEncoding` of the envelope.
        encoding: String,
    },
    /// Ends in the middle of a value.
    #[error("unexpected end of the body")]
    Truncated,
    /// Not a valid varint, tag or wire type.
    #[error("malformed protobuf: {0}")]
    Malformed(&'static str),
    /// A field's value has the wrong wire type or cannot be what the field says.
    #[error("{message}.{field}: {problem}")]
    Field {
        /// Short name of the message.
        message: String,
        /// JSON name of the field.
        field: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
    /// Nested deeper than the limit.
    #[error("messages are nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
    /// More values than the limit.
    #[error("more than {MAX_VALUES} values")]
    TooManyValues,
    /// JSON inside protobuf (a raw extension, a field set) does not parse.
    #[error("embedded JSON: {0}")]
    EmbeddedJson(String),
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::TooLarge => Self::too_large(error),
            error => Self::bad_request(format!("the object provided is not valid protobuf: {error}")),
        }
    }
}

/// Decodes an enveloped body. 400 when it is not what it says, 413 when it is too large.
pub fn decode(bytes: &[u8]) -> Result<Decoded, ApiError> {
    if bytes.len() > MAX_BODY_BYTES {
        return Err(DecodeError::TooLarge.into());
    }
    let envelope = Envelope::read(bytes)?;
    match envelope.content_type.as_str() {
        "" | "application/vnd.kubernetes.protobuf" if envelope.encoding.is_empty() => {
            let decoded = envelope.transcode(0)?;
            if too_deep(&decoded.value) { Err(DecodeError::TooDeep.into()) } else { Ok(decoded) }
        }
        "application/json" if envelope.encoding.is_empty() => {
            let (value, _) = parse_json_strict(&envelope.raw)?;
            let Envelope { api_version, kind, .. } = envelope;
            Ok(Decoded { api_version, kind, value, unknown_fields: 0 })
        }
        _ => {
            let Envelope { content_type, encoding, .. } = envelope;
            Err(DecodeError::UnknownContent { content_type, encoding }.into())
        }
    }
}

/// `runtime.Unknown`.
#[derive(Default)]
struct Envelope {
    api_version: String,
    kind: String,
    raw: Vec<u8>,
    encoding: String,
    content_type: String,
    unknown_fields: u64,
}

impl Envelope {
    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes.strip_prefix(MAGIC).ok_or(DecodeError::NoPrefix)?);
        let mut envelope = Self::default();
        while let Some((tag, value)) = reader.next()? {
            match (tag, value) {
                (1, WireValue::Bytes(bytes)) => envelope.read_type_meta(bytes)?,
                (2, WireValue::Bytes(bytes)) => envelope.raw = bytes.to_vec(),
                (3, WireValue::Bytes(bytes)) => envelope.encoding = text(bytes)?,
                (4, WireValue::Bytes(bytes)) => envelope.content_type = text(bytes)?,
                _ => envelope.unknown_fields += 1,
            }
        }
        Ok(envelope)
    }

    fn read_type_meta(&mut self, bytes: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(bytes);
        while let Some((tag, value)) = reader.next()? {
            match (tag, value) {
                (1, WireValue::Bytes(bytes)) => self.api_version = text(bytes)?,
                (2, WireValue::Bytes(bytes)) => self.kind = text(bytes)?,
                _ => self.unknown_fields += 1,
            }
        }
        Ok(())
    }

    fn transcode(self, depth: usize) -> Result<Decoded, DecodeError> {
        let Self { api_version, kind, raw, unknown_fields, .. } = self;
        let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
        let mut transcoder = Transcoder { unknown_fields, left: MAX_VALUES };
        let mut object = Map::new();
        let item = kind.strip_suffix("List").and_then(|item| schema().by_gvk(group, version, item));
        match (schema().by_gvk(group, version, &kind), item) {
            (Some(message), _) => transcoder.message(message, &raw, depth, &mut object)?,
            (None, Some(item)) => transcoder.list_of(item, &raw, depth, &mut object)?,
            (None, None) => return Err(DecodeError::UnknownKind { api_version, kind }),
        }
        object.insert("apiVersion".to_owned(), Value::from(api_version.as_str()));
        object.insert("kind".to_owned(), Value::from(kind.as_str()));
        let unknown_fields = transcoder.unknown_fields;
        Ok(Decoded { api_version, kind, value: Value::Object(object), unknown_fields })
    }
}

fn text(bytes: &[u8]) -> Result<String, DecodeError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_invalid) => Err(DecodeError::Malformed("a string is not UTF-8")),
    }
}

/// Walks one body; counts what it makes and what it does not know.
struct Transcoder {
    unknown_fields: u64,
    left: usize,
}

impl Transcoder {
    /// Adds the fields of one message to `object`. A second occurrence merges, as protobuf demands.
    fn message(
        &mut self,
        message: &Message,
        bytes: &[u8],
        depth: usize,
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        if depth > MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        let mut reader = Reader::new(bytes);
        while let Some((tag, value)) = reader.next()? {
            let Some(field) = message.wire_field(tag) else {
                self.unknown_fields += 1;
                continue;
            };
            let at = At { message, field, depth };
            match field.cardinality {
                Cardinality::One => self.one(at, value, object)?,
                Cardinality::List => self.list(at, value, object)?,
                Cardinality::Map => self.map(at, value, object)?,
            }
        }
        Ok(())
    }

    /// `FooList{metadata, items}`: the table has no messages for lists, because all of them look the same.
    fn list_of(
        &mut self,
        item: &Message,
        bytes: &[u8],
        depth: usize,
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        const LIST_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta";
        let meta = schema().message(LIST_META).expect("the table has the metadata of lists");
        let (mut metadata, mut items) = (Map::new(), Vec::new());
        let mut reader = Reader::new(bytes);
        while let Some((tag, value)) = reader.next()? {
            self.count()?;
            match (tag, value) {
                (1, WireValue::Bytes(bytes)) => self.message(meta, bytes, depth + 1, &mut metadata)?,
                (2, WireValue::Bytes(bytes)) => {
                    let mut object = Map::new();
                    self.message(item, bytes, depth + 1, &mut object)?;
                    items.push(Value::Object(object));
                }
                _ => self.unknown_fields += 1,
            }
        }
        object.insert("metadata".to_owned(), Value::Object(metadata));
        object.insert("items".to_owned(), Value::Array(items));
        Ok(())
    }

    fn count(&mut self) -> Result<(), DecodeError> {
        self.left = self.left.checked_sub(1).ok_or(DecodeError::TooManyValues)?;
        Ok(())
    }

    fn one(
        &mut self,
        at: At<'_>,
        value: WireValue<'_>,
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        self.count()?;
        let field = at.field;
        if let (FieldKind::Message(id), WireValue::Bytes(bytes)) = (field.kind, value) {
            let message = schema().get(id);
            if message.special.is_none() {
                if field.inline {
                    return self.message(message, bytes, at.depth + 1, object);
                }
                let nested = object.entry(field.name).or_insert_with(|| Value::Object(Map::new()));
                let Value::Object(nested) = nested else { return Err(at.problem("is not a message")) };
                return self.message(message, bytes, at.depth + 1, nested);
            }
        }
        let value = self.value(at, value)?;
        let zero = match &value {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Number(number) => number.as_f64() == Some(0.0),
            Value::String(text) => text.is_empty(),
            Value::Array(_) | Value::Object(_) => false,
        };
        let has_zero = match field.message().map(|message| message.special) {
            None | Some(Some(Special::IntOrString)) => true,
            Some(_) => false,
        };
        let omitted = if has_zero { zero && !field.pointer && !field.required } else { value.is_null() };
        if omitted {
            object.remove(field.name);
        } else {
            object.insert(field.name.to_owned(), value);
        }
        Ok(())
    }

    fn list(
        &mut self,
        at: At<'_>,
        value: WireValue<'_>,
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        let list = object.entry(at.field.name).or_insert_with(|| Value::Array(Vec::new()));
        let Value::Array(list) = list else { return Err(at.problem("is not a list")) };
        let packed = matches!(at.field.kind, FieldKind::Int32 | FieldKind::Int64 | FieldKind::Bool);
        match value {
            WireValue::Bytes(bytes) if packed => {
                let mut reader = Reader::new(bytes);
                while !reader.is_empty() {
                    self.count()?;
                    list.push(self.value(at, WireValue::Varint(reader.varint()?))?);
                }
            }
            value => {
                self.count()?;
                list.push(self.value(at, value)?);
            }
        }
        Ok(())
    }

    /// One entry `{1: key, 2: value}`.
    fn map(
        &mut self,
        at: At<'_>,
        value: WireValue<'_>,
        object: &mut Map<String, Value>,
    ) -> Result<(), DecodeError> {
        self.count()?;
        let WireValue::Bytes(bytes) = value else { return Err(at.problem("is not a map entry")) };
        let mut reader = Reader::new(bytes);
        let mut key = String::new();
        let mut entry = None;
        while let Some((tag, value)) = reader.next()? {
            match (tag, value) {
                (1, WireValue::Bytes(bytes)) => key = text(bytes)?,
                (2, value) => entry = Some(self.value(at, value)?),
                _ => self.unknown_fields += 1,
            }
        }
        let entry = match entry {
            Some(entry) => entry,
            None => self.value(at, zero(at.field.kind))?,
        };
        let map = object.entry(at.field.name).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(map) = map else { return Err(at.problem("is not a map")) };
        map.insert(key, entry);
        Ok(())
    }

    /// One value, zero or not.
    fn value(&mut self, at: At<'_>, value: WireValue<'_>) -> Result<Value, DecodeError> {
        Ok(match (at.field.kind, value) {
            (FieldKind::String, WireValue::Bytes(bytes)) => match std::str::from_utf8(bytes) {
                Ok(text) => Value::from(text),
                Err(_invalid) => return Err(at.problem("is not UTF-8")),
            },
            (FieldKind::Bytes, WireValue::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
            (FieldKind::Bool, WireValue::Varint(number)) => Value::Bool(number != 0),
            (FieldKind::Int64, WireValue::Varint(number)) => Value::from(number.cast_signed()),
            (FieldKind::Int32, WireValue::Varint(number)) => match i32::try_from(number.cast_signed()) {
                Ok(number) => Value::from(number),
                Err(_outside) => return Err(at.problem("is not a 32-bit integer")),
            },
            (FieldKind::Double, WireValue::Fixed64(bits)) => double(at, f64::from_bits(bits))?,
            (FieldKind::Message(id), WireValue::Bytes(bytes)) => {
                let message = schema().get(id);
                if let Some(special) = message.special {
                    special::transcode(self, at, special, bytes)?.unwrap_or(Value::Null)
                } else {
                    let mut object = Map::new();
                    self.message(message, bytes, at.depth + 1, &mut object)?;
                    Value::Object(object)
                }
            }
            _ => return Err(at.problem("has the wrong wire type")),
        })
    }
}

/// What an entry of a map means that has no value.
fn zero(kind: FieldKind) -> WireValue<'static> {
    match kind {
        FieldKind::String | FieldKind::Bytes | FieldKind::Message(_) => WireValue::Bytes(&[]),
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Bool => WireValue::Varint(0),
        FieldKind::Double => WireValue::Fixed64(0),
    }
}

/// JSON writes whole floats without a fraction, as Go does.
fn double(at: At<'_>, number: f64) -> Result<Value, DecodeError> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "whole and within the exact range, checked above"
        )]
        return Ok(Value::from(number as i64));
    }
    Number::from_f64(number).map(Value::Number).ok_or_else(|| at.problem("is not a finite number"))
}

/// Where the transcoder is; for errors and depth.
#[derive(Clone, Copy)]
struct At<'a> {
    message: &'a Message,
    field: &'a Field,
    depth: usize,
}

impl At<'_> {
    fn problem(&self, problem: &'static str) -> DecodeError {
        DecodeError::Field { message: self.message.short_name().to_owned(), field: self.field.name, problem }
    }
}
