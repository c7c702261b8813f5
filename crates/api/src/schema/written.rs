//! The fields that Go writes although nobody set them, and where the structs among them come from.
//!
//! Structs are made first, because defaults look into them; scalars and `null`s come last, because a default must find
//! what was left out. What is inside lists and maps that are there counts, too.
//!
//! Invariant: completing twice is completing once.

use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::{Cardinality, Field, FieldKind, Message, Special, Written, schema};
use crate::catalogue::Gvk;

static NULL: Value = Value::Null;
static FALSE: Value = Value::Bool(false);
static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
static TEXT: LazyLock<Value> = LazyLock::new(|| json!(""));
static NUMBER: LazyLock<Value> = LazyLock::new(|| json!(0));
static QUANTITY: LazyLock<Value> = LazyLock::new(|| json!("0"));

/// The zero value of a field that is always written.
pub(super) fn zero(field: &Field, written: Written) -> &'static Value {
    if written == Written::Null || field.cardinality != Cardinality::One {
        return &NULL;
    }
    match field.kind {
        FieldKind::String => &TEXT,
        FieldKind::Int32 | FieldKind::Int64 | FieldKind::Double => &NUMBER,
        FieldKind::Bool => &FALSE,
        FieldKind::Bytes => &NULL,
        FieldKind::Message(id) => match schema().get(id).special {
            None => &EMPTY,
            Some(Special::Quantity) => &QUANTITY,
            Some(Special::IntOrString) => &NUMBER,
            Some(_) => &NULL,
        },
    }
}

/// Adds what Go writes and is not there yet. Kinds that are not in the table stay as they are.
pub fn complete(gvk: &Gvk, value: &mut Value) {
    if let (Some(message), Value::Object(object)) =
        (schema().by_gvk(&gvk.group, &gvk.version, &gvk.kind), value)
    {
        fields(message, object);
    }
}

fn fields(message: &Message, object: &mut Map<String, Value>) {
    for field in message.fields() {
        if let Some(value) = object.get_mut(field.name) {
            inside(field, value);
        } else if let Some(zero) = field.zero() {
            let mut zero = zero.clone();
            inside(field, &mut zero);
            object.insert(field.name.to_owned(), zero);
        }
    }
}

fn inside(field: &Field, value: &mut Value) {
    let Some(message) = field.message().filter(|message| message.special.is_none()) else { return };
    match (field.cardinality, value) {
        (Cardinality::One, Value::Object(object)) => fields(message, object),
        (Cardinality::List, Value::Array(items)) => {
            items.iter_mut().filter_map(Value::as_object_mut).for_each(|item| fields(message, item));
        }
        (Cardinality::Map, Value::Object(entries)) => {
            entries.values_mut().filter_map(Value::as_object_mut).for_each(|entry| fields(message, entry));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(gvk: &Gvk, mut value: Value) -> Value {
        complete(gvk, &mut value);
        let once = value.clone();
        complete(gvk, &mut value);
        assert_eq!(value, once, "completing twice is completing once");
        value
    }

    #[test]
    fn what_go_always_writes() {
        let event = completed(&Gvk::fixed("", "v1", "Event"), json!({ "metadata": { "name": "e" } }));
        let wanted = json!({
            "metadata": { "name": "e" }, "involvedObject": {}, "source": {}, "eventTime": null, "firstTimestamp": null,
            "lastTimestamp": null, "reportingComponent": "", "reportingInstance": "",
        });
        assert_eq!(event, wanted);
        let node = completed(
            &Gvk::fixed("", "v1", "Node"),
            json!({ "status": { "conditions": [{ "type": "Ready" }] } }),
        );
        assert_eq!(node["status"]["daemonEndpoints"], json!({ "kubeletEndpoint": { "Port": 0 } }));
        let condition =
            json!({ "type": "Ready", "status": "", "lastHeartbeatTime": null, "lastTransitionTime": null });
        assert_eq!(node["status"]["conditions"], json!([condition]));
        assert_eq!(node["status"]["nodeInfo"]["bootID"], json!(""));
        let range = completed(&Gvk::fixed("", "v1", "LimitRange"), json!({ "spec": {} }));
        assert_eq!(range["spec"], json!({ "limits": null }));
    }

    #[test]
    fn what_is_there_stays() {
        let slice = Gvk::fixed("discovery.k8s.io", "v1", "EndpointSlice");
        let given = json!({ "addressType": "IPv4", "endpoints": [{ "addresses": ["10.0.0.1"] }], "ports": [{ "port": 1 }] });
        let done = completed(&slice, given);
        assert_eq!(done["ports"], json!([{ "port": 1 }]));
        assert_eq!(done["endpoints"], json!([{ "addresses": ["10.0.0.1"], "conditions": {} }]));
    }
}
