//! Validation of what a Job does when pods fail, and when it counts as a success early.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Errors, duplicate, invalid, required, shaped, unsupported};
use super::{Path, integer, list, names, non_negative, text};
use crate::status::FieldError;

const ACTIONS: &[&str] = &["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: &[&str] = &["In", "NotIn"];
const STATUSES: &[&str] = &["False", "True", "Unknown"];
const RULES_MAX: usize = 20;
const VALUES_MAX: usize = 255;
const PATTERNS_MAX: usize = 20;
const INDEXES_BYTES_MAX: usize = 64 * 1024;

fn valid_values(allowed: &[&str]) -> String {
    let quoted: Vec<String> = allowed.iter().map(|a| format!("{a:?}")).collect();
    format!("valid values: [{}]", quoted.join(" "))
}

/// An error without the value it is about.
fn about(path: &Path, detail: &str, errors: &mut Errors) {
    let error = FieldError::invalid(path.to_string(), Value::Null, detail);
    errors.push(FieldError { bad_value: None, ..error });
}

fn too_many(path: &Path, actual: usize, max: usize, errors: &mut Errors) {
    if actual > max {
        errors.push(FieldError::too_many(path.to_string(), actual, max));
    }
}

/// `podFailurePolicy`.
pub(super) fn failure(spec: &Value, path: &Path, errors: &mut Errors) {
    let rules = list(&spec["podFailurePolicy"], "rules");
    let path = path.child("rules");
    too_many(&path, rules.len(), RULES_MAX, errors);
    let of = |key: &str| spec.pointer(&format!("/template/spec/{key}")).and_then(Value::as_array);
    let containers: Vec<&str> = [of("containers"), of("initContainers")]
        .into_iter()
        .flatten()
        .flatten()
        .map(|container| text(container, "name"))
        .collect();
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        let (action, at) = (text(rule, "action"), path.child("action"));
        if action.is_empty() {
            required(&at, valid_values(ACTIONS), errors);
        } else if action == "FailIndex" {
            if spec.get("backoffLimitPerIndex").is_none() {
                invalid(&at, action, "requires the backoffLimitPerIndex to be set", errors);
            }
        } else if !ACTIONS.contains(&action) {
            unsupported(&at, action, ACTIONS, errors);
        }
        let (codes, conditions) = (rule.get("onExitCodes"), list(rule, "onPodConditions"));
        if let Some(codes) = codes {
            exit_codes(codes, &containers, &path.child("onExitCodes"), errors);
        }
        pod_conditions(conditions, &path.child("onPodConditions"), errors);
        match (codes.is_some(), !conditions.is_empty()) {
            (true, true) => {
                about(&path, "specifying both OnExitCodes and OnPodConditions is not supported", errors);
            }
            (false, false) => {
                about(&path, "specifying one of OnExitCodes and OnPodConditions is required", errors);
            }
            _ => {}
        }
    }
}

fn pod_conditions(patterns: &[Value], path: &Path, errors: &mut Errors) {
    too_many(path, patterns.len(), PATTERNS_MAX, errors);
    for (index, pattern) in patterns.iter().enumerate() {
        let path = path.index(index);
        shaped(text(pattern, "type"), names::qualified_name, &path.child("type"), errors);
        match text(pattern, "status") {
            "" => required(&path.child("status"), valid_values(STATUSES), errors),
            status if !STATUSES.contains(&status) => {
                unsupported(&path.child("status"), status, STATUSES, errors);
            }
            _ => {}
        }
    }
}

