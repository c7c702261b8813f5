//! Validation of Deployments.

use serde_json::Value;

use super::check::{
    Errors, amount, at_most_all, count_or_percent, forbidden, invalid, required, unsupported,
};
use super::template::{self, Workload};
use super::{Path, integer, non_negative, text};
use crate::status::FieldError;

const STRATEGIES: &[&str] = &["Recreate", "RollingUpdate"];
const KIND: Workload = Workload {
    empty_selector: "empty selector is invalid for deployment",
    unusable_selector: "invalid label selector",
    name: "ReplicaSet",
};

pub(crate) fn validate(deployment: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&deployment["spec"], Path::new("spec"));
    non_negative(spec, &["replicas"], &path, &mut errors);
    template::workload(spec, &KIND, &[], &path, &mut errors);
    strategy(&spec["strategy"], &path.child("strategy"), &mut errors);
    let counts = ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"];
    non_negative(spec, &counts, &path, &mut errors);
    let (deadline, ready) = (integer(spec, "progressDeadlineSeconds"), integer(spec, "minReadySeconds"));
    if let Some(deadline) = deadline.filter(|d| *d <= ready.unwrap_or(0)) {
        let detail = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid("spec.progressDeadlineSeconds", deadline, detail));
    }
    errors
}

fn strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (kind, rolling) = (text(strategy, "type"), strategy.get("rollingUpdate"));
    let at = path.child("rollingUpdate");
    match (kind, rolling) {
        ("Recreate", Some(_)) => {
            forbidden(&at, "may not be specified when strategy `type` is 'Recreate'", errors);
        }
        ("Recreate", None) => {}
        ("RollingUpdate", None) => required(&at, "this should be defaulted and never be nil", errors),
        ("RollingUpdate", Some(rolling)) => {
            let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
            let unavailable_path = at.child("maxUnavailable");
            count_or_percent(unavailable, &unavailable_path, errors);
            count_or_percent(surge, &at.child("maxSurge"), errors);
            if amount(unavailable) == 0 && amount(surge) == 0 {
                let detail = "may not be 0 when `maxSurge` is 0";
                invalid(&unavailable_path, unavailable.clone(), detail, errors);
            }
            at_most_all(unavailable, &unavailable_path, errors);
        }
        _ => unsupported(path, strategy.clone(), STRATEGIES, errors),
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    template::fixed(old, new, &["selector"])
}

pub(crate) fn validate_status(_old: &Value, new: &Value) -> Vec<FieldError> {
    const COUNTS: &[&str] = &[
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "collisionCount",
    ];
    template::status_counts(new, COUNTS, &["updatedReplicas", "readyReplicas", "availableReplicas"])
}
