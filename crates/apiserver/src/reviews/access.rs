//! Access reviews of `authorization.k8s.io/v1`: what the policy says to a question that nobody acts on yet.

use konzert_api::{ApiError, FieldError};
use serde_json::{Map, Value, json};

use super::{Question, texts};
use crate::auth::rbac::Rule;
use crate::auth::{Asked, Attributes, User, decide};

const RESOURCE: &str = "/spec/resourceAttributes";
const PATH: &str = "/spec/nonResourceAttributes";
const EXACTLY_ONE: &str = "exactly one of nonResourceAttributes or resourceAttributes must be specified";

/// `SelfSubjectAccessReview`.
pub(super) fn of_self(question: &Question<'_>) -> Result<Value, ApiError> {
    let errors = attributes_errors(question);
    if errors.is_empty() { Ok(status(question, question.user)) } else { Err(question.invalid(errors)) }
}

/// `SubjectAccessReview`.
pub(super) fn of_subject(question: &Question<'_>) -> Result<Value, ApiError> {
    let errors = subject_errors(question);
    if errors.is_empty() { Ok(status(question, &subject(question))) } else { Err(question.invalid(errors)) }
}

/// `LocalSubjectAccessReview`: as above, but about the namespace of the path only.
pub(super) fn local(question: &Question<'_>) -> Result<Value, ApiError> {
    let mut errors = subject_errors(question);
    let namespace = question.place.namespace.as_deref().unwrap_or_default();
    let found = question.text("/spec/resourceAttributes/namespace");
    if question.review.pointer(RESOURCE).is_some() && found != namespace {
        let path = "spec.resourceAttributes.namespace";
        errors.push(FieldError::invalid(path, found, "must match metadata.namespace"));
    }
    if let Some(value) = question.review.pointer(PATH) {
        let detail = "disallowed on this kind of request";
        errors.push(FieldError::invalid("spec.nonResourceAttributes", shown(value), detail));
    }
    if errors.is_empty() { Ok(status(question, &subject(question))) } else { Err(question.invalid(errors)) }
}

/// `SelfSubjectRulesReview`: all rules of the caller in a namespace.
pub(super) fn rules(question: &Question<'_>) -> Result<Value, ApiError> {
    let namespace = question.text("/spec/namespace");
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let grants = question.app.registry.policy.with(|policy| policy.grants(question.user, namespace));
    let (paths, resources): (Vec<&Rule>, Vec<&Rule>) =
        grants.rules.iter().partition(|rule| !rule.non_resource_urls.is_empty());
    let shown = |rules: Vec<&Rule>| rules.into_iter().map(Rule::to_json).collect::<Vec<_>>();
    let mut status = json!({
        "resourceRules": shown(resources),
        "nonResourceRules": shown(paths),
        "incomplete": false,
    });
    if let Some(problem) = grants.problem() {
        status["evaluationError"] = json!(problem);
    }
    Ok(status)
}

fn attributes_errors(question: &Question<'_>) -> Vec<FieldError> {
    let path = question.review.pointer(PATH).filter(|v| v.is_object());
    match (question.review.pointer(RESOURCE).is_some_and(Value::is_object), path) {
        (true, Some(path)) => vec![FieldError::invalid("spec", shown(path), EXACTLY_ONE)],
        (false, None) => vec![FieldError::invalid("spec", Value::Null, EXACTLY_ONE)],
        _ => Vec::new(),
    }
}

/// `nonResourceAttributes` as Kubernetes shows them.
fn shown(path: &Value) -> Value {
    let text = |key: &str| path.get(key).and_then(Value::as_str).unwrap_or_default();
    json!({ "Path": text("path"), "Verb": text("verb") })
}

fn subject_errors(question: &Question<'_>) -> Vec<FieldError> {
    let mut errors = attributes_errors(question);
    if question.text("/spec/user").is_empty() && question.texts("/spec/groups").is_empty() {
        let detail = "at least one of user or group must be specified";
        errors.push(FieldError::invalid("spec.user", "", detail));
    }
    errors
}

/// The user that is asked about; nothing is added to what the question says.
fn subject(question: &Question<'_>) -> User {
    let extra = question.review.pointer("/spec/extra").and_then(Value::as_object);
    User {
        name: question.text("/spec/user").to_owned(),
        uid: question.text("/spec/uid").to_owned(),
        groups: question.texts("/spec/groups"),
        extra: extra.into_iter().flatten().map(|(key, list)| (key.clone(), texts(Some(list)))).collect(),
    }
}

fn status(question: &Question<'_>, user: &User) -> Value {
    let text = |pointer: &str| question.text(pointer);
    let asked = if question.review.pointer(RESOURCE).is_some() {
        Asked::Resource(Attributes {
            verb: text("/spec/resourceAttributes/verb"),
            group: text("/spec/resourceAttributes/group"),
            resource: text("/spec/resourceAttributes/resource"),
            subresource: text("/spec/resourceAttributes/subresource"),
            namespace: text("/spec/resourceAttributes/namespace"),
            name: text("/spec/resourceAttributes/name"),
        })
    } else {
        Asked::Path {
            verb: text("/spec/nonResourceAttributes/verb"),
            path: text("/spec/nonResourceAttributes/path"),
        }
    };
    let decision = decide(&question.app.registry, user, &asked);
    let mut status = Map::new();
    status.insert("allowed".to_owned(), json!(decision.allowed));
    if !decision.reason.is_empty() {
        status.insert("reason".to_owned(), json!(decision.reason));
    }
    Value::Object(status)
}
