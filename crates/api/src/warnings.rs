//! What clients are told about objects that are accepted: deprecated fields in the words of Kubernetes, and kinds that are
//! stored though nothing in this release acts on them.
//!
//! A warning never replaces an error: what would do harm is refused by [`crate::validation`].

use std::collections::BTreeSet;

use serde_json::Value;

use crate::meta;
use crate::validation::names::qualified_name;

const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// For kinds with nothing to say.
pub(crate) fn none(_new: &Value, _old: Option<&Value>) -> Vec<String> {
    Vec::new()
}

/// Finalizers of custom objects that could clash with those of others.
pub(crate) fn finalizers(new: &Value, old: Option<&Value>) -> Vec<String> {
    const STANDARD: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];
    let before = old.map(meta::finalizers).unwrap_or_default();
    let added: BTreeSet<&str> =
        meta::finalizers(new).into_iter().filter(|finalizer| !before.contains(finalizer)).collect();
    let mut all = Vec::new();
    for name in added {
        let at = |why: &str| format!("metadata.finalizers: {name:?}: {why}");
        all.extend(qualified_name(name).iter().map(|why| at(why)));
        if !name.contains('/') && !STANDARD.contains(&name) {
            let path = if name.contains('.') { " including a path (/)" } else { "" };
            all.push(at(&format!(
                "prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
            )));
        }
    }
    all
}

/// Webhook configurations and admission policies, and what binds policies.
pub(crate) fn not_evaluated(new: &Value, _old: Option<&Value>) -> Vec<String> {
    let kind = new.get("kind").and_then(Value::as_str).unwrap_or("this kind");
    vec![format!(
        "{kind} is stored and not evaluated by this server: requests are admitted without asking it"
    )]
}

pub(crate) fn network_policy(_new: &Value, _old: Option<&Value>) -> Vec<String> {
    vec![
        "NetworkPolicy is stored and not enforced by this server: all traffic of the pods is let through"
            .to_owned(),
    ]
}

pub(crate) fn priority_class(_new: &Value, _old: Option<&Value>) -> Vec<String> {
    vec![
        "pods get their priority from the PriorityClass, but the scheduler of this server neither orders pods by \
         priority nor preempts any"
            .to_owned(),
    ]
}

pub(crate) fn runtime_class(new: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut all = vec![
        "the node of this server has one runtime: pods that name a RuntimeClass are not started on it"
            .to_owned(),
    ];
    let labels = new.pointer("/scheduling/nodeSelector").and_then(Value::as_object);
    for key in labels.into_iter().flatten().map(|(key, _)| key) {
        let message = deprecated_label(key);
        all.extend(message.map(|message| format!("scheduling.nodeSelector: {message}")));
    }
    all
}

pub(crate) fn service_cidr(_new: &Value, _old: Option<&Value>) -> Vec<String> {
    vec![
        "ServiceCIDR is stored, but addresses of services come from the network that this server was started with"
            .to_owned(),
    ]
}

pub(crate) fn ip_address(_new: &Value, _old: Option<&Value>) -> Vec<String> {
    vec!["IPAddress is stored, but does not reserve the address on this server".to_owned()]
}

pub(crate) fn ingress(new: &Value, old: Option<&Value>) -> Vec<String> {
    let named = new.pointer("/spec/ingressClassName").is_some();
    if old.is_some() || named || meta::annotation(new, INGRESS_CLASS).is_none() {
        return Vec::new();
    }
    vec![format!("annotation {INGRESS_CLASS:?} is deprecated, please use 'spec.ingressClassName' instead")]
}

pub(crate) fn endpoint_slice(new: &Value, _old: Option<&Value>) -> Vec<String> {
    if new.get("addressType").and_then(Value::as_str) != Some("FQDN") {
        return Vec::new();
    }
    vec!["spec.addressType: FQDN endpoints are deprecated".to_owned()]
}

pub(crate) fn storage_class(new: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut all = Vec::new();
    let list =
        |value: &Value, key: &str| value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    for (i, term) in list(new, "allowedTopologies").iter().enumerate() {
        for (j, expression) in list(term, "matchLabelExpressions").iter().enumerate() {
            let key = expression.get("key").and_then(Value::as_str).unwrap_or_default();
            let message = deprecated_label(key);
            let path = format!("allowedTopologies[{i}].matchLabelExpressions[{j}].key");
            all.extend(message.map(|message| format!("{path}: {message}")));
        }
    }
    all
}

pub(crate) fn csi_driver(new: &Value, old: Option<&Value>) -> Vec<String> {
    let requests = |driver: &Value| driver.pointer("/spec/tokenRequests").cloned().unwrap_or_default();
    let asks = requests(new).as_array().is_some_and(|list| !list.is_empty());
    let changed = old.is_none_or(|old| requests(old) != requests(new));
    if !(asks && changed) || new.pointer("/spec/serviceAccountTokenInSecrets").is_some() {
        return Vec::new();
    }
    vec![
        "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible \
         logging of tokens in volume attributes"
            .to_owned(),
    ]
}

/// What is wrong with a label of nodes that has another name today.
fn deprecated_label(key: &str) -> Option<&'static str> {
    Some(match key {
        "beta.kubernetes.io/arch" => "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        "beta.kubernetes.io/os" => "deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "failure-domain.beta.kubernetes.io/region" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead"
        }
        "failure-domain.beta.kubernetes.io/zone" => {
            "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead"
        }
        "beta.kubernetes.io/instance-type" => {
            "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead"
        }
        "node-role.kubernetes.io/master" => "use \"node-role.kubernetes.io/control-plane\" instead",
        _ => return None,
    })
}
