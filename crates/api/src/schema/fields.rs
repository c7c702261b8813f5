//! Walks an object along the schema: fields that the kind does not have, and values of the wrong JSON type.
//!
//! Kinds that are not in the table (custom resources) have no findings here; their own schema judges them.

use serde_json::Value;

use super::{Cardinality, Field, FieldKind, Message, Special, schema, times};
use crate::catalogue::Gvk;
use crate::quantity::Quantity;
use crate::status::ApiError;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// At most this many paths are reported, as Kubernetes does.
const MAX_REPORTED: usize = 100;

/// Paths of fields that the schema does not have, such as `spec.containers[0].bar`, in document order of the map.
pub fn unknown_fields(gvk: &Gvk, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(message) = schema().by_gvk(&gvk.group, &gvk.version, &gvk.kind) {
        unknown_in(message, value, &mut String::new(), &mut found);
    }
    found
}

/// Drops the fields that [`unknown_fields`] would report.
pub fn prune_unknown(gvk: &Gvk, value: &mut Value) {
    if let Some(message) = schema().by_gvk(&gvk.group, &gvk.version, &gvk.kind) {
        prune(message, value);
    }
}

/// 400 for the first value whose JSON type the field cannot hold, in the words of the decoder of Kubernetes.
pub fn check_types(gvk: &Gvk, value: &Value) -> Result<(), ApiError> {
    let Some(message) = schema().by_gvk(&gvk.group, &gvk.version, &gvk.kind) else { return Ok(()) };
    let Err(mismatch) = mismatch_in(message, value, "") else { return Ok(()) };
    let (kind, version) = (&gvk.kind, &gvk.version);
    Err(ApiError::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: {mismatch}"
    )))
}

/// As [`check_types`], for the metadata of a kind that is not in the table.
pub fn check_metadata_types(gvk: &Gvk, value: &Value) -> Result<(), ApiError> {
    let (Some(message), Some(metadata)) = (schema().message(OBJECT_META), value.get("metadata")) else {
        return Ok(());
    };
    if metadata.is_null() {
        return Ok(());
    }
    let why = match mismatch_in(message, metadata, "") {
        Ok(()) => return Ok(()),
        Err(mismatch) if mismatch.path.is_empty() => {
            format!("json: cannot unmarshal {} into Go value of type {}", mismatch.found, mismatch.expected)
        }
        Err(mismatch) => mismatch.to_string(),
    };
    let (kind, version) = (&gvk.kind, &gvk.version);
    Err(ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}")))
}

/// The schema of what a special message's JSON holds, if it is more than an opaque value.
fn nested_schema(message: &Message) -> Option<&'static Message> {
    match message.special? {
        Special::SchemaOrArray | Special::SchemaOrBool | Special::SchemaOrStrings => {
            schema().message("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
        }
        _ => None,
    }
}

fn unknown_in(message: &Message, value: &Value, path: &mut String, found: &mut Vec<String>) {
    if message.special.is_some() {
        let Some(nested) = nested_schema(message) else { return };
        match value {
            Value::Object(_) => unknown_in(nested, value, path, found),
            Value::Array(items) => each_item(items, path, |item, path| {
                if item.is_object() {
                    unknown_in(nested, item, path, found);
                }
            }),
            _ => {}
        }
        return;
    }
    let Value::Object(object) = value else { return };
    for (key, value) in object {
        if found.len() >= MAX_REPORTED {
            return;
        }
        let length = path.len();
        push_key(path, key);
        match message.field(key) {
            None => found.push(path.clone()),
            Some(field) => unknown_in_field(field, value, path, found),
        }
        path.truncate(length);
    }
}

