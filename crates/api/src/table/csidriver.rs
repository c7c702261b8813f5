//! `CSIDrivers` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name, or_none, text};

pub(crate) const COLUMNS: &[Column] = &[
    NAME,
    Column::new("AttachRequired", "boolean", "Whether volumes are attached to nodes."),
    Column::new("PodInfoOnMount", "boolean", "Whether the driver is told about the pod."),
    Column::new("StorageCapacity", "boolean", "Whether the driver says how much it has."),
    Column::new("TokenRequests", "string", "Audiences of the tokens that the driver gets."),
    Column::new("RequiresRepublish", "boolean", "Whether volumes are published again and again."),
    Column::new("Modes", "string", "How long volumes live."),
    AGE,
];

pub(crate) fn cells(driver: &Value, now: Timestamp) -> Vec<Value> {
    let flag = |pointer: &str, missing: bool| {
        json!(driver.pointer(pointer).and_then(Value::as_bool).unwrap_or(missing))
    };
    let modes: Vec<&str> = items(driver, "/spec/volumeLifecycleModes").filter_map(Value::as_str).collect();
    let audiences = items(driver, "/spec/tokenRequests").map(|request| text(request, "/audience"));
    let audiences = audiences.collect::<Vec<_>>().join(",");
    let asks = driver.pointer("/spec/tokenRequests").is_some();
    let tokens = if asks { audiences.as_str() } else { "<unset>" };
    vec![
        name(driver),
        flag("/spec/attachRequired", true),
        flag("/spec/podInfoOnMount", false),
        flag("/spec/storageCapacity", false),
        json!(tokens),
        flag("/spec/requiresRepublish", false),
        json!(or_none(&modes.join(","))),
        age(driver, now),
    ]
}
