//! The schemas of a document: types and descriptions from k8s-openapi, merge rules from the schema table, custom kinds
//! from their own definitions.

use serde_json::{Map, Value, json};

use super::types::{generate, generator};
use super::{
    BINDING, DELETE_OPTIONS, EVICTION, LIST_META, OBJECT_META, OpenApiKind, SCALE, STATUS, TOKEN_REQUEST,
    gvk_value, reference, schema_name,
};
use crate::catalogue::{Gvk, Subresource};
use crate::schema::{Cardinality, Field, ListType, Message, schema};

/// All schemas that the kinds and their operations refer to.
pub(super) fn schemas(kinds: &[OpenApiKind<'_>]) -> Value {
    let mut generator = generator();
    let mut lists = Map::new();
    let mut custom = Map::new();
    for kind in kinds {
        let name = schema_name(kind);
        match kind.custom_schema {
            Some(own) => {
                custom.insert(name.clone(), custom_schema(kind, own));
            }
            None => generate(&mut generator, &name),
        }
        for subresource in &kind.subresources {
            match subresource {
                Subresource::Scale => generate(&mut generator, SCALE),
                Subresource::Binding => generate(&mut generator, BINDING),
                Subresource::Eviction => generate(&mut generator, EVICTION),
                Subresource::Token => generate(&mut generator, TOKEN_REQUEST),
                Subresource::Status
                | Subresource::Approval
                | Subresource::Log
                | Subresource::Finalize
                | Subresource::EphemeralContainers
                | Subresource::Resize => {}
            }
        }
        if kind.is_virtual() {
            continue;
        }
        lists.insert(format!("{name}List"), list_schema(kind.gvk, &name));
    }
    for shared in [DELETE_OPTIONS, LIST_META, OBJECT_META, STATUS] {
        generate(&mut generator, shared);
    }
    let mut all = generator.take_definitions(false);
    for (name, definition) in &mut all {
        wrap_references(definition);
        if let Some(message) = schema().message(name) {
            enrich(message, definition);
        }
    }
    for kind in kinds {
        label_shared(&mut all, kind.gvk);
    }
    all.append(&mut lists);
    all.append(&mut custom);
    Value::Object(all)
}

/// `OpenAPI` 3.0 ignores what stands beside a `$ref`, so descriptions go around it: `allOf: [{$ref}]`.
fn wrap_references(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if object.len() > 1 && object.get("$ref").is_some_and(Value::is_string) {
                let target = object.remove("$ref");
                object.insert("allOf".to_owned(), json!([{ "$ref": target }]));
            }
            object.values_mut().for_each(wrap_references);
        }
        Value::Array(items) => items.iter_mut().for_each(wrap_references),
        _ => {}
    }
}

/// Adds what the table knows: root kinds, list types, merge keys.
fn enrich(message: &Message, definition: &mut Value) {
    use crate::schema::Special;
    let Value::Object(definition) = definition else { return };
    match message.special {
        Some(Special::Quantity) => {
            definition.remove("x-kubernetes-int-or-string");
            definition.insert("oneOf".to_owned(), json!([{ "type": "string" }, { "type": "number" }]));
        }
        Some(Special::IntOrString) => {
            definition.remove("x-kubernetes-int-or-string");
            definition.insert("format".to_owned(), json!("int-or-string"));
            definition.insert("oneOf".to_owned(), json!([{ "type": "integer" }, { "type": "string" }]));
        }
        _ => {}
    }
    if message.atomic {
        definition.insert("x-kubernetes-map-type".to_owned(), json!("atomic"));
    }
    if let Some(root) = message.root {
        let gvk = gvk_value(root.group, root.version, root.kind);
        definition.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk]));
        // The Rust type has no root object without metadata; the API accepts one.
        if let Some(Value::Array(required)) = definition.get_mut("required") {
            required.retain(|name| name != "metadata");
            if required.is_empty() {
                definition.remove("required");
            }
        }
    }
    let Some(Value::Object(properties)) = definition.get_mut("properties") else { return };
    for (name, property) in properties {
        if let (Some(field), Value::Object(property)) = (message.field(name), property) {
            enrich_field(field, property);
        }
    }
}

fn enrich_field(field: &Field, property: &mut Map<String, Value>) {
    let mut extend = |name: &str, value: Value| {
        property.insert(format!("x-kubernetes-{name}"), value);
    };
    if let Some(key) = field.merge_key {
        extend("patch-merge-key", json!(key));
    }
    if !field.strategy.is_empty() {
        extend("patch-strategy", json!(field.strategy));
    }
    match field.list_type {
        Some(ListType::Atomic) => extend("list-type", json!("atomic")),
        Some(ListType::Set) => extend("list-type", json!("set")),
        Some(ListType::Map) => {
            extend("list-type", json!("map"));
            extend("list-map-keys", field.list_keys().collect());
        }
        None => {}
    }
    if field.atomic && field.cardinality != Cardinality::List {
        extend("map-type", json!("atomic"));
    }
}

/// `DeleteOptions` and `Status` are kinds of every group version.
fn label_shared(all: &mut Map<String, Value>, gvk: &Gvk) {
    for (name, kind) in [(DELETE_OPTIONS, "DeleteOptions"), (STATUS, "Status")] {
        let Some(Value::Object(definition)) = all.get_mut(name) else { continue };
        let label = gvk_value(&gvk.group, &gvk.version, kind);
        let labels = definition.entry("x-kubernetes-group-version-kind").or_insert_with(|| json!([]));
        if let Value::Array(labels) = labels
            && !labels.contains(&label)
        {
            labels.push(label);
        }
    }
}

fn list_schema(gvk: &Gvk, name: &str) -> Value {
    let kind = format!("{}List", gvk.kind);
    json!({
        "type": "object",
        "description": format!("{kind} is a list of {}", gvk.kind),
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string", "description": "Group and version of this list." },
            "kind": { "type": "string", "description": "Kind of this list." },
            "metadata": { "allOf": [reference(LIST_META)], "description": "Revision and continuation of the list." },
            "items": { "type": "array", "items": reference(name), "description": "The objects." },
        },
        "x-kubernetes-group-version-kind": [gvk_value(&gvk.group, &gvk.version, &kind)],
    })
}

/// The custom kind's own schema, with what every object has.
fn custom_schema(kind: &OpenApiKind<'_>, own: &Value) -> Value {
    let gvk = kind.gvk;
    let mut definition = own.as_object().cloned().unwrap_or_default();
    definition.insert("type".to_owned(), json!("object"));
    let gvk = gvk_value(&gvk.group, &gvk.version, &gvk.kind);
    definition.insert("x-kubernetes-group-version-kind".to_owned(), json!([gvk]));
    if !kind.selectable_fields.is_empty() {
        let fields: Vec<Value> =
            kind.selectable_fields.iter().map(|path| json!({ "fieldPath": path })).collect();
        definition.insert("x-kubernetes-selectable-fields".to_owned(), json!(fields));
    }
    let properties = definition.entry("properties").or_insert_with(|| json!({}));
    if let Value::Object(properties) = properties {
        properties.insert("apiVersion".to_owned(), json!({ "type": "string", "description": API_VERSION }));
        properties.insert("kind".to_owned(), json!({ "type": "string", "description": KIND }));
        let metadata = json!({ "allOf": [reference(OBJECT_META)], "description": METADATA });
        properties.insert("metadata".to_owned(), metadata);
    }
    Value::Object(definition)
}

const API_VERSION: &str = "Group and version that the object is written in.";
const KIND: &str = "Kind of the object; cannot be changed.";
const METADATA: &str = "Name, labels, owners and what else all objects have.";
