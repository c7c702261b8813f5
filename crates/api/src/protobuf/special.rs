//! Messages whose JSON is a scalar or raw JSON: quantities, times, int-or-string, extensions, JSON schema variants.
//!
//! `Ok(None)` is a value that JSON omits: the zero time, an empty raw value.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::wire::{Reader, WireValue};
use super::{At, DecodeError, Envelope, MAGIC, Transcoder, text};
use crate::schema::{Special, parse_json_strict, schema};

pub(super) fn transcode(
    transcoder: &mut Transcoder,
    at: At<'_>,
    special: Special,
    bytes: &[u8],
) -> Result<Option<Value>, DecodeError> {
    let parts = Parts::read(transcoder, bytes)?;
    Ok(match special {
        Special::Quantity => {
            let quantity = text(parts.last(1))?;
            Some(Value::String(if quantity.is_empty() { "0".to_owned() } else { quantity }))
        }
        Special::IntOrString => Some(match parts.number(1) {
            0 => match i32::try_from(parts.number(2)) {
                Ok(number) => Value::from(number),
                Err(_outside) => return Err(at.problem("is not a 32-bit integer")),
            },
            1 => Value::String(text(parts.last(3))?),
            _ => return Err(at.problem("is neither an integer nor a string")),
        }),
        // An empty message is the zero time; the epoch is written out with explicit zeros.
        Special::Time | Special::MicroTime if bytes.is_empty() => None,
        Special::Time => Some(time(at, parts.number(1), 0, "%Y-%m-%dT%H:%M:%SZ")?),
        Special::MicroTime => Some(time(at, parts.number(1), parts.number(2), "%Y-%m-%dT%H:%M:%S.%6fZ")?),
        Special::FieldsV1 | Special::RawExtension | Special::Json => raw(transcoder, at, parts.last(1))?,
        Special::SchemaOrArray => {
            let schemas = parts
                .all(2)
                .map(|bytes| json_schema(transcoder, at, bytes))
                .collect::<Result<Vec<_>, _>>()?;
            if schemas.is_empty() {
                Some(json_schema(transcoder, at, parts.last(1))?)
            } else {
                Some(Value::Array(schemas))
            }
        }
        Special::SchemaOrBool => match parts.all(2).last() {
            Some(bytes) => Some(json_schema(transcoder, at, bytes)?),
            None => Some(Value::Bool(parts.number(1) != 0)),
        },
        Special::SchemaOrStrings => match parts.all(1).last() {
            Some(bytes) => Some(json_schema(transcoder, at, bytes)?),
            None => Some(strings(transcoder, &parts, 2)?),
        },
        Special::Strings => Some(strings(transcoder, &parts, 1)?),
    })
}

/// The fields of a small message, in order.
struct Parts<'a>(Vec<(u32, WireValue<'a>)>);

impl<'a> Parts<'a> {
    /// All specials use tags 1 to 3 only; anything else is unknown.
    fn read(transcoder: &mut Transcoder, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut parts = Vec::new();
        while let Some((tag, value)) = reader.next()? {
            if tag > 3 {
                transcoder.unknown_fields += 1;
                continue;
            }
            transcoder.count()?;
            parts.push((tag, value));
        }
        Ok(Self(parts))
    }

    fn all(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter_map(move |(found, value)| match value {
            WireValue::Bytes(bytes) if *found == tag => Some(*bytes),
            _ => None,
        })
    }

    fn last(&self, tag: u32) -> &'a [u8] {
        self.all(tag).last().unwrap_or_default()
    }

    fn number(&self, tag: u32) -> i64 {
        let numbers = self.0.iter().rev().find_map(|(found, value)| match value {
            WireValue::Varint(number) if *found == tag => Some(number.cast_signed()),
            _ => None,
        });
        numbers.unwrap_or_default()
    }
}

fn time(at: At<'_>, seconds: i64, nanos: i64, format: &str) -> Result<Value, DecodeError> {
    let nanos = i32::try_from(nanos).ok().filter(|nanos| (0..1_000_000_000).contains(nanos));
    let timestamp = nanos.and_then(|nanos| jiff::Timestamp::new(seconds, nanos).ok());
    let timestamp = timestamp.ok_or_else(|| at.problem("is not a time"))?;
    Ok(Value::String(timestamp.to_zoned(TimeZone::UTC).strftime(format).to_string()))
}

/// Raw JSON, or an object in an envelope of its own.
fn raw(transcoder: &mut Transcoder, at: At<'_>, bytes: &[u8]) -> Result<Option<Value>, DecodeError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if bytes.starts_with(MAGIC) {
        if at.depth > super::MAX_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        let decoded = Envelope::read(bytes)?.transcode(at.depth + 1)?;
        transcoder.unknown_fields += decoded.unknown_fields;
        return Ok(Some(decoded.value));
    }
    match parse_json_strict(bytes) {
        Ok((value, _)) => Ok(Some(value)),
        Err(error) => Err(DecodeError::EmbeddedJson(error.message)),
    }
}

fn json_schema(transcoder: &mut Transcoder, at: At<'_>, bytes: &[u8]) -> Result<Value, DecodeError> {
    let name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    let message = schema().message(name).expect("the table has the JSON schema of custom resources");
    let mut object = Map::new();
    transcoder.count()?;
    transcoder.message(message, bytes, at.depth + 1, &mut object)?;
    Ok(Value::Object(object))
}

fn strings(transcoder: &mut Transcoder, parts: &Parts<'_>, tag: u32) -> Result<Value, DecodeError> {
    let mut items = Vec::new();
    for bytes in parts.all(tag) {
        transcoder.count()?;
        items.push(Value::String(text(bytes)?));
    }
    Ok(Value::Array(items))
}
