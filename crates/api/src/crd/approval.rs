//! Groups of the Kubernetes community (`*.k8s.io`, `*.kubernetes.io`): who defines kinds there says who approved them.

use serde_json::Value;

use crate::meta;
use crate::status::FieldError;

/// The annotation that says it.
const ANNOTATION: &str = "api-approved.kubernetes.io";
const POLICY: &str = "see https://github.com/kubernetes/enhancements/pull/1111";

/// What the annotation says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Approval {
    Invalid,
    Approved,
    Bypassed,
    Missing,
}

fn is_protected(crd: &Value) -> bool {
    let group = crd.pointer("/spec/group").and_then(Value::as_str).unwrap_or_default();
    ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|domain| group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
}

/// An absolute URL with a host.
fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme_fits = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    scheme_fits && !host.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control())
}

fn approval(crd: &Value) -> (Approval, String) {
    match meta::annotation(crd, ANNOTATION).unwrap_or_default() {
        "" => (
            Approval::Missing,
            format!("protected groups must have approval annotation {ANNOTATION:?}, {POLICY}"),
        ),
        text if text.starts_with("unapproved") => (Approval::Bypassed, format!("not approved: {text:?}")),
        text if is_url(text) => (Approval::Approved, format!("approved in {text}")),
        _ => (
            Approval::Invalid,
            format!(
                "protected groups must have approval annotation {ANNOTATION:?} with either a URL or a reason starting \
                 with \"unapproved\", {POLICY}"
            ),
        ),
    }
}

/// What is wrong with the annotation. What was so before may stay.
pub(super) fn check(crd: &Value, old: Option<&Value>) -> Option<FieldError> {
    if !is_protected(crd) {
        return None;
    }
    let (state, reason) = approval(crd);
    if old.is_some_and(|old| approval(old).0 == state) {
        return None;
    }
    let path = format!("metadata.annotations[{ANNOTATION}]");
    match state {
        Approval::Missing => Some(FieldError::required(path, reason)),
        Approval::Invalid => {
            let found = meta::annotation(crd, ANNOTATION).unwrap_or_default();
            Some(FieldError::invalid(path, found, reason))
        }
        Approval::Approved | Approval::Bypassed => None,
    }
}

/// Status, reason and message of the condition; `None` for groups of others.
pub(super) fn condition(crd: &Value) -> Option<(&'static str, &'static str, String)> {
    if !is_protected(crd) {
        return None;
    }
    let (state, message) = approval(crd);
    let (status, reason) = match state {
        Approval::Invalid => ("False", "InvalidAnnotation"),
        Approval::Missing => ("False", "MissingAnnotation"),
        Approval::Approved => ("True", "ApprovedAnnotation"),
        Approval::Bypassed => ("False", "UnapprovedAnnotation"),
    };
    Some((status, reason, message))
}
