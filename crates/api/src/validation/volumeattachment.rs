//! Validation of `VolumeAttachments`. An inline volume is not looked into: only drivers of old in-tree plugins use one.

use serde_json::Value;

use super::csidriver::driver_name;
use super::{Path, integer, names, text};
use crate::status::FieldError;

const METADATA_BYTES_MAX: usize = 256 * 1024;
const MESSAGE_BYTES_MAX: usize = 1024;

pub(crate) fn validate(attachment: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&attachment["spec"], Path::new("spec"));
    let attacher = text(spec, "attacher");
    if !attacher.is_empty() {
        driver_name(attacher, &path.child("attacher"), &mut errors);
    }
    source(&spec["source"], &path.child("source"), &mut errors);
    let node = text(spec, "nodeName");
    path.child("nodeName").each(node, names::dns1123_subdomain(node), &mut errors);
    status(&attachment["status"], &mut errors);
    if let Some(volume) = spec.pointer("/source/persistentVolumeName").and_then(Value::as_str) {
        let path = path.child("source").child("persistentVolumeName");
        path.each(volume, names::dns1123_subdomain(volume), &mut errors);
    }
    if attacher.is_empty() {
        errors.push(path.child("attacher").required(""));
    }
    errors
}

fn source(source: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (source.get("inlineVolumeSpec"), source.get("persistentVolumeName")) {
        (None, None) => errors.push(path.required(detail)),
        (Some(_), Some(_)) => errors.push(path.forbidden(detail)),
        (None, Some(name)) if name.as_str().is_none_or(str::is_empty) => {
            let detail = "must specify non empty persistentVolumeName";
            errors.push(path.child("persistentVolumeName").required(detail));
        }
        _ => {}
    }
}

fn status(status: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("status");
    let metadata = status.get("attachmentMetadata").and_then(Value::as_object);
    let bytes: usize =
        metadata.into_iter().flatten().map(|(k, v)| k.len() + v.as_str().map_or(0, str::len)).sum();
    if bytes > METADATA_BYTES_MAX {
        errors.push(path.child("attachmentMetadata").too_long(METADATA_BYTES_MAX));
    }
    for key in ["attachError", "detachError"] {
        let (error, path) = (&status[key], path.child(key));
        if text(error, "message").len() > MESSAGE_BYTES_MAX {
            errors.push(path.child("message").too_long(MESSAGE_BYTES_MAX));
        }
        if let Some(code) = integer(error, "errorCode").filter(|c| *c < 0) {
            errors.push(path.child("errorCode").invalid(code, "must be between 0 and 2147483647, inclusive"));
        }
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    Path::new("spec").unchanged(&old["spec"], &new["spec"], &mut errors);
    errors
}
