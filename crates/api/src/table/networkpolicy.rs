//! `NetworkPolicies` in tables.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{AGE, Column, NAME, age, name, or_none};
use crate::selector::LabelSelector;

pub(crate) const COLUMNS: &[Column] =
    &[NAME, Column::new("Pod-Selector", "string", "Pods that the policy is about."), AGE];

pub(crate) fn cells(policy: &Value, now: Timestamp) -> Vec<Value> {
    let selector = policy.pointer("/spec/podSelector").and_then(|s| LabelSelector::from_json(s).ok());
    let shown = selector.map(|s| s.to_string()).unwrap_or_default();
    vec![name(policy), json!(or_none(&shown)), age(policy, now)]
}
