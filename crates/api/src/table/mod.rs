//! Tables: what `kubectl get` prints, made on the server (`meta.k8s.io/v1` `Table`).
//!
//! One file per kind holds its columns and cells; this one holds the envelope and what the files share. Column names,
//! order, types and priorities are those of Kubernetes, because scripts cut them. The clock is an argument.

pub(crate) mod admissionpolicy;
pub(crate) mod apiservice;
pub(crate) mod configmap;
pub(crate) mod controllerrevision;
pub(crate) mod crd;
pub(crate) mod cronjob;
pub(crate) mod csidriver;
pub(crate) mod csinode;
pub(crate) mod csistoragecapacity;
pub(crate) mod csr;
pub(crate) mod daemonset;
pub(crate) mod deployment;
pub(crate) mod endpoints;
pub(crate) mod endpointslice;
pub(crate) mod event;
pub(crate) mod horizontalpodautoscaler;
pub(crate) mod ingress;
pub(crate) mod ingressclass;
pub(crate) mod ipaddress;
pub(crate) mod job;
pub(crate) mod lease;
pub(crate) mod limitrange;
pub(crate) mod namespace;
pub(crate) mod networkpolicy;
pub(crate) mod node;
pub(crate) mod persistentvolume;
pub(crate) mod persistentvolumeclaim;
pub(crate) mod pod;
pub(crate) mod poddisruptionbudget;
pub(crate) mod podtemplate;
pub(crate) mod priorityclass;
pub(crate) mod replicaset;
pub(crate) mod replicationcontroller;
pub(crate) mod resourcequota;
pub(crate) mod role;
pub(crate) mod rolebinding;
pub(crate) mod runtimeclass;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod serviceaccount;
pub(crate) mod servicecidr;
pub(crate) mod statefulset;
pub(crate) mod storageclass;
#[cfg(test)]
mod tests;
pub(crate) mod volumeattachment;
pub(crate) mod volumeattributesclass;
pub(crate) mod webhookconfiguration;

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::catalogue::Kind;
use crate::meta;
use crate::selector::LabelSelector;

/// Definition of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading; kubectl prints it in capitals.
    pub name: Cow<'static, str>,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: Cow<'static, str>,
    /// `OpenAPI` format; `name` marks the name of the object.
    pub format: Cow<'static, str>,
    /// What it shows.
    pub description: Cow<'static, str>,
    /// 0 is always shown, 1 only with `-o wide`.
    pub priority: i32,
}

impl Column {
    /// A column that is always shown.
    pub const fn new(name: &'static str, kind: &'static str, description: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind: Cow::Borrowed(kind),
            format: Cow::Borrowed(""),
            description: Cow::Borrowed(description),
            priority: 0,
        }
    }

    /// A column that is shown with `-o wide`.
    pub const fn wide(name: &'static str, kind: &'static str, description: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            kind: Cow::Borrowed(kind),
            format: Cow::Borrowed(""),
            description: Cow::Borrowed(description),
            priority: 1,
        }
    }

    fn definition(&self) -> Value {
        json!({
            "name": self.name,
            "type": self.kind,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        })
    }
}

/// The first column of nearly every kind.
pub const NAME: Column = Column {
    name: Cow::Borrowed("Name"),
    kind: Cow::Borrowed("string"),
    format: Cow::Borrowed("name"),
    description: Cow::Borrowed("Name of the object, unique within its namespace and kind."),
    priority: 0,
};

/// How long ago the object was created.
pub const AGE: Column = Column::new("Age", "string", "Time since the object was created.");

/// What comes with each row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// A `PartialObjectMetadata`.
    #[default]
    Metadata,
    /// The whole object.
    Object,
    /// Nothing.
    None,
}

impl IncludeObject {
    /// From the query parameter `includeObject`.
    ///
    /// # Errors
    /// A 400 for an unknown policy.
    pub fn parse(text: &str) -> Result<Self, crate::ApiError> {
        match text {
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            "None" => Ok(Self::None),
            other => Err(crate::ApiError::bad_request(format!(
                "unrecognized includeObject value: {other:?}, must be one of Metadata, Object, None"
            ))),
        }
    }
}

