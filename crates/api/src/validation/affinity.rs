//! Validation of what says where a pod may run: affinity, tolerations, spreading.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{
    Errors, duplicate, forbidden, invalid, label_selector, required, shaped, texts, unsupported,
};
use super::{Path, integer, list, names, text};

pub(super) const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const NODE_POLICIES: &[&str] = &["Honor", "Ignore"];
const WHEN_UNSATISFIABLE: &[&str] = &["DoNotSchedule", "ScheduleAnyway"];

/// Whether the values of labels are looked at; a preference that fits nothing does no harm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Values {
    Checked,
    Free,
}

/// `affinity` of a pod.
pub(super) fn validate(affinity: &Value, path: &Path, errors: &mut Errors) {
    if let Some(node) = affinity.get("nodeAffinity") {
        node_affinity(node, &path.child("nodeAffinity"), errors);
    }
    for key in ["podAffinity", "podAntiAffinity"] {
        let (found, path) = (&affinity[key], path.child(key));
        for (index, term) in list(found, REQUIRED).iter().enumerate() {
            pod_term(term, &path.child(REQUIRED).index(index), errors);
        }
        for (index, weighted) in list(found, PREFERRED).iter().enumerate() {
            let path = path.child(PREFERRED).index(index);
            weight(weighted, &path, errors);
            pod_term(&weighted["podAffinityTerm"], &path.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Value, path: &Path, errors: &mut Errors) {
    let weight = integer(term, "weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        invalid(&path.child("weight"), weight, "must be in the range 1-100", errors);
    }
}

fn node_affinity(affinity: &Value, path: &Path, errors: &mut Errors) {
    if let Some(selector) = affinity.get(REQUIRED) {
        node_selector(selector, &path.child(REQUIRED), errors);
    }
    for (index, term) in list(affinity, PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        weight(term, &path, errors);
        node_term(&term["preference"], Values::Free, &path.child("preference"), errors);
    }
}

/// A node selector, of a pod or of a volume.
pub(super) fn node_selector(selector: &Value, path: &Path, errors: &mut Errors) {
    let (terms, path) = (list(selector, "nodeSelectorTerms"), path.child("nodeSelectorTerms"));
    if terms.is_empty() {
        required(&path, "must have at least one node selector term", errors);
    }
    for (index, term) in terms.iter().enumerate() {
        node_term(term, Values::Checked, &path.index(index), errors);
    }
}

fn node_term(term: &Value, values: Values, path: &Path, errors: &mut Errors) {
    for (index, requirement) in list(term, "matchExpressions").iter().enumerate() {
        node_requirement(requirement, values, &path.child("matchExpressions").index(index), errors);
    }
    for (index, requirement) in list(term, "matchFields").iter().enumerate() {
        let path = path.child("matchFields").index(index);
        let operator = text(requirement, "operator");
        if !matches!(operator, "In" | "NotIn") {
            invalid(&path.child("operator"), operator, "not a valid selector operator", errors);
        } else if list(requirement, "values").len() != 1 {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            required(&path.child("values"), detail, errors);
        }
        match text(requirement, "key") {
            "metadata.name" => {
                for (index, name) in texts(requirement, "values").enumerate() {
                    shaped(name, names::dns1123_subdomain, &path.child("values").index(index), errors);
                }
            }
            other => invalid(&path.child("key"), other, "not a valid field selector key", errors),
        }
    }
}

fn node_requirement(requirement: &Value, values: Values, path: &Path, errors: &mut Errors) {
    let given = list(requirement, "values");
    let at = path.child("values");
    match text(requirement, "operator") {
        "In" | "NotIn" => {
            if given.is_empty() {
                required(&at, "must be specified when `operator` is 'In' or 'NotIn'", errors);
            }
        }
        "Exists" | "DoesNotExist" => {
            if !given.is_empty() {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                forbidden(&at, detail, errors);
            }
        }
        "Gt" | "Lt" => {
            if given.len() != 1 {
                required(&at, "must be specified single value when `operator` is 'Lt' or 'Gt'", errors);
            }
        }
        other => invalid(&path.child("operator"), other, "not a valid selector operator", errors),
    }
    shaped(text(requirement, "key"), names::qualified_name, &path.child("key"), errors);
    if values == Values::Checked {
        for (index, value) in texts(requirement, "values").enumerate() {
            shaped(value, names::label_value, &at.index(index), errors);
        }
    }
}

fn pod_term(term: &Value, path: &Path, errors: &mut Errors) {
    for key in ["labelSelector", "namespaceSelector"] {
        label_selector(&term[key], &path.child(key), errors);
    }
    for namespace in texts(term, "namespaces") {
        shaped(namespace, names::dns1123_label, &path.child("namespace"), errors);
    }
    let selects = term.get("labelSelector").is_some();
    for key in ["matchLabelKeys", "mismatchLabelKeys"] {
        if !list(term, key).is_empty() && !selects {
            forbidden(&path.child(key), "must not be specified when labelSelector is not set", errors);
            continue;
        }
        for (index, label) in texts(term, key).enumerate() {
            shaped(label, names::qualified_name, &path.child(key).index(index), errors);
        }
    }
    for (index, label) in texts(term, "matchLabelKeys").enumerate() {
        if texts(term, "mismatchLabelKeys").any(|other| other == label) {
            let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
            invalid(&path.child("matchLabelKeys").index(index), label, detail, errors);
        }
    }
    let topology = text(term, "topologyKey");
    if topology.is_empty() {
        required(&path.child("topologyKey"), "can not be empty", errors);
    }
    shaped(topology, names::qualified_name, &path.child("topologyKey"), errors);
}

/// `tolerations` of a pod.
pub(super) fn tolerations(spec: &Value, path: &Path, errors: &mut Errors) {
    for (index, toleration) in list(spec, "tolerations").iter().enumerate() {
        let path = path.index(index);
        let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
        let (value, effect) = (text(toleration, "value"), text(toleration, "effect"));
        if !key.is_empty() {
            shaped(key, names::qualified_name, &path.child("key"), errors);
        }
        if key.is_empty() && operator != "Exists" {
            let detail =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            invalid(&path.child("operator"), operator, detail, errors);
        }
        if toleration.get("tolerationSeconds").is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            invalid(&path.child("effect"), effect, detail, errors);
        }
        match operator {
            "" | "Equal" => {
                let wrong = names::label_value(value);
                if !wrong.is_empty() {
                    invalid(&path.child("operator"), value, wrong.join(";"), errors);
                }
            }
            "Exists" if !value.is_empty() => {
                let detail = "value must be empty when `operator` is 'Exists'";
                invalid(&path.child("operator"), value, detail, errors);
            }
            "Exists" => {}
            other => unsupported(&path.child("operator"), other, &["Equal", "Exists"], errors),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            unsupported(&path.child("effect"), effect, EFFECTS, errors);
        }
    }
}

/// `topologySpreadConstraints` of a pod.
pub(super) fn spread(spec: &Value, path: &Path, errors: &mut Errors) {
    let constraints = list(spec, "topologySpreadConstraints");
    for (index, constraint) in constraints.iter().enumerate() {
        let path = path.index(index);
        let skew = integer(constraint, "maxSkew").unwrap_or(0);
        if skew <= 0 {
            invalid(&path.child("maxSkew"), skew, "must be greater than zero", errors);
        }
        let (topology, action) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
        if topology.is_empty() {
            required(&path.child("topologyKey"), "can not be empty", errors);
        }
        if !WHEN_UNSATISFIABLE.contains(&action) {
            unsupported(&path.child("whenUnsatisfiable"), action, WHEN_UNSATISFIABLE, errors);
        }
        let same = |other: &Value| {
            text(other, "topologyKey") == topology && text(other, "whenUnsatisfiable") == action
        };
        if constraints[index + 1..].iter().any(same) {
            let pair = format!("{{{topology}, {action}}}");
            duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), pair, errors);
        }
        if let Some(domains) = integer(constraint, "minDomains") {
            let path = path.child("minDomains");
            if domains <= 0 {
                invalid(&path, domains, "must be greater than zero", errors);
            }
            if action != "DoNotSchedule" {
                let detail =
                    format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                invalid(&path, domains, detail, errors);
            }
        }
        for key in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let found = constraint.get(key).and_then(Value::as_str);
            if let Some(found) = found.filter(|f| !NODE_POLICIES.contains(f)) {
                unsupported(&path.child(key), found, NODE_POLICIES, errors);
            }
        }
        spread_keys(constraint, &path.child("matchLabelKeys"), errors);
        label_selector(&constraint["labelSelector"], &path.child("labelSelector"), errors);
    }
}

fn spread_keys(constraint: &Value, path: &Path, errors: &mut Errors) {
    if list(constraint, "matchLabelKeys").is_empty() {
        return;
    }
    let Some(selector) = constraint.get("labelSelector") else {
        return forbidden(path, "must not be specified when labelSelector is not set", errors);
    };
    let mut selected: BTreeSet<&str> =
        list(selector, "matchExpressions").iter().map(|e| text(e, "key")).collect();
    let labels = selector.get("matchLabels").and_then(Value::as_object);
    selected.extend(labels.into_iter().flat_map(|labels| labels.keys().map(String::as_str)));
    for (index, key) in texts(constraint, "matchLabelKeys").enumerate() {
        shaped(key, names::qualified_name, &path.index(index), errors);
        if selected.contains(key) {
            invalid(&path.index(index), key, "exists in both matchLabelKeys and labelSelector", errors);
        }
    }
}
