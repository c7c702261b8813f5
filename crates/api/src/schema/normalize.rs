//! The form in which objects of built-in kinds are kept: as a Go server would write them after reading them.
//!
//! A Go server leaves out empty lists and maps of optional fields and their zero values where they are no pointers, writes quantities in their canonical form, and takes `null` for
//! the zero value. Clients compare what they sent with what they get back, and server-side apply compares fields, so it
//! matters. A struct is always there, so that defaults apply in it. What is opaque to the schema (raw extensions, JSON) is left as it is.
//!
//! Invariant: normalising twice is normalising once.

use serde_json::{Map, Value};

use super::{Cardinality, Field, FieldKind, Message, Special, schema};
use crate::catalogue::Gvk;
use crate::quantity::Quantity;

/// Kept although it is empty: an empty list resets ownership, and whoever tracks it decides.
const MANAGED_FIELDS: &str = "managedFields";

/// Brings an object whose types were checked into normal form. Kinds that are not in the table stay as they are.
pub fn normalize(gvk: &Gvk, value: &mut Value) {
    let Some(message) = schema().by_gvk(&gvk.group, &gvk.version, &gvk.kind) else { return };
    if let Value::Object(object) = value {
        fields(message, object);
    }
}

/// As [`normalize`], for the metadata of an object of any kind. Metadata that is no object stays for others to refuse.
pub fn normalize_metadata(value: &mut Value) {
    let message = schema().message("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    if let (Some(message), Some(Value::Object(metadata))) = (message, value.get_mut("metadata")) {
        fields(message, metadata);
    }
}

fn fields(message: &Message, object: &mut Map<String, Value>) {
    object.retain(|key, value| {
        if value.is_null() {
            return false;
        }
        let Some(field) = message.field(key) else { return true };
        one_field(field, value);
        field.name == MANAGED_FIELDS || !(is_empty_collection(field, value) || is_left_out(field, value))
    });
    for field in message.fields().iter().filter(|field| field.is_struct()) {
        if !object.contains_key(field.name) {
            let mut value = Value::Object(Map::new());
            one_value(field, &mut value);
            object.insert(field.name.to_owned(), value);
        }
    }
}

fn is_empty_collection(field: &Field, value: &Value) -> bool {
    match (field.cardinality, value) {
        (Cardinality::List, Value::Array(items)) => items.is_empty(),
        (Cardinality::Map, Value::Object(entries)) => entries.is_empty(),
        _ => false,
    }
}

/// A scalar whose zero Go does not write.
fn is_left_out(field: &Field, value: &Value) -> bool {
    let optional = field.cardinality == Cardinality::One && !field.pointer && field.written.is_none();
    optional
        && match (field.kind, value) {
            (FieldKind::String | FieldKind::Bytes, Value::String(text)) => text.is_empty(),
            (FieldKind::Int32 | FieldKind::Int64 | FieldKind::Double, Value::Number(number)) => {
                number.as_f64() == Some(0.0)
            }
            (FieldKind::Bool, Value::Bool(flag)) => !flag,
            _ => false,
        }
}

fn one_field(field: &Field, value: &mut Value) {
    match (field.cardinality, value) {
        (Cardinality::One, value) => one_value(field, value),
        (Cardinality::List, Value::Array(items)) => items.iter_mut().for_each(|item| element(field, item)),
        (Cardinality::Map, Value::Object(entries)) => {
            entries.values_mut().for_each(|entry| element(field, entry));
        }
        _ => {}
    }
}

/// In a list or map `null` is the zero value of its type, not absence.
fn element(field: &Field, value: &mut Value) {
    if value.is_null() {
        *value = match field.kind {
            FieldKind::String | FieldKind::Bytes => Value::from(""),
            FieldKind::Int32 | FieldKind::Int64 => Value::from(0),
            FieldKind::Double => Value::from(0.0),
            FieldKind::Bool => Value::from(false),
            FieldKind::Message(id) => match schema().get(id).special {
                None => Value::Object(Map::new()),
                Some(Special::Quantity) => Value::from("0"),
                Some(Special::IntOrString) => Value::from(0),
                Some(Special::Strings) => Value::Array(Vec::new()),
                Some(_) => return,
            },
        };
    }
    one_value(field, value);
}

fn one_value(field: &Field, value: &mut Value) {
    let Some(message) = field.message() else { return };
    match (message.special, value) {
        (None, Value::Object(object)) => fields(message, object),
        (Some(Special::Quantity), value) => quantity(value),
        (Some(Special::SchemaOrArray | Special::SchemaOrBool | Special::SchemaOrStrings), value) => {
            nested_schemas(value);
        }
        _ => {}
    }
}

/// Values that are no quantity stay for validation to name them.
fn quantity(value: &mut Value) {
    let text = match &*value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return,
    };
    if let Ok(quantity) = Quantity::parse(&text) {
        *value = Value::from(quantity.to_string());
    }
}

fn nested_schemas(value: &mut Value) {
    let name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";
    let Some(message) = schema().message(name) else { return };
    match value {
        Value::Object(object) => fields(message, object),
        Value::Array(items) => {
            items.iter_mut().filter_map(Value::as_object_mut).for_each(|o| fields(message, o));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn normal(gvk: &Gvk, mut value: Value) -> Value {
        normalize(gvk, &mut value);
        let once = value.clone();
        normalize(gvk, &mut value);
        assert_eq!(value, once, "normalising twice is normalising once");
        value
    }

    #[test]
    fn objects_look_as_a_go_server_writes_them() {
        let pod = Gvk::fixed("", "v1", "Pod");
        let given = json!({
            "metadata": { "labels": {}, "ownerReferences": [], "managedFields": [], "finalizers": null },
            "spec": {
                "containers": [{
                    "name": "a", "env": [], "command": null,
                    "resources": { "limits": { "cpu": 0.5, "memory": "1024Mi" }, "requests": {} },
                }],
                "nodeSelector": { "a": null }, "volumes": [{ "name": "v", "emptyDir": {} }],
            },
        });
        let wanted = json!({
            "metadata": { "managedFields": [] },
            "spec": {
                "containers": [{ "name": "a", "resources": { "limits": { "cpu": "500m", "memory": "1Gi" } } }],
                "nodeSelector": { "a": "" }, "volumes": [{ "name": "v", "emptyDir": {} }],
            },
            "status": {},
        });
        assert_eq!(normal(&pod, given), wanted);
    }

    #[test]
    fn structs_are_there_and_opaque_parts_stay() {
        let pod = Gvk::fixed("", "v1", "Pod");
        let empty = json!({ "metadata": {}, "spec": {}, "status": {} });
        assert_eq!(normal(&pod, json!({ "spec": { "containers": [] } })), empty);
        assert_eq!(normal(&pod, json!({ "spec": null })), empty);
        let definition = Gvk::fixed("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
        let schema =
            |inner: Value| json!({ "spec": { "versions": [{ "schema": { "openAPIV3Schema": inner } }] } });
        let given =
            schema(json!({ "default": { "a": [], "b": null }, "properties": { "x": { "required": [] } } }));
        let wanted = schema(json!({ "default": { "a": [], "b": null }, "properties": { "x": {} } }));
        assert_eq!(normal(&definition, given)["spec"]["versions"], wanted["spec"]["versions"]);
    }
}