/// A `Table` of objects. `list_meta` is the metadata of the list (`resourceVersion`, `continue`, ...).
pub fn table<'a>(
    kind: &Kind,
    items: impl Iterator<Item = &'a Value>,
    list_meta: Value,
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let columns: Vec<Value> = kind.columns().iter().map(Column::definition).collect();
    let rows: Vec<Value> = items.map(|object| row(kind, object, include, now)).collect();
    let list_meta = if list_meta.is_object() { list_meta } else { json!({}) };
    json!({
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": list_meta,
        "columnDefinitions": columns,
        "rows": rows,
    })
}

fn row(kind: &Kind, object: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let included = match include {
        IncludeObject::Metadata => partial_object_metadata(object),
        IncludeObject::Object => object.clone(),
        IncludeObject::None => Value::Null,
    };
    let mut row = json!({ "cells": kind.cells(object, now), "object": included });
    let conditions = kind.row_conditions(object);
    if !conditions.is_empty() {
        row["conditions"] = Value::Array(conditions);
    }
    row
}

/// Only the metadata of an object, as `meta.k8s.io/v1` `PartialObjectMetadata`.
pub fn partial_object_metadata(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object.get("metadata").cloned().unwrap_or_else(|| json!({})),
    })
}

/// A duration as people read it: `45s`, `3m2s`, `45h`, `3d4h`, `2y30d`.
pub fn human_duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |large: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{large}{unit}") } else { format!("{large}{unit}{small}{small_unit}") }
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, "m", s % MINUTE, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, "d", s % DAY / HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(s / YEAR, "y", s % YEAR / DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

/// Time since a timestamp, `<unknown>` when there is none.
pub(crate) fn since(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(|| "<unknown>".to_owned(), |t| human_duration(now.as_second() - t.as_second()))
}

/// The Age cell.
pub(crate) fn age(object: &Value, now: Timestamp) -> Value {
    json!(since(meta::creation_timestamp(object), now))
}

/// The Name cell.
pub(crate) fn name(object: &Value) -> Value {
    json!(meta::name(object))
}

/// Text at a JSON pointer, or empty.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Integer at a JSON pointer, or 0.
pub(crate) fn number(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

/// Items of the list at a JSON pointer, none when it is missing.
pub(crate) fn items<'a>(object: &'a Value, pointer: &str) -> std::slice::Iter<'a, Value> {
    object.pointer(pointer).and_then(Value::as_array).map_or([].iter(), |list| list.iter())
}

/// Time at a JSON pointer.
pub(crate) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    text(object, pointer).parse().ok()
}

/// The text, or `<none>`.
pub(crate) fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// Names and images of the containers in a pod template, joined by commas: two cells of `-o wide`.
pub(crate) fn containers(object: &Value) -> [Value; 2] {
    containers_at(object, "/spec/template/spec/containers")
}

/// As [`containers`], for a list at another JSON pointer.
pub(crate) fn containers_at(object: &Value, pointer: &str) -> [Value; 2] {
    let joined = |key: &str| {
        let list = items(object, pointer);
        list.filter_map(|c| c.get(key).and_then(Value::as_str)).collect::<Vec<_>>().join(",")
    };
    [json!(joined("name")), json!(joined("image"))]
}

/// A selector as text, `<none>` when there is none.
pub(crate) fn selector(object: &Value) -> Value {
    selector_at(object, "/spec/selector")
}

/// As [`selector`], for one at another JSON pointer.
pub(crate) fn selector_at(object: &Value, pointer: &str) -> Value {
    let selector = object.pointer(pointer).and_then(|s| LabelSelector::from_json(s).ok());
    json!(or_none(&selector.map(|s| s.to_string()).unwrap_or_default()))
}

/// A map of labels as `a=b,c=d`, `<none>` when there are none.
pub(crate) fn label_map(labels: Option<&Map<String, Value>>) -> String {
    let mut pairs: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    pairs.sort();
    or_none(&pairs.join(",")).to_owned()
}

/// A list cut after three entries, `<unset>` when empty.
pub(crate) fn first_three(all: &[String]) -> String {
    const SHOWN: usize = 3;
    match all.len() {
        0 => "<unset>".to_owned(),
        n if n > SHOWN => format!("{} + {} more...", all[..SHOWN].join(","), n - SHOWN),
        _ => all.join(","),
    }
}

/// Whether a condition of `status.conditions` has a status.
pub(crate) fn condition_is(object: &Value, kind: &str, status: &str) -> bool {
    items(object, "/status/conditions").any(|c| text(c, "/type") == kind && text(c, "/status") == status)
}

/// For kinds without row conditions.
pub(crate) fn no_conditions(_object: &Value) -> Vec<Value> {
    Vec::new()
}
