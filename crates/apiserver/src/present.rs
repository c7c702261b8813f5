//! From stored bytes to the shape that was asked for: the object itself, a Table, or metadata only.
//!
//! Invariant: for the plain shape the bytes are passed on as they are; only Tables and metadata are decoded.

use bytes::Bytes;
use jiff::Timestamp;
use konzert_api::table::{IncludeObject, partial_object_metadata, table};
use konzert_api::{ApiError, Kind};
use konzert_store::Revision;
use serde_json::{Map, Value, json};

use crate::encode::decode;
use crate::negotiate::{MetaVersion, Shape};
use crate::registry::ListAnswer;

/// Marks the bookmark that ends the initial events of a watch.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// How objects of one request are shown.
#[derive(Clone, Debug)]
pub(crate) struct Presenter {
    pub(crate) kind: Kind,
    pub(crate) shape: Shape,
    pub(crate) include: IncludeObject,
}

impl Presenter {
    /// One object, for get, writes and watch events.
    pub(crate) fn object(&self, bytes: &Bytes, now: Timestamp) -> Result<Bytes, ApiError> {
        match self.shape {
            Shape::Object => Ok(bytes.clone()),
            Shape::Table(version) => {
                let object = decode(bytes)?;
                let version_of_object = object.pointer("/metadata/resourceVersion").cloned();
                let meta = version_of_object.map_or_else(|| json!({}), |rv| json!({ "resourceVersion": rv }));
                to_bytes(&self.table(std::slice::from_ref(&object), meta, version, now))
            }
            Shape::Metadata(version) => to_bytes(&metadata_only(&decode(bytes)?, version)),
        }
    }

    /// A list, as pieces that follow each other.
    pub(crate) fn list(&self, answer: ListAnswer, now: Timestamp) -> Result<Vec<Bytes>, ApiError> {
        let mut metadata = answer.metadata();
        if self.kind.is_custom() && self.shape == Shape::Object {
            // Lists of custom objects always have the field.
            let members = metadata.as_object_mut();
            members.and_then(|m| {
                (!m.contains_key("continue")).then(|| m.insert("continue".to_owned(), json!("")))
            });
        }
        match self.shape {
            Shape::Object => Ok(concatenated(&self.kind, &metadata, answer.items)),
            Shape::Table(version) => {
                let objects = answer.items.iter().map(|b| decode(b)).collect::<Result<Vec<_>, _>>()?;
                Ok(vec![to_bytes(&self.table(&objects, metadata, version, now))?])
            }
            Shape::Metadata(version) => {
                let decoded = answer.items.iter().map(|b| decode(b).map(|o| metadata_only(&o, version)));
                let items = decoded.collect::<Result<Vec<Value>, _>>()?;
                Ok(vec![to_bytes(&json!({
                    "kind": "PartialObjectMetadataList",
                    "apiVersion": version.api_version(),
                    "metadata": metadata,
                    "items": items,
                }))?])
            }
        }
    }

    /// A bookmark object: nothing but the revision that was reached.
    pub(crate) fn bookmark(&self, revision: Revision, initial_events_end: bool) -> Result<Bytes, ApiError> {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".to_owned(), json!(revision.to_string()));
        if initial_events_end {
            metadata.insert("annotations".to_owned(), json!({ INITIAL_EVENTS_END: "true" }));
        }
        let object = match self.shape {
            Shape::Object => {
                json!({ "kind": self.kind.kind(), "apiVersion": self.kind.api_version(), "metadata": metadata })
            }
            Shape::Table(version) => {
                // The annotation belongs to an object; a client that reads Tables finds it in the row's object.
                let object = json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": &metadata });
                let mut table = self.table(&[], Value::Object(metadata), version, Timestamp::UNIX_EPOCH);
                if initial_events_end {
                    let cells = vec![""; self.kind.columns().len()];
                    table["rows"] = json!([{ "cells": cells, "object": object }]);
                }
                table
            }
            Shape::Metadata(version) => {
                json!({
                    "kind": "PartialObjectMetadata", "apiVersion": version.api_version(), "metadata": metadata,
                })
            }
        };
        to_bytes(&object)
    }

    fn table(&self, objects: &[Value], metadata: Value, version: MetaVersion, now: Timestamp) -> Value {
        let mut table = table(&self.kind, objects.iter(), metadata, self.include, now);
        table["apiVersion"] = json!(version.api_version());
        table
    }
}

fn metadata_only(object: &Value, version: MetaVersion) -> Value {
    let mut partial = partial_object_metadata(object);
    partial["apiVersion"] = json!(version.api_version());
    partial
}

fn concatenated(kind: &Kind, metadata: &Value, items: Vec<Bytes>) -> Vec<Bytes> {
    let head = format!(
        "{{\"kind\":{},\"apiVersion\":{},\"metadata\":{metadata},\"items\":[",
        json!(kind.list_kind()),
        json!(kind.api_version()),
    );
    let mut pieces = Vec::with_capacity(items.len() * 2 + 2);
    pieces.push(Bytes::from(head));
    for (n, item) in items.into_iter().enumerate() {
        if n > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.push(item);
    }
    pieces.push(Bytes::from_static(b"]}"));
    pieces
}

/// An object as JSON bytes.
pub(crate) fn to_bytes(value: &Value) -> Result<Bytes, ApiError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(ApiError::internal)
}
