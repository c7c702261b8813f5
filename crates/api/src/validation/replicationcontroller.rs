//! Validation of `ReplicationControllers`. Their selector is a plain map of labels.

use serde_json::{Map, Value};

use super::check::{invalid, required};
use super::{Path, non_negative, template};
use crate::status::FieldError;

pub(crate) use super::replicaset::validate_status;

pub(crate) fn validate(controller: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&controller["spec"], Path::new("spec"));
    non_negative(spec, &["minReadySeconds"], &path, &mut errors);
    let selector = spec.get("selector").and_then(Value::as_object).filter(|map| !map.is_empty());
    if selector.is_none() {
        required(&path.child("selector"), "", &mut errors);
    }
    non_negative(spec, &["replicas"], &path, &mut errors);
    let at = path.child("template");
    let Some(pods) = spec.get("template") else {
        required(&at, "", &mut errors);
        return errors;
    };
    let labels = pods.pointer("/metadata/labels").and_then(Value::as_object);
    let matches = |(key, value): (&String, &Value)| labels.and_then(|labels| labels.get(key)) == Some(value);
    if !selector.into_iter().flatten().all(matches) {
        let shown = Value::Object(labels.cloned().unwrap_or_else(Map::new));
        let detail = "`selector` does not match template `labels`";
        invalid(&at.child("metadata").child("labels"), shown, detail, &mut errors);
    }
    template::validate(pods, &[], &at, &mut errors);
    template::always(pods, "ReplicationController", &at, &mut errors);
    errors
}
