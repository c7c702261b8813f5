//! Namespace deletion: everything in it goes, then the namespace itself.
//!
//! Contract: the caller reads what is left from the API itself, not from a cache, because removing the finalizer while an
//! object is left would orphan it for good. The caller asks again when one of the objects has gone.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::action::{Action, NAMESPACE, Plan, Propagation, Resource, with_header};
use crate::pods::{is_deleting, stamp};

/// The finalizer in `spec.finalizers` that holds a namespace until it is empty.
pub const FINALIZER: &str = "kubernetes";

/// What the controller sees.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The namespace.
    pub namespace: Arc<Namespace>,
    /// Every object left in it, of every kind.
    pub contents: Vec<(Resource, ObjectMeta)>,
    /// Kinds that could not be listed, with the reason. While there is one, the namespace stays.
    pub unreadable: Vec<(Resource, String)>,
}

/// Decides one pass.
pub fn decide(observed: &Observed, now: Timestamp) -> Plan {
    let namespace = observed.namespace.as_ref();
    let mut plan = Plan::nothing();
    if !is_deleting(&namespace.metadata) || !is_held(namespace) {
        return plan;
    }
    for (resource, meta) in observed.contents.iter().filter(|(_, meta)| !is_deleting(meta)) {
        plan.delete(resource, meta, Some(Propagation::Background));
        // Most objects go at once, and some kinds are not watched: look again as soon as the deletes are through.
        plan.requeue(now);
    }
    if observed.contents.is_empty() && observed.unreadable.is_empty() {
        let mut freed = namespace.clone();
        if let Some(finalizers) = freed.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let object = with_header(&NAMESPACE, &freed);
        plan.actions.push(Action::FinalizeNamespace { object });
        return plan;
    }
    let conditions = conditions(observed, now);
    let status = namespace.status.clone().unwrap_or_default();
    if status.conditions.as_ref() != Some(&conditions) {
        let status = k8s_openapi::api::core::v1::NamespaceStatus { conditions: Some(conditions), ..status };
        let updated = Namespace { status: Some(status), ..namespace.clone() };
        let object = with_header(&NAMESPACE, &updated);
        plan.actions.push(Action::UpdateStatus { resource: NAMESPACE, object });
    }
    plan
}

/// Whether our finalizer is still there.
pub fn is_held(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    finalizers.into_iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// Says what keeps the namespace.
fn conditions(observed: &Observed, now: Timestamp) -> Vec<NamespaceCondition> {
    let old = observed
        .namespace
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_deref())
        .unwrap_or_default();
    let build = |kind: &str, trouble: Option<String>, reason: (&str, &str), fine: &str| {
        let status = if trouble.is_some() { "True" } else { "False" };
        let reason = if trouble.is_some() { reason.0 } else { reason.1 };
        let message = trouble.unwrap_or_else(|| fine.to_owned());
        let same = old.iter().find(|condition| condition.type_ == kind && condition.status == status);
        NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: same
                .and_then(|condition| condition.last_transition_time.clone())
                .or_else(|| Some(stamp(now))),
        }
    };
    let unreadable = observed
        .unreadable
        .first()
        .map(|(resource, reason)| format!("Listing {} failed: {reason}", resource.plural));
    let (left, held) = remaining(&observed.contents);
    vec![
        build(
            "NamespaceDeletionContentFailure",
            unreadable,
            ("ContentDeletionFailed", "ContentDeleted"),
            "All content successfully deleted, may be waiting on finalization",
        ),
        build(
            "NamespaceContentRemaining",
            left,
            ("SomeResourcesRemain", "ContentRemoved"),
            "All content successfully removed",
        ),
        build(
            "NamespaceFinalizersRemaining",
            held,
            ("SomeFinalizersRemain", "ContentHasNoFinalizers"),
            "All content-preserving finalizers finished",
        ),
    ]
}

/// Counts what is left by kind, and by finalizer.
fn remaining(contents: &[(Resource, ObjectMeta)]) -> (Option<String>, Option<String>) {
    let mut kinds: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    let mut finalizers: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    for (resource, meta) in contents {
        let group = if resource.group.is_empty() { String::new() } else { format!(".{}", resource.group) };
        *kinds.entry(format!("{}{group}", resource.plural)).or_default() += 1;
        for finalizer in meta.finalizers.iter().flatten() {
            *finalizers.entry(finalizer).or_default() += 1;
        }
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, n)| format!("{kind} has {n} resource instances")).collect();
    let finalizers: Vec<_> =
        finalizers.iter().map(|(finalizer, n)| format!("{finalizer} in {n} resource instances")).collect();
    let sentence = |intro: &str, parts: Vec<String>| {
        (!parts.is_empty()).then(|| format!("{intro}: {}", parts.join(", ")))
    };
    (
        sentence("Some resources are remaining", kinds),
        sentence("Some content in the namespace has finalizers remaining", finalizers),
    )
}

#[cfg(test)]
mod tests;
