//! Pods: deleted with a grace when something may be running, at once otherwise.

use serde_json::Value;

use super::{DEFAULT_DELETION, DeletionRules};

const DEFAULT_GRACE_S: i64 = 30;

pub(crate) const DELETION: DeletionRules =
    DeletionRules { grace: |pod| Some(grace(pod)), answers_object: true, ..DEFAULT_DELETION };

/// Zero says that nothing runs, so that no grace is worth waiting for.
fn grace(pod: &Value) -> i64 {
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let unscheduled = text("/spec/nodeName").is_empty();
    let finished = matches!(text("/status/phase"), "Succeeded" | "Failed");
    if unscheduled || finished {
        return 0;
    }
    let own = pod.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    // A negative period in the spec has always been read as the shortest one.
    own.map_or(DEFAULT_GRACE_S, |seconds| if seconds < 0 { 1 } else { seconds })
}
