//! Validation of `IPAddresses`: the name is the address.

use serde_json::Value;

use super::address::{Form, parse};
use super::{Path, ingress, names, text};
use crate::meta;
use crate::status::FieldError;

pub(crate) fn validate(address: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let name = meta::name(address);
    if let (false, Err(wrong)) = (name.is_empty(), parse(name, Form::Canonical)) {
        errors.push(Path::new("metadata").child("name").invalid(name, wrong));
    }
    let path = Path::new("spec").child("parentRef");
    let Some(parent) = address["spec"].get("parentRef") else {
        errors.push(path.required(""));
        return errors;
    };
    let group = text(parent, "group");
    if !group.is_empty() {
        path.child("group").each(group, names::dns1123_subdomain(group), &mut errors);
    }
    for key in ["resource", "name"] {
        ingress::required_segment(parent, key, &path, &mut errors);
    }
    let namespace = text(parent, "namespace");
    path.child("namespace").each(namespace, names::path_segment(namespace), &mut errors);
    errors
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let at = |address: &Value| address["spec"]["parentRef"].clone();
    Path::new("spec").child("parentRef").unchanged(&at(old), &at(new), &mut errors);
    errors
}
