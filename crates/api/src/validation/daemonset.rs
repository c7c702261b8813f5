//! Validation of `DaemonSets`.

use serde_json::Value;

use super::check::{
    Errors, amount, at_most_all, count_or_percent, invalid, is_empty_selector, label_selector, required,
    unsupported,
};
use super::{Path, non_negative, template, text};
use crate::status::FieldError;

const STRATEGIES: &[&str] = &["RollingUpdate", "OnDelete"];

pub(crate) fn validate(daemon_set: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&daemon_set["spec"], Path::new("spec"));
    label_selector(&spec["selector"], &path.child("selector"), &mut errors);
    template::matches_selector(spec, &path, &mut errors);
    if spec.get("selector").is_some_and(is_empty_selector) {
        let detail = "empty selector is invalid for daemonset";
        invalid(&path.child("selector"), spec["selector"].clone(), detail, &mut errors);
    }
    let pods = path.child("template");
    template::validate(&spec["template"], &[], &pods, &mut errors);
    template::always(&spec["template"], "DaemonSet", &pods, &mut errors);
    non_negative(spec, &["minReadySeconds"], &path, &mut errors);
    strategy(&spec["updateStrategy"], &path.child("updateStrategy"), &mut errors);
    non_negative(spec, &["revisionHistoryLimit"], &path, &mut errors);
    errors
}

fn strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("rollingUpdate");
    match (text(strategy, "type"), strategy.get("rollingUpdate")) {
        ("OnDelete", _) => {}
        ("RollingUpdate", None) => required(&at, "", errors),
        ("RollingUpdate", Some(rolling)) => {
            let parts = ["maxUnavailable", "maxSurge"].map(|key| (&rolling[key], at.child(key)));
            for (value, path) in &parts {
                count_or_percent(value, path, errors);
            }
            for (value, path) in &parts {
                at_most_all(value, path, errors);
            }
            let [(unavailable, unavailable_path), (surge, surge_path)] = &parts;
            match (amount(unavailable) != 0, amount(surge) != 0) {
                (true, true) => {
                    let detail = "may not be set when maxUnavailable is non-zero";
                    invalid(surge_path, (*surge).clone(), detail, errors);
                }
                (false, false) => required(unavailable_path, "cannot be 0 when maxSurge is 0", errors),
                _ => {}
            }
        }
        _ => unsupported(path, strategy.clone(), STRATEGIES, errors),
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    template::fixed(old, new, &["selector"])
}

pub(crate) fn validate_status(_old: &Value, new: &Value) -> Vec<FieldError> {
    const COUNTS: &[&str] = &[
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    template::status_counts(new, COUNTS, &[])
}
