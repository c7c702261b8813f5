//! `OpenAPI` v2 of all built-in kinds: the JSON is whole, and the protobuf says the same to a reader that is not ours.
#![allow(clippy::unwrap_used, reason = "this is all test code; a panic is the report")]

use std::collections::BTreeSet;

use konzert_api::Catalogue;
use konzert_api::openapi::{OpenApiKind, V2Encoding, openapi_v3, write_v2};
use prost::Message;
use serde_json::Value;

/// The part of gnostic's `openapi.v2` that is looked at.
mod gnostic {
    #[derive(prost::Message)]
    pub(super) struct Document {
        #[prost(string, tag = "1")]
        pub(super) swagger: String,
        #[prost(message, optional, tag = "8")]
        pub(super) paths: Option<Paths>,
        #[prost(message, optional, tag = "9")]
        pub(super) definitions: Option<Definitions>,
    }
    #[derive(prost::Message)]
    pub(super) struct Paths {
        #[prost(message, repeated, tag = "2")]
        pub(super) path: Vec<NamedPathItem>,
    }
    #[derive(prost::Message)]
    pub(super) struct NamedPathItem {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<PathItem>,
    }
    #[derive(prost::Message)]
    pub(super) struct PathItem {
        #[prost(message, optional, tag = "8")]
        pub(super) patch: Option<Operation>,
    }
    #[derive(prost::Message)]
    pub(super) struct Operation {
        #[prost(string, repeated, tag = "7")]
        pub(super) consumes: Vec<String>,
        #[prost(message, repeated, tag = "13")]
        pub(super) vendor_extension: Vec<NamedAny>,
    }
    #[derive(prost::Message)]
    pub(super) struct NamedAny {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<Any>,
    }
    #[derive(prost::Message)]
    pub(super) struct Any {
        #[prost(string, tag = "2")]
        pub(super) yaml: String,
    }
    #[derive(prost::Message)]
    pub(super) struct Definitions {
        #[prost(message, repeated, tag = "1")]
        pub(super) additional_properties: Vec<NamedSchema>,
    }
    #[derive(prost::Message)]
    pub(super) struct NamedSchema {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(message, optional, tag = "2")]
        pub(super) value: Option<Schema>,
    }
    #[derive(prost::Message)]
    pub(super) struct Schema {
        #[prost(string, tag = "1")]
        pub(super) reference: String,
        #[prost(string, tag = "4")]
        pub(super) description: String,
        #[prost(string, repeated, tag = "19")]
        pub(super) required: Vec<String>,
        #[prost(message, optional, tag = "22")]
        pub(super) r#type: Option<TypeItem>,
        #[prost(message, optional, boxed, tag = "23")]
        pub(super) items: Option<Box<ItemsItem>>,
        #[prost(message, optional, tag = "25")]
        pub(super) properties: Option<Definitions>,
        #[prost(message, repeated, tag = "31")]
        pub(super) vendor_extension: Vec<NamedAny>,
    }
    #[derive(prost::Message)]
    pub(super) struct TypeItem {
        #[prost(string, repeated, tag = "1")]
        pub(super) value: Vec<String>,
    }
    #[derive(prost::Message)]
    pub(super) struct ItemsItem {
        #[prost(message, repeated, tag = "1")]
        pub(super) schema: Vec<Schema>,
    }
}

