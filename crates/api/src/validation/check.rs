//! Short ways to say what is wrong, and the small checks that many kinds share.
//!
//! Knows no kinds. Every function adds to the errors and never takes one away.

use std::net::IpAddr;

use serde_json::Value;

use super::{Path, list, meta, names, text};
use crate::status::FieldError;

/// What was found so far.
pub(super) type Errors = Vec<FieldError>;

const PERCENT_SENTENCE: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

pub(super) fn invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>, errors: &mut Errors) {
    errors.push(FieldError::invalid(path.to_string(), value, detail));
}

pub(super) fn required(path: &Path, detail: impl Into<String>, errors: &mut Errors) {
    errors.push(FieldError::required(path.to_string(), detail));
}

pub(super) fn forbidden(path: &Path, detail: impl Into<String>, errors: &mut Errors) {
    errors.push(FieldError::forbidden(path.to_string(), detail));
}

pub(super) fn unsupported(path: &Path, value: impl Into<Value>, allowed: &[&str], errors: &mut Errors) {
    errors.push(FieldError::not_supported(path.to_string(), value, allowed));
}

pub(super) fn duplicate(path: &Path, value: impl Into<Value>, errors: &mut Errors) {
    errors.push(FieldError::duplicate(path.to_string(), value));
}

pub(super) fn not_found(path: &Path, value: impl Into<Value>, errors: &mut Errors) {
    errors.push(FieldError::not_found(path.to_string(), value));
}

/// One error for every sentence that `check` has about the text.
pub(super) fn shaped(found: &str, check: fn(&str) -> Vec<String>, path: &Path, errors: &mut Errors) {
    for wrong in check(found) {
        invalid(path, found, wrong, errors);
    }
}

/// As [`shaped`], for the text under a key; empty counts as missing and is fine.
pub(super) fn shaped_if_set(
    value: &Value,
    key: &str,
    check: fn(&str) -> Vec<String>,
    path: &Path,
    errors: &mut Errors,
) {
    let found = text(value, key);
    if !found.is_empty() {
        shaped(found, check, &path.child(key), errors);
    }
}

/// A member that must be there and one of an enumeration.
pub(super) fn choice(value: &Value, key: &str, allowed: &[&str], path: &Path, errors: &mut Errors) {
    match text(value, key) {
        "" => required(&path.child(key), "", errors),
        found if !allowed.contains(&found) => unsupported(&path.child(key), found, allowed, errors),
        _ => {}
    }
}

/// Whether a boolean member is `true`.
pub(super) fn flag(value: &Value, key: &str) -> bool {
    value.get(key) == Some(&Value::Bool(true))
}

/// The texts in the list under a key.
pub(super) fn texts<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    list(value, key).iter().map(|item| item.as_str().unwrap_or_default())
}

pub(super) fn ip(address: &str, path: &Path, errors: &mut Errors) {
    if address.parse::<IpAddr>().is_err() {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        invalid(path, address, detail, errors);
    }
}

/// Addresses that traffic cannot be sent to from elsewhere.
pub(super) fn ordinary_ip(address: &str, path: &Path, errors: &mut Errors) {
    let Ok(parsed) = address.parse::<IpAddr>() else { return };
    let link_local = match parsed {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    let link_multicast = match parsed {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] == 0xff02,
    };
    let detail = if parsed.is_unspecified() {
        format!("may not be unspecified ({address})")
    } else if parsed.is_loopback() {
        "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()
    } else if link_local {
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()
    } else if link_multicast {
        "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()
    } else {
        return;
    };
    invalid(path, address, detail, errors);
}

pub(super) fn cidr(block: &str, path: &Path, errors: &mut Errors) {
    let whole = block.split_once('/').and_then(|(address, length)| {
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = length.parse().ok()?;
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
    });
    if whole.is_none() {
        let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        invalid(path, block, detail, errors);
    }
}

/// A percentage as its number.
pub(super) fn percent(value: &Value) -> Option<i64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    let numeric = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    numeric.then(|| digits.parse().unwrap_or(i64::MAX))
}

/// A count or a percentage as its number, 0 for anything else.
pub(super) fn amount(value: &Value) -> i64 {
    percent(value).or_else(|| value.as_i64()).unwrap_or(0)
}

/// A count or a percentage, not below zero.
pub(super) fn count_or_percent(value: &Value, path: &Path, errors: &mut Errors) {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|n| n < 0) => {
            invalid(path, value.clone(), "must be greater than or equal to 0", errors);
        }
        Value::String(_) if percent(value).is_none() => {
            invalid(path, value.clone(), PERCENT_SENTENCE, errors);
        }
        _ => {}
    }
}

pub(super) fn at_most_all(value: &Value, path: &Path, errors: &mut Errors) {
    if percent(value).is_some_and(|p| p > 100) {
        invalid(path, value.clone(), "must not be greater than 100%", errors);
    }
}

/// A label selector in the form of objects.
pub(super) fn label_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    meta::labels(selector.get("matchLabels"), &path.child("matchLabels").to_string(), errors);
    for (index, expression) in list(selector, "matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        let values = list(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                required(&path.child("values"), detail, errors);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                forbidden(&path.child("values"), detail, errors);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => invalid(&path.child("operator"), other, "not a valid selector operator", errors),
        }
        shaped(text(expression, "key"), names::qualified_name, &path.child("key"), errors);
        for (index, value) in texts(expression, "values").enumerate() {
            shaped(value, names::label_value, &path.child("values").index(index), errors);
        }
    }
}

/// Whether a label selector says nothing at all.
pub(super) fn is_empty_selector(selector: &Value) -> bool {
    let no_labels =
        selector.get("matchLabels").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty);
    no_labels && list(selector, "matchExpressions").is_empty()
}
