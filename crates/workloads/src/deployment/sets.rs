//! The `ReplicaSets` of one Deployment, sorted into the new one and the old ones, and the few numbers read from them.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use super::{POD_TEMPLATE_HASH, REVISION};
use crate::pods::{created, name};

/// The `ReplicaSets` of one Deployment. `old` is sorted by age, oldest first.
pub(crate) struct Sets {
    pub(crate) new: Option<Arc<ReplicaSet>>,
    pub(crate) old: Vec<Arc<ReplicaSet>>,
}

impl Sets {
    /// The new set is the oldest one whose template equals the Deployment's, apart from the hash label.
    pub(crate) fn sort(deployment: &Deployment, owned: &[Arc<ReplicaSet>]) -> Self {
        let mut sets: Vec<Arc<ReplicaSet>> = owned.to_vec();
        sets.sort_by_cached_key(|set| (created(&set.metadata), name(&set.metadata).to_owned()));
        let wanted = canonical(&deployment.spec.template);
        let position = sets
            .iter()
            .position(|set| set.spec.template.as_ref().is_some_and(|template| canonical(template) == wanted));
        let new = position.map(|position| sets.remove(position));
        Self { new, old: sets }
    }

    /// New and old together.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().chain(self.new.iter())
    }

    /// Old sets that still have replicas.
    pub(crate) fn active_old(&self) -> impl Iterator<Item = &Arc<ReplicaSet>> {
        self.old.iter().filter(|set| replicas(set) > 0)
    }

    /// The highest revision among the old sets; the new one takes the next.
    pub(crate) fn next_revision(&self) -> i64 {
        self.old.iter().map(|set| revision(set)).max().unwrap_or_default() + 1
    }

    /// The revision the Deployment should carry, when it carries another.
    pub(crate) fn revision_to_publish(&self, deployment: &Deployment) -> Option<i64> {
        let current = self.new.as_ref().map(|set| revision(set)).filter(|revision| *revision > 0)?;
        let published = deployment.metadata.annotations.as_ref().and_then(|map| map.get(REVISION));
        (published.and_then(|text| text.parse().ok()) != Some(current)).then_some(current)
    }
}

/// The template as JSON without the hash label: equal values mean the same pods.
pub(crate) fn canonical(template: &PodTemplateSpec) -> Value {
    let mut stripped = template.clone();
    if let Some(labels) = stripped.metadata.as_mut().and_then(|meta| meta.labels.as_mut()) {
        labels.remove(POD_TEMPLATE_HASH);
    }
    if let Some(meta) = stripped.metadata.as_mut() {
        meta.labels = meta.labels.take().filter(|labels| !labels.is_empty());
        meta.annotations = meta.annotations.take().filter(|annotations| !annotations.is_empty());
    }
    serde_json::to_value(stripped).expect("API objects always serialise to JSON")
}

/// Replicas asked of a set.
pub(crate) fn replicas(set: &ReplicaSet) -> i32 {
    set.spec.replicas.unwrap_or(1)
}

/// Available pods of a set that stay when it is scaled to what it was last told. A set deletes pods that are not ready
/// first, so this never counts too many, even while the set has not yet acted.
pub(crate) fn available(set: &ReplicaSet) -> i32 {
    let reported = set.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
    reported.min(replicas(set))
}

/// The revision annotation of a set, or 0.
pub(crate) fn revision(set: &ReplicaSet) -> i64 {
    annotation(set, REVISION).and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// One annotation of a set.
pub(crate) fn annotation<'s>(set: &'s ReplicaSet, key: &str) -> Option<&'s str> {
    set.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// Sum over sets.
pub(crate) fn sum<'s>(
    sets: impl IntoIterator<Item = &'s Arc<ReplicaSet>>,
    of: impl Fn(&ReplicaSet) -> i32,
) -> i32 {
    sets.into_iter().map(|set| of(set)).fold(0, i32::saturating_add)
}
