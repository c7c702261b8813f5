//! Field selectors: a few fields per kind, compared as strings.

use std::borrow::Cow;

use serde_json::Value;

use super::SELECTOR_BYTES_MAX;
use crate::status::ApiError;

/// Labels that every kind offers.
const IMPLIED: &[&str] = &["metadata.name", "metadata.namespace"];
/// Fields whose absence means `false`.
const FALSE_WHEN_ABSENT: &[&str] = &["spec.hostNetwork", "spec.unschedulable"];
/// Fields whose absence means `0`.
const ZERO_WHEN_ABSENT: &[&str] = &["status.replicas", "status.successful"];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: String,
    value: String,
    equal: bool,
}

/// All terms must hold. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

impl FieldSelector {
    /// Parses `a=b,c!=d`; values may hold `\\`, `\,` and `\=`. `allowed` are the fields that the kind offers besides
    /// `metadata.name` and `metadata.namespace`.
    ///
    /// # Errors
    /// A 400 when it cannot be understood or names another field.
    pub fn parse(text: &str, allowed: &[&str]) -> Result<Self, ApiError> {
        Self::parse_or(text, allowed, |field| format!("field label not supported: {field}"))
    }

    /// As [`Self::parse`]; `unknown` says that a field is not offered, in the words of the kind.
    ///
    /// # Errors
    /// A 400 when it cannot be understood or names another field.
    pub fn parse_or(
        text: &str,
        allowed: &[&str],
        unknown: impl Fn(&str) -> String,
    ) -> Result<Self, ApiError> {
        if text.len() > SELECTOR_BYTES_MAX {
            let why = format!("invalid selector: it is longer than {SELECTOR_BYTES_MAX} bytes");
            return Err(ApiError::bad_request(why));
        }
        let mut terms = Vec::new();
        for part in split_unescaped(text) {
            if part.is_empty() {
                continue;
            }
            let Some((field, value, equal)) = split_term(part) else {
                return Err(ApiError::bad_request(format!(
                    "invalid selector: '{text}'; can't understand '{part}'"
                )));
            };
            if !IMPLIED.contains(&field) && !allowed.contains(&field) {
                return Err(ApiError::bad_request(unknown(field)));
            }
            let value = unescape(value).map_err(ApiError::bad_request)?;
            terms.push(Term { field: field.to_owned(), value, equal });
        }
        Ok(Self { terms })
    }

    /// As [`Self::required`] of a selector that is not looked at any further; `None` also when it cannot be understood.
    pub fn required_in(text: &str, field: &str) -> Option<String> {
        if text.len() > SELECTOR_BYTES_MAX {
            return None;
        }
        let mut found = None;
        for part in split_unescaped(text).into_iter().filter(|part| !part.is_empty()) {
            let (of, value, equal) = split_term(part)?;
            let value = unescape(value).ok()?;
            if equal && of == field && found.is_none() {
                found = Some(value);
            }
        }
        found
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The value that a field must equal, when the selector says so: lets a server look one object up directly.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && t.field == field).map(|t| t.value.as_str())
    }

    /// Whether an object satisfies all terms.
    pub fn matches(&self, object: &Value) -> bool {
        self.terms.iter().all(|term| (value_of(object, &term.field) == term.value) == term.equal)
    }
}

/// The text of a selectable field of an object.
fn value_of<'a>(object: &'a Value, field: &str) -> Cow<'a, str> {
    let path = match field {
        "source" => "source.component",
        "status.successful" => "status.succeeded",
        other => other,
    };
    let found = path.split('.').filter(|key| !key.is_empty()).try_fold(object, |at, key| at.get(key));
    match found {
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(Value::Bool(flag)) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        Some(Value::Number(number)) => Cow::Owned(number.to_string()),
        _ if field == "source" => {
            Cow::Borrowed(object.get("reportingComponent").and_then(Value::as_str).unwrap_or_default())
        }
        _ if FALSE_WHEN_ABSENT.contains(&field) => Cow::Borrowed("false"),
        _ if ZERO_WHEN_ABSENT.contains(&field) => Cow::Borrowed("0"),
        _ => Cow::Borrowed(""),
    }
}

/// Splits at commas that no backslash precedes.
fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn split_term(part: &str) -> Option<(&str, &str, bool)> {
    let at = part.find(['=', '!'])?;
    let (field, rest) = part.split_at(at);
    [("!=", false), ("==", true), ("=", true)]
        .into_iter()
        .find_map(|(operator, equal)| rest.strip_prefix(operator).map(|value| (field, value, equal)))
}

fn unescape(value: &str) -> Result<String, String> {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                Some(next) => {
                    return Err(format!("invalid field selector: invalid escape sequence: \\{next}"));
                }
                None => return Err("invalid field selector: invalid escape sequence: \\".to_owned()),
            },
            '=' => {
                return Err(format!(
                    "invalid field selector: unescaped character in value: '=' in {value:?}"
                ));
            }
            other => plain.push(other),
        }
    }
    Ok(plain)
}