fn document(encoding: V2Encoding) -> Vec<u8> {
    let catalogue = Catalogue::builtin();
    let v3 = |path: &str| {
        let (group, version) = path.split_once('/').unwrap();
        let kinds: Vec<OpenApiKind<'_>> = catalogue.kinds_in(group, version).map(OpenApiKind::from).collect();
        openapi_v3(&kinds)
    };
    let paths: Vec<String> = catalogue
        .groups()
        .iter()
        .flat_map(|group| group.versions.iter().map(|version| format!("{}/{version}", group.name)))
        .collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut out = Vec::new();
    write_v2(encoding, &paths, &v3, &mut out).unwrap();
    out
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_json_is_whole() {
    let document: Value = serde_json::from_slice(&document(V2Encoding::Json)).unwrap();
    assert_eq!(document["swagger"], "2.0");
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 100);
    for reference in found {
        assert!(
            document.pointer(reference.strip_prefix('#').unwrap()).is_some_and(Value::is_object),
            "{reference}"
        );
    }
    let operation = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    let media: Vec<&str> =
        operation["consumes"].as_array().unwrap().iter().map(|media| media.as_str().unwrap()).collect();
    assert!(media.contains(&"application/strategic-merge-patch+json"), "{media:?}");
    assert!(media.contains(&"application/apply-patch+yaml"), "{media:?}");
    let parameters = operation["parameters"].as_array().unwrap();
    assert!(
        parameters.iter().any(|p| p["name"] == "fieldValidation" && p["type"] == "string"),
        "{parameters:?}"
    );
    assert!(parameters.iter().any(|p| p["in"] == "body"), "{parameters:?}");
    let port = &document["definitions"]["io.k8s.apimachinery.pkg.util.intstr.IntOrString"];
    assert_eq!((&port["type"], &port["format"]), (&"string".into(), &"int-or-string".into()));
    assert!(port.get("oneOf").is_none(), "version 2 has no such word");
}

#[test]
fn the_protobuf_says_the_same() {
    let json: Value = serde_json::from_slice(&document(V2Encoding::Json)).unwrap();
    let document = gnostic::Document::decode(document(V2Encoding::Protobuf).as_slice()).unwrap();
    assert_eq!(document.swagger, "2.0");
    let definitions = document.definitions.unwrap().additional_properties;
    assert_eq!(definitions.len(), json["definitions"].as_object().unwrap().len());
    for definition in &definitions {
        compare(&definition.name, definition.value.as_ref().unwrap(), &json["definitions"][&definition.name]);
    }
    let paths = document.paths.unwrap().path;
    assert_eq!(paths.len(), json["paths"].as_object().unwrap().len());
    let named = |name: &str| paths.iter().find(|path| path.name == name).and_then(|path| path.value.as_ref());
    let patch = named("/api/v1/namespaces/{namespace}/pods/{name}").unwrap().patch.as_ref().unwrap();
    assert!(patch.consumes.iter().any(|media| media == "application/strategic-merge-patch+json"));
    let gvk = patch.vendor_extension.iter().find(|e| e.name == "x-kubernetes-group-version-kind").unwrap();
    let gvk: Value = serde_json::from_str(&gvk.value.as_ref().unwrap().yaml).unwrap();
    assert_eq!(gvk["kind"], "Pod");
}

fn compare(path: &str, schema: &gnostic::Schema, json: &Value) {
    assert_eq!(schema.description, json["description"].as_str().unwrap_or_default(), "{path}");
    assert_eq!(schema.reference, json["$ref"].as_str().unwrap_or_default(), "{path}");
    let kind = schema.r#type.as_ref().and_then(|t| t.value.first()).map_or("", String::as_str);
    assert_eq!(kind, json["type"].as_str().unwrap_or_default(), "{path}");
    assert_eq!(schema.required.len(), json["required"].as_array().map_or(0, Vec::len), "{path}");
    let extensions = json.as_object().unwrap().keys().filter(|key| key.starts_with("x-")).count();
    assert_eq!(schema.vendor_extension.len(), extensions, "{path}");
    if let Some(items) = json.get("items") {
        compare(&format!("{path}[]"), &schema.items.as_ref().unwrap().schema[0], items);
    }
    let properties = schema.properties.as_ref().map_or(&[][..], |p| &p.additional_properties);
    assert_eq!(properties.len(), json["properties"].as_object().map_or(0, serde_json::Map::len), "{path}");
    for property in properties {
        let inner = format!("{path}.{}", property.name);
        compare(&inner, property.value.as_ref().unwrap(), &json["properties"][&property.name]);
    }
}