fn exit_codes(codes: &Value, containers: &[&str], path: &Path, errors: &mut Errors) {
    let operator = text(codes, "operator");
    if operator.is_empty() {
        required(&path.child("operator"), valid_values(OPERATORS), errors);
    } else if !OPERATORS.contains(&operator) {
        unsupported(&path.child("operator"), operator, OPERATORS, errors);
    }
    if let Some(name) = codes.get("containerName").and_then(Value::as_str)
        && !containers.contains(&name)
    {
        let detail = "must be one of the container or initContainer names in the pod template";
        invalid(&path.child("containerName"), name, detail, errors);
    }
    let (values, path) = (list(codes, "values"), path.child("values"));
    if values.is_empty() {
        invalid(&path, values.to_vec(), "at least one value is required", errors);
    }
    too_many(&path, values.len(), VALUES_MAX, errors);
    let numbers: Vec<i64> = values.iter().map(|v| v.as_i64().unwrap_or(0)).collect();
    let mut taken = BTreeSet::new();
    for (index, number) in numbers.iter().enumerate() {
        if operator == "In" && *number == 0 {
            invalid(&path.index(index), *number, "must not be 0 for the In operator", errors);
        }
        if !taken.insert(number) {
            duplicate(&path.index(index), *number, errors);
        }
    }
    if !numbers.is_sorted() {
        invalid(&path, values.to_vec(), "must be ordered", errors);
    }
}

/// `successPolicy` of an indexed job.
pub(super) fn success(spec: &Value, path: &Path, errors: &mut Errors) {
    let (rules, path) = (list(&spec["successPolicy"], "rules"), path.child("rules"));
    let completions = integer(spec, "completions").unwrap_or(0);
    if rules.is_empty() {
        let detail = "at least one rules must be specified when the successPolicy is specified";
        required(&path, detail, errors);
    }
    too_many(&path, rules.len(), RULES_MAX, errors);
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        let (count, indexes) = (integer(rule, "succeededCount"), rule.get("succeededIndexes"));
        let indexes = indexes.and_then(Value::as_str);
        if count.is_none() && indexes.is_none() {
            required(&path, "at least one of succeededCount or succeededIndexes must be specified", errors);
        }
        let mut total = None;
        if let Some(text) = indexes {
            let at = path.child("succeededIndexes");
            if text.len() > INDEXES_BYTES_MAX {
                errors.push(FieldError::too_long(at.to_string(), INDEXES_BYTES_MAX));
            }
            match count_indexes(text, completions) {
                Ok(number) => total = Some(number),
                Err(why) => {
                    total = Some(0);
                    invalid(&at, text, format!("error parsing succeededIndexes: {why}"), errors);
                }
            }
        }
        non_negative(rule, &["succeededCount"], &path, errors);
        let Some(count) = count else { continue };
        let limits = [
            (Some(completions), "number of specified completions"),
            (total, "number of indexes in the specified succeededIndexes field"),
        ];
        for (max, what) in limits {
            if let Some(max) = max.filter(|max| count > *max) {
                let detail = format!("must be less than or equal to {max} (the {what})");
                invalid(&path.child("succeededCount"), count, detail, errors);
            }
        }
    }
}

/// How many indexes `1,3-5,7` names, which must rise and stay below `completions`.
fn count_indexes(text: &str, completions: i64) -> Result<i64, String> {
    let index = |part: &str| -> Result<i64, String> {
        let number: i64 =
            part.parse().map_err(|_e| format!("cannot convert string to integer for index: {part:?}"))?;
        if number >= completions { Err(format!("too large index: {part:?}")) } else { Ok(number) }
    };
    let (mut total, mut last) = (0, None);
    for interval in text.split(',').filter(|_| !text.is_empty()) {
        let parts: Vec<&str> = interval.split('-').collect();
        let (from, to) = match parts.as_slice() {
            [one] => (index(one)?, index(one)?),
            [from, to] => {
                let (from, to) = (index(from)?, index(to)?);
                if from >= to {
                    return Err(format!("non-increasing order, previous: {from}, current: {to}"));
                }
                (from, to)
            }
            _ => {
                return Err(format!(
                    "the fragment {interval:?} violates the requirement that an index interval can have at most two parts separated by '-'"
                ));
            }
        };
        if let Some(previous) = last.filter(|previous| *previous >= from) {
            return Err(format!("non-increasing order, previous: {previous}, current: {from}"));
        }
        total += to - from + 1;
        last = Some(to);
    }
    Ok(total)
}
