//! Validation of `ServiceCIDRs`.

use serde_json::Value;

use super::address::{Form, parse_cidr};
use super::{Path, list};
use crate::status::FieldError;

const FAMILIES: usize = 2;
const IMMUTABLE: &str = "field is immutable";

fn at() -> Path {
    Path::new("spec").child("cidrs")
}

pub(crate) fn validate(object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let (spec, path) = (&object["spec"], at());
    let cidrs = list(spec, "cidrs");
    if cidrs.is_empty() {
        return vec![path.required("at least one CIDR required")];
    }
    if cidrs.len() > FAMILIES {
        return vec![path.invalid(spec.clone(), "may only hold up to 2 values")];
    }
    let mut families = Vec::new();
    for (index, cidr) in cidrs.iter().enumerate() {
        let text = cidr.as_str().unwrap_or_default();
        match parse_cidr(text, Form::Canonical) {
            Ok(parsed) => families.push(parsed.is_ipv4()),
            Err(wrong) => errors.push(path.index(index).invalid(text, wrong)),
        }
    }
    if let [first, second] = families.as_slice()
        && first == second
    {
        let detail =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        errors.push(path.invalid(spec["cidrs"].clone(), detail));
    }
    errors
}

/// A second family may be added; what is there may not change.
pub(crate) fn validate_update(old: &Value, new: &Value) -> Vec<FieldError> {
    let (before, after) = (list(&old["spec"], "cidrs"), list(&new["spec"], "cidrs"));
    let grows = before.len() == 1 && after.len() == FAMILIES;
    if before.len() != after.len() && !grows {
        return vec![at().invalid(new["spec"]["cidrs"].clone(), IMMUTABLE)];
    }
    let changed = before.iter().zip(after).enumerate().filter(|(_, (a, b))| a != b);
    changed.map(|(index, (_, b))| at().index(index).invalid(b.clone(), IMMUTABLE)).collect()
}
