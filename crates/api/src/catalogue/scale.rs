//! The `scale` subresource: reads and writes the replica count of any kind that has one.
//!
//! Does not talk to autoscalers; it only translates between an object and its `autoscaling/v1` `Scale`.

use serde_json::{Map, Value, json};

use super::{Kind, Subresource};
use crate::crd::ScalePaths;
use crate::selector::LabelSelector;

/// JSON pointers into an object.
struct Pointers<'a> {
    spec: &'a str,
    status: &'a str,
    selector: Option<&'a str>,
}

fn pointers(kind: &Kind) -> Option<Pointers<'_>> {
    match kind {
        Kind::Builtin(row) => row.subresources.contains(&Subresource::Scale).then_some(Pointers {
            spec: "/spec/replicas",
            status: "/status/replicas",
            selector: Some("/spec/selector"),
        }),
        Kind::Custom(custom) => {
            let ScalePaths { spec_replicas, status_replicas, label_selector } = custom.scale.as_ref()?;
            Some(Pointers {
                spec: spec_replicas,
                status: status_replicas,
                selector: label_selector.as_deref(),
            })
        }
    }
}

/// Where the wished number of replicas is, as a JSON pointer.
pub(super) fn replicas_pointer(kind: &Kind) -> Option<&str> {
    pointers(kind).map(|at| at.spec)
}

/// A Scale carries just enough metadata to be written back with a precondition.
fn metadata_of(object: &Value) -> Map<String, Value> {
    ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), object.get("metadata")?.get(key)?.clone())))
        .collect()
}

/// The selector of a `ReplicationController` is a plain map of labels.
fn plain_labels(selector: &Map<String, Value>) -> bool {
    !selector.is_empty() && selector.values().all(Value::is_string)
}

pub(super) fn read(kind: &Kind, object: &Value) -> Option<Value> {
    let at = pointers(kind)?;
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    let mut status = json!({ "replicas": number(at.status) });
    match at.selector.and_then(|pointer| object.pointer(pointer)) {
        Some(Value::String(text)) => status["selector"] = json!(text),
        Some(Value::Object(map)) if plain_labels(map) => {
            let pairs =
                map.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
            status["selector"] = json!(pairs.collect::<Vec<_>>().join(","));
        }
        Some(found) => {
            if let Ok(selector) = LabelSelector::from_json(found) {
                status["selector"] = json!(selector.to_string());
            }
        }
        None => {}
    }
    // Zero is left out, as of any optional number.
    let spec = match number(at.spec) {
        0 => json!({}),
        replicas => json!({ "replicas": replicas }),
    };
    Some(json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata_of(object),
        "spec": spec,
        "status": status,
    }))
}

pub(super) fn write(kind: &Kind, object: &mut Value, replicas: i64) -> bool {
    let Some(at) = pointers(kind) else { return false };
    let mut place = object;
    for key in at.spec.split('/').skip(1) {
        let Value::Object(map) = place else { return false };
        place = map.entry(key).or_insert_with(|| json!({}));
    }
    *place = json!(replicas);
    true
}
