//! What `null` means in an object of a built-in kind, as the decoder of Kubernetes reads it.
//!
//! A field that is null is not there. In a map or a list there is no "not there", so the member becomes the zero value of its
//! type: `{"data": {"a": null}}` is an empty string. Opaque JSON (raw extensions, field sets) keeps its nulls.

use serde_json::{Map, Value};

use super::{Cardinality, Field, FieldKind, Message, Special, schema};
use crate::catalogue::Gvk;

/// Removes null fields and turns null members of maps and lists into zero values. Kinds that are not in the table lose
/// null members everywhere.
pub fn settle_nulls(gvk: &Gvk, value: &mut Value) {
    match schema().by_gvk(&gvk.group, &gvk.version, &gvk.kind) {
        Some(message) => settle(message, value),
        None => crate::meta::strip_nulls(value),
    }
}

fn settle(message: &Message, value: &mut Value) {
    if let Some(special) = message.special {
        // Schemas of custom kinds: null is as good as absent in all of their fields.
        if matches!(special, Special::SchemaOrArray | Special::SchemaOrBool | Special::SchemaOrStrings) {
            crate::meta::strip_nulls(value);
        }
        return;
    }
    let Value::Object(object) = value else { return };
    object.retain(|_, value| !value.is_null());
    for (key, value) in object {
        let Some(field) = message.field(key) else { continue };
        match (field.cardinality, value) {
            (Cardinality::One, value) => settle_one(field, value),
            (Cardinality::List, Value::Array(items)) => {
                for item in items {
                    settle_member(field, item);
                }
            }
            (Cardinality::Map, Value::Object(entries)) => {
                entries.values_mut().for_each(|value| settle_member(field, value));
            }
            _ => {}
        }
    }
}

fn settle_one(field: &Field, value: &mut Value) {
    if let Some(message) = field.message() {
        settle(message, value);
    }
}

fn settle_member(field: &Field, value: &mut Value) {
    if value.is_null() {
        *value = zero(field);
    } else {
        settle_one(field, value);
    }
}

fn zero(field: &Field) -> Value {
    match field.kind {
        FieldKind::String | FieldKind::Bytes => Value::from(""),
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Double => Value::from(0),
        FieldKind::Bool => Value::from(false),
        FieldKind::Message(id) => match schema().get(id).special {
            None => Value::Object(Map::new()),
            Some(Special::Quantity) => Value::from("0"),
            Some(Special::IntOrString) => Value::from(0),
            Some(Special::Strings) => Value::Array(Vec::new()),
            Some(_) => Value::Null,
        },
    }
}
