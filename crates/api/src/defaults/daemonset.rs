//! Defaults of `DaemonSets`.

use serde_json::{Value, json};

use super::{object_or_new, podspec, set, spec_mut, text};

pub(crate) fn apply(daemon_set: &mut Value) {
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
