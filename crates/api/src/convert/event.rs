//! Events: `events.k8s.io/v1` calls the fields of `core/v1` by other names.

use serde_json::Value;

use super::rename;

/// Names in `events.k8s.io/v1` and in `core/v1`.
const NAMES: &[(&str, &str)] = &[
    ("note", "message"),
    ("regarding", "involvedObject"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

pub(crate) fn to_core(event: &mut Value) {
    rename(event, NAMES, true);
}

pub(crate) fn from_core(event: &mut Value) {
    rename(event, NAMES, false);
}
