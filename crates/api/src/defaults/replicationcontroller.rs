//! Defaults of `ReplicationControllers`: labels and selector come from the template.

use serde_json::{Map, Value};

use super::{podspec, set, spec_mut};
use crate::meta;

pub(crate) fn apply(controller: &mut Value) {
    let labels = controller.pointer("/spec/template/metadata/labels").cloned();
    let labels = labels.filter(|labels| labels.as_object().is_some_and(|map| !map.is_empty()));
    if let Some(labels) = &labels
        && meta::labels(controller).is_none_or(Map::is_empty)
    {
        meta::set(controller, "labels", labels.clone());
    }
    let Some(spec) = spec_mut(controller) else { return };
    if let Some(labels) = labels
        && spec.get("selector").and_then(Value::as_object).is_none_or(Map::is_empty)
    {
        spec.insert("selector".to_owned(), labels);
    }
    set(spec, "replicas", 1);
    podspec::apply_template(spec);
}
