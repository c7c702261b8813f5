//! Validation of `CSIDrivers`.

use serde_json::Value;

use super::{Path, integer, list, names, text};
use crate::status::FieldError;

const NAME_BYTES_MAX: usize = 63;
const FS_GROUP_POLICIES: &[&str] = &["File", "None", "ReadWriteOnceWithFSType"];
const MODES: &[&str] = &["Persistent", "Ephemeral"];
const EXPIRATION_MIN_S: i64 = 600;
const EXPIRATION_MAX_S: i64 = 1 << 32;
const UPDATE_PERIOD_MIN_S: i64 = 10;

/// The name of a driver, where another object names one.
pub(super) fn driver_name(name: &str, path: &Path, errors: &mut Vec<FieldError>) {
    if name.is_empty() {
        errors.push(path.required(""));
        return;
    }
    if name.len() > NAME_BYTES_MAX {
        errors.push(path.too_long(NAME_BYTES_MAX));
    }
    path.each(name, names::dns1123_subdomain(&name.to_lowercase()), errors);
}

pub(crate) fn validate(driver: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&driver["spec"], Path::new("spec"));
    // Kubernetes says `attachedRequired`, though the field is `attachRequired`.
    let flags = [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ];
    for (key, shown) in flags {
        if spec.get(key).is_none() {
            errors.push(path.child(shown).required(""));
        }
    }
    super::one_of(spec, "fsGroupPolicy", FS_GROUP_POLICIES, &path, &mut errors);
    token_requests(spec, &path.child("tokenRequests"), &mut errors);
    for mode in list(spec, "volumeLifecycleModes") {
        if !mode.as_str().is_some_and(|m| MODES.contains(&m)) {
            errors.push(path.child("volumeLifecycleModes").not_supported(mode.clone(), MODES));
        }
    }
    for key in ["seLinuxMount", "preventPodSchedulingIfMissing"] {
        if spec.get(key).is_none() {
            errors.push(path.child(key).required(""));
        }
    }
    let key = "nodeAllocatableUpdatePeriodSeconds";
    if let Some(seconds) = integer(spec, key).filter(|s| *s < UPDATE_PERIOD_MIN_S) {
        errors.push(path.child(key).invalid(seconds, "must be greater than or equal to 10 seconds"));
    }
    let key = "serviceAccountTokenInSecrets";
    if let Some(flag) = spec.get(key)
        && list(spec, "tokenRequests").is_empty()
    {
        let detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified";
        errors.push(path.child(key).invalid(flag.clone(), detail));
    }
    errors
}

fn token_requests(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut audiences = Vec::new();
    for (index, request) in list(spec, "tokenRequests").iter().enumerate() {
        let (path, audience) = (path.index(index), text(request, "audience"));
        if audiences.contains(&audience) {
            errors.push(path.child("audience").duplicate(audience));
            continue;
        }
        audiences.push(audience);
        let Some(seconds) = integer(request, "expirationSeconds") else { continue };
        let path = path.child("expirationSeconds");
        if seconds < EXPIRATION_MIN_S {
            errors.push(path.invalid(seconds, "may not specify a duration less than 10 minutes"));
        }
        if seconds > EXPIRATION_MAX_S {
            errors.push(path.invalid(seconds, "may not specify a duration larger than 2^32 seconds"));
        }
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let path = Path::new("spec");
    for (key, shown) in
        [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
    {
        path.child(shown).unchanged(&old["spec"][key], &new["spec"][key], &mut errors);
    }
    errors
}
