//! `IPAddresses` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Column, NAME, name, text};
use crate::status::GroupResource;

/// Kubernetes shows no age here.
pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("ParentRef", "string", "Object that the address belongs to.")];

pub(crate) fn cells(address: &Value, _now: Timestamp) -> Vec<Value> {
    vec![name(address), json!(parent(address))]
}

fn parent(address: &Value) -> String {
    let Some(parent) = address.pointer("/spec/parentRef") else { return "<none>".to_owned() };
    let resource = GroupResource::new(text(parent, "/group"), text(parent, "/resource"));
    let resource = resource.to_string().to_lowercase();
    match text(parent, "/namespace") {
        "" => format!("{resource}/{}", text(parent, "/name")),
        namespace => format!("{resource}/{namespace}/{}", text(parent, "/name")),
    }
}
