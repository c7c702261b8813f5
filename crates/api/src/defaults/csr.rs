//! `CertificateSigningRequests`: what is asked for never changes, and who asked is the server's to say.

use serde_json::{Value, json};

use crate::catalogue::CreateFacts;
use crate::meta;

/// Members of `spec` that name who asked; filled in by the server from the request.
const REQUESTER: &[&str] = &["username", "uid", "groups", "extra"];

pub(crate) fn prepare_create(object: &mut Value, _facts: &CreateFacts) {
    if let Some(spec) = super::spec_mut(object) {
        for key in REQUESTER {
            spec.remove(*key);
        }
    }
    if let Some(map) = object.as_object_mut() {
        map.insert("status".to_owned(), json!({}));
    }
}

pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    meta::copy_member(old, new, "spec");
}
