//! Validation of `LimitRanges`: amounts of one item must fit each other.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::check::{Errors, duplicate, forbidden, invalid, required, shaped};
use super::{Path, list, names, resources, text};
use crate::quantity::Quantity;
use crate::status::FieldError;

const TYPES: &[&str] = &["Container", "PersistentVolumeClaim", "Pod"];
const MAPS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

pub(crate) fn validate(range: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut taken = BTreeSet::new();
    for (index, item) in list(&range["spec"], "limits").iter().enumerate() {
        let path = Path::new("spec").child("limits").index(index);
        let kind = text(item, "type");
        type_name(kind, &path.child("type"), &mut errors);
        if !taken.insert(kind) {
            duplicate(&path.child("type"), kind, &mut errors);
        }
        limits(item, kind, &path, &mut errors);
    }
    errors
}

fn type_name(kind: &str, path: &Path, errors: &mut Errors) {
    let before = errors.len();
    shaped(kind, names::qualified_name, path, errors);
    if errors.len() == before && !kind.contains('/') && !TYPES.contains(&kind) {
        invalid(path, kind, "must be a standard limit type or fully qualified", errors);
    }
}

fn limits(item: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let mut by_name: BTreeMap<&str, BTreeMap<&str, Quantity>> = BTreeMap::new();
    for key in MAPS {
        let amounts = item.get(key).and_then(Value::as_object);
        if kind == "Pod" && matches!(key, "default" | "defaultRequest") {
            if amounts.is_some_and(|map| !map.is_empty()) {
                forbidden(&path.child(key), "may not be specified when `type` is 'Pod'", errors);
            }
            continue;
        }
        for (name, amount) in amounts.into_iter().flatten() {
            let path = path.child(key).key(name);
            resources::limit_name(kind, name, &path, errors);
            match Quantity::from_json(amount) {
                Ok(quantity) => drop(by_name.entry(name).or_default().insert(key, quantity)),
                Err(error) => invalid(&path, amount.clone(), error.to_string(), errors),
            }
        }
    }
    let has = |key: &str| item.get(key).is_some_and(|map| map.get("storage").is_some());
    if kind == "PersistentVolumeClaim" && !has("min") && !has("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        required(&path.child("limits"), detail, errors);
    }
    for (name, amounts) in &by_name {
        order(name, amounts, path, errors);
        ratio(name, amounts, path, errors);
    }
}

/// Pairs that must not be the wrong way round: which, words for both, and where and with which value that is said.
fn order(name: &str, amounts: &BTreeMap<&str, Quantity>, path: &Path, errors: &mut Errors) {
    const PAIRS: [(&str, &str, &str, &str, &str, &str); 6] = [
        ("min", "max", "min value", "max value", "min", "min"),
        ("min", "defaultRequest", "min value", "default request value", "defaultRequest", "defaultRequest"),
        ("defaultRequest", "max", "default request value", "max value", "defaultRequest", "defaultRequest"),
        (
            "defaultRequest",
            "default",
            "default request value",
            "default limit value",
            "defaultRequest",
            "defaultRequest",
        ),
        ("min", "default", "min value", "default value", "default", "min"),
        ("default", "max", "default value", "max value", "default", "max"),
    ];
    for (low, high, low_words, high_words, at, shown) in PAIRS {
        let (Some(less), Some(more)) = (amounts.get(low), amounts.get(high)) else { continue };
        if less > more {
            let detail = format!("{low_words} {less} is greater than {high_words} {more}");
            let value = amounts.get(shown).map(Quantity::to_string).unwrap_or_default();
            invalid(&path.child(at).key(name), value, detail, errors);
        }
    }
    if let (Some(limit), Some(request)) = (amounts.get("default"), amounts.get("defaultRequest"))
        && limit != request
        && !resources::may_overcommit(name)
    {
        let detail = format!("default value {limit} must equal to defaultRequest value {request} in {name}");
        invalid(&path.child("defaultRequest").key(name), request.to_string(), detail, errors);
    }
}

fn ratio(name: &str, amounts: &BTreeMap<&str, Quantity>, path: &Path, errors: &mut Errors) {
    let Some(ratio) = amounts.get("maxLimitRequestRatio") else { return };
    let path = path.child("maxLimitRequestRatio").key(name);
    if *ratio < Quantity::from_integer(1) {
        invalid(&path, ratio.to_string(), format!("ratio {ratio} is less than 1"), errors);
    }
    let (Some(min), Some(max)) = (amounts.get("min"), amounts.get("max")) else { return };
    #[allow(clippy::cast_precision_loss, reason = "the limit is shown with six digits")]
    let (ratio_value, limit) =
        (ratio.milli_value() as f64 / 1000.0, max.milli_value() as f64 / min.milli_value() as f64);
    if ratio_value > limit {
        let detail = format!("ratio {ratio} is greater than max/min = {limit:.6}");
        invalid(&path, ratio.to_string(), detail, errors);
    }
}