fn unknown_in_field(field: &Field, value: &Value, path: &mut String, found: &mut Vec<String>) {
    let Some(message) = field.message() else { return };
    match (field.cardinality, value) {
        (Cardinality::One, value) => unknown_in(message, value, path, found),
        (Cardinality::List, Value::Array(items)) => {
            each_item(items, path, |item, path| unknown_in(message, item, path, found));
        }
        (Cardinality::Map, Value::Object(entries)) => {
            for (key, value) in entries {
                let length = path.len();
                push_key(path, key);
                unknown_in(message, value, path, found);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn each_item(items: &[Value], path: &mut String, mut visit: impl FnMut(&Value, &mut String)) {
    for (index, item) in items.iter().enumerate() {
        let length = path.len();
        path.push('[');
        path.push_str(&index.to_string());
        path.push(']');
        visit(item, path);
        path.truncate(length);
    }
}

fn push_key(path: &mut String, key: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

fn prune(message: &Message, value: &mut Value) {
    if message.special.is_some() {
        let Some(nested) = nested_schema(message) else { return };
        match value {
            Value::Object(_) => prune(nested, value),
            Value::Array(items) => items.iter_mut().for_each(|item| prune(nested, item)),
            _ => {}
        }
        return;
    }
    let Value::Object(object) = value else { return };
    object.retain(|key, _| message.field(key).is_some());
    for (key, value) in object {
        let Some(field) = message.field(key) else { continue };
        let Some(nested) = field.message() else { continue };
        match (field.cardinality, value) {
            (Cardinality::One, value) => prune(nested, value),
            (Cardinality::List, Value::Array(items)) => items.iter_mut().for_each(|item| prune(nested, item)),
            (Cardinality::Map, Value::Object(entries)) => {
                entries.values_mut().for_each(|value| prune(nested, value));
            }
            _ => {}
        }
    }
}

struct Mismatch {
    owner: String,
    path: String,
    found: String,
    expected: String,
    /// Instead of the above: what is wrong with the text of a time or a quantity.
    text: Option<String>,
}

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { owner, path, found, expected, text } = self;
        if let Some(text) = text {
            return f.write_str(text);
        }
        write!(f, "json: cannot unmarshal {found} into Go struct field {owner}.{path} of type {expected}")
    }
}

fn mismatch_in(message: &Message, value: &Value, path: &str) -> Result<(), Mismatch> {
    let Value::Object(object) = value else {
        return refuse(message, path, value, &go_name(message));
    };
    for (key, value) in object {
        let Some(field) = message.field(key) else { continue };
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (field.cardinality, value) {
            // JSON null stands for the zero value everywhere.
            (_, Value::Null) => {}
            (Cardinality::One, value) => one_value(message, field, value, &path)?,
            (Cardinality::List, Value::Array(items)) => {
                for item in items.iter().filter(|item| !item.is_null()) {
                    one_value(message, field, item, &path)?;
                }
            }
            (Cardinality::Map, Value::Object(entries)) => {
                for value in entries.values().filter(|value| !value.is_null()) {
                    one_value(message, field, value, &path)?;
                }
            }
            (Cardinality::List, value) => refuse(message, &path, value, &format!("[]{}", go_type(field)))?,
            (Cardinality::Map, value) => {
                refuse(message, &path, value, &format!("map[string]{}", go_type(field)))?;
            }
        }
    }
    Ok(())
}

fn one_value(owner: &Message, field: &Field, value: &Value, path: &str) -> Result<(), Mismatch> {
    let fits = match field.kind {
        FieldKind::String | FieldKind::Bytes => value.is_string(),
        FieldKind::Int32 => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        FieldKind::Int64 => value.is_i64(),
        FieldKind::Bool => value.is_boolean(),
        FieldKind::Double => value.is_number(),
        FieldKind::Message(id) => {
            let message = schema().get(id);
            match message.special {
                None if value.is_object() => return mismatch_in(message, value, path),
                None => false,
                Some(special) if let Some(text) = unreadable(special, value) => {
                    return refuse(owner, path, value, &go_type(field))
                        .map_err(|mismatch| Mismatch { text: Some(text), ..mismatch });
                }
                Some(special) => special_fits(special, value),
            }
        }
    };
    if fits { Ok(()) } else { refuse(owner, path, value, &go_type(field)) }
}

/// What is wrong with a text that should be a time or a quantity.
fn unreadable(special: Special, value: &Value) -> Option<String> {
    let text = value.as_str()?;
    match special {
        Special::Time | Special::MicroTime => {
            let unread = text.parse::<jiff::Timestamp>().is_err();
            unread.then(|| times::unreadable(text, special == Special::MicroTime))
        }
        Special::Quantity => Quantity::parse(text.trim()).err().map(|wrong| wrong.to_string()),
        _ => None,
    }
}

fn special_fits(special: Special, value: &Value) -> bool {
    match special {
        // Whether texts can be read was looked at before.
        Special::Quantity => value.is_string() || value.is_number(),
        Special::IntOrString => value.is_string() || value.is_i64(),
        Special::Time | Special::MicroTime => value.is_string(),
        Special::FieldsV1 | Special::RawExtension => value.is_object(),
        Special::Json => true,
        Special::SchemaOrArray | Special::SchemaOrStrings => value.is_object() || value.is_array(),
        Special::SchemaOrBool => value.is_object() || value.is_boolean(),
        Special::Strings => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
    }
}

fn refuse(owner: &Message, path: &str, value: &Value, expected: &str) -> Result<(), Mismatch> {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        // A number that does not fit is shown.
        Value::Number(number) if expected.starts_with("int") => &format!("number {number}"),
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let (owner, path) = (owner.short_name().to_owned(), path.to_owned());
    Err(Mismatch { owner, path, found: found.to_owned(), expected: expected.to_owned(), text: None })
}

/// Package and type: the last two parts of the name in the table.
fn go_name(message: &Message) -> String {
    let mut parts = message.name.rsplit('.');
    match (parts.next(), parts.next()) {
        (Some(name), Some(package)) => format!("{package}.{name}"),
        _ => message.short_name().to_owned(),
    }
}

fn go_type(field: &Field) -> String {
    let plain = match field.kind {
        FieldKind::String => "string",
        FieldKind::Int32 => "int32",
        FieldKind::Int64 => "int64",
        FieldKind::Bool => "bool",
        FieldKind::Double => "float64",
        FieldKind::Bytes => "[]uint8",
        FieldKind::Message(id) => return go_name(schema().get(id)),
    };
    plain.to_owned()
}
