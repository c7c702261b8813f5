//! Defaults of `DaemonSets`.

use serde_json::{Value, json};

use super::{object_or_new, podspec, set, spec_mut, text};
use crate::catalogue::CreateFacts;
use crate::meta;

/// Where the counter of changes of the template is kept.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(crate) fn apply(daemon_set: &mut Value) {
    if meta::annotation(daemon_set, TEMPLATE_GENERATION).is_none() {
        set_template_generation(daemon_set, 0);
    }
    let Some(spec) = spec_mut(daemon_set) else { return };
    set(spec, "revisionHistoryLimit", 10);
    if let Some(strategy) = object_or_new(spec, "updateStrategy") {
        if text(strategy, "type").is_empty() {
            strategy.insert("type".to_owned(), json!("RollingUpdate"));
        }
        if text(strategy, "type") == "RollingUpdate"
            && let Some(rolling) = object_or_new(strategy, "rollingUpdate")
        {
            set(rolling, "maxUnavailable", 1);
            set(rolling, "maxSurge", 0);
        }
    }
    podspec::apply_template(spec);
}

pub(crate) fn prepare_create(daemon_set: &mut Value, _facts: &CreateFacts) {
    set_template_generation(daemon_set, 1);
}

/// Only the server counts.
pub(crate) fn prepare_update(old: &Value, new: &mut Value) {
    let counted = meta::annotation(old, TEMPLATE_GENERATION).and_then(|text| text.parse().ok()).unwrap_or(0);
    let changed = old.pointer("/spec/template") != new.pointer("/spec/template");
    set_template_generation(new, counted + i64::from(changed));
}

fn set_template_generation(daemon_set: &mut Value, count: i64) {
    if let Some(annotations) =
        meta::metadata_mut(daemon_set).and_then(|metadata| object_or_new(metadata, "annotations"))
    {
        annotations.insert(TEMPLATE_GENERATION.to_owned(), json!(count.to_string()));
    }
}
