//! Defaults of Deployments.

use serde_json::{Value, json};

use super::{object, object_or_new, podspec, set, spec_mut, text};

pub(crate) fn apply(deployment: &mut Value) {
    let Some(spec) = spec_mut(deployment) else { return };
    set(spec, "replicas", 1);
    set(spec, "revisionHistoryLimit", 10);
    set(spec, "progressDeadlineSeconds", 600);
    if let Some(strategy) = object_or_new(spec, "strategy") {
        if text(strategy, "type").is_empty() {
            strategy.insert("type".to_owned(), json!("RollingUpdate"));
        }
        if text(strategy, "type") == "RollingUpdate" {
            object_or_new(strategy, "rollingUpdate");
            if let Some(rolling) = object(strategy, "rollingUpdate") {
                set(rolling, "maxUnavailable", "25%");
                set(rolling, "maxSurge", "25%");
            }
        }
    }
    podspec::apply_template(spec);
}
