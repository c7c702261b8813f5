//! Validation of Nodes.

use std::collections::BTreeSet;

use serde_json::Value;

use super::affinity::EFFECTS;
use super::check::{Errors, cidr, duplicate, forbidden, invalid, required, shaped, texts, unsupported};
use super::{Path, list, names, resources, text};
use crate::status::{FieldError, FieldErrorKind};

pub(crate) fn validate(node: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    taints(node, &mut errors);
    for key in ["capacity", "allocatable"] {
        for (name, amount) in node["status"][key].as_object().into_iter().flatten() {
            let path = Path::new("status").child(key).child(name);
            resources::quantity(name, amount, &path, &mut errors);
        }
    }
    let path = Path::new("spec").child("podCIDRs");
    // The old singular field is the first of the list.
    let single = text(&node["spec"], "podCIDR");
    let blocks =
        list(&node["spec"], "podCIDRs").is_empty().then_some(single).filter(|block| !block.is_empty());
    for (index, block) in texts(&node["spec"], "podCIDRs").chain(blocks).enumerate() {
        cidr(block, &path.index(index), &mut errors);
    }
    errors
}

/// Taints stand under `metadata` in messages of the original; clients match on it.
fn taints(node: &Value, errors: &mut Errors) {
    let path = Path::new("metadata").child("taints");
    let mut taken = BTreeSet::new();
    for (index, taint) in list(&node["spec"], "taints").iter().enumerate() {
        let path = path.index(index);
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        shaped(key, names::qualified_name, &path.child("key"), errors);
        let wrong = names::label_value(value);
        if !wrong.is_empty() {
            invalid(&path.child("value"), value, wrong.join(";"), errors);
        }
        if effect.is_empty() {
            required(&path.child("effect"), "", errors);
        } else if !EFFECTS.contains(&effect) {
            unsupported(&path.child("effect"), effect, EFFECTS, errors);
        }
        if !taken.insert((effect, key)) {
            errors.push(FieldError {
                kind: FieldErrorKind::Duplicate,
                ..FieldError::invalid(
                    path.to_string(),
                    taint.clone(),
                    "taints must be unique by key and effect pair",
                )
            });
        }
    }
}

pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (mut errors, path) = (Vec::new(), Path::new("spec"));
    let (before, after) = (&old["spec"], &new["spec"]);
    addresses(new, &mut errors);
    if !list(before, "podCIDRs").is_empty() && before.get("podCIDRs") != after.get("podCIDRs") {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        forbidden(&path.child("podCIDRs"), detail, &mut errors);
    } else if !text(before, "podCIDR").is_empty() && text(before, "podCIDR") != text(after, "podCIDR") {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        forbidden(&path.child("podCIDR"), detail, &mut errors);
    }
    if !text(before, "providerID").is_empty() && text(before, "providerID") != text(after, "providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        forbidden(&path.child("providerID"), detail, &mut errors);
    }
    if text(before, "externalID") != text(after, "externalID") {
        forbidden(&path.child("externalID"), "may not be updated", &mut errors);
    }
    errors
}

pub(crate) fn validate_status(_old: &Value, new: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    addresses(new, &mut errors);
    errors
}

fn addresses(node: &Value, errors: &mut Errors) {
    let path = Path::new("status").child("addresses");
    let mut taken = BTreeSet::new();
    for (index, address) in list(&node["status"], "addresses").iter().enumerate() {
        if !taken.insert((text(address, "type"), text(address, "address"))) {
            duplicate(&path.index(index), address.clone(), errors);
        }
    }
}
