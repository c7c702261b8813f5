//! Admission policies and their bindings in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, items, name, text};
use crate::selector::LabelSelector;

const PARAM_KIND: Column =
    Column::new("ParamKind", "string", "Kind of the objects that parametrize the policy.");

pub(crate) const VALIDATING: &[Column] =
    &[NAME, Column::new("Validations", "integer", "How many rules the policy has."), PARAM_KIND, AGE];
pub(crate) const MUTATING: &[Column] =
    &[NAME, Column::new("Mutations", "integer", "How many changes the policy makes."), PARAM_KIND, AGE];
pub(crate) const BINDING: &[Column] = &[
    NAME,
    Column::new("PolicyName", "string", "Policy that is bound."),
    Column::new("ParamRef", "string", "Objects that parametrize the policy."),
    AGE,
];

pub(crate) fn validating(policy: &Value, now: Timestamp) -> Vec<Value> {
    cells(policy, "/spec/validations", now)
}

pub(crate) fn mutating(policy: &Value, now: Timestamp) -> Vec<Value> {
    cells(policy, "/spec/mutations", now)
}

fn cells(policy: &Value, counted: &str, now: Timestamp) -> Vec<Value> {
    let kind = match policy.pointer("/spec/paramKind") {
        None => "<unset>".to_owned(),
        Some(kind) => format!("{}/{}", text(kind, "/apiVersion"), text(kind, "/kind")),
    };
    vec![name(policy), json!(items(policy, counted).len()), json!(kind), age(policy, now)]
}

pub(crate) fn binding(binding: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name(binding),
        json!(text(binding, "/spec/policyName")),
        json!(parameters(binding)),
        age(binding, now),
    ]
}

/// Namespace and name; a `*` where the namespace is that of the object in question. A selector in its own words.
fn parameters(binding: &Value) -> String {
    let Some(parameters) = binding.pointer("/spec/paramRef") else { return "<unset>".to_owned() };
    match (text(parameters, "/namespace"), text(parameters, "/name")) {
        (_, "") => {
            let selector = parameters.get("selector").and_then(|s| LabelSelector::from_json(s).ok());
            selector.map_or_else(|| "<unset>".to_owned(), |s| s.to_string())
        }
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}
