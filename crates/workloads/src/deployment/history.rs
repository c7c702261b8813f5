//! Creation of the new `ReplicaSet`, its revision, and the removal of `ReplicaSets` nobody will roll back to.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use super::sets::{annotation, canonical, replicas, revision};
use super::{DESIRED_REPLICAS, MAX_REPLICAS, Moved, POD_TEMPLATE_HASH, Pass, REVISION, REVISION_HISTORY};
use crate::action::{Action, DEPLOYMENT, EventNote, Plan, REPLICA_SET, reference, with_header};
use crate::names::template_hash;
use crate::pods::{controller_reference, is_controlled_by, is_deleting, name, stamp, uid};

/// Annotations of the Deployment that describe the Deployment only.
const NOT_COPIED: &[&str] = &[
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];

impl Pass<'_> {
    /// Annotations of an existing new set: revision, copied annotations, minReadySeconds.
    pub(crate) fn sync_new_set(&mut self, plan: &mut Plan) {
        let Some(set) = self.sets.new.clone() else { return };
        self.conditions.note_found(self.deployment, &set, &stamp(self.now));
        let mut annotations = set.metadata.annotations.clone().unwrap_or_default();
        annotations.extend(self.copied_annotations());
        let next = self.sets.next_revision();
        let current = revision(&set);
        if current < next {
            if current > 0 {
                let history = annotations.entry(REVISION_HISTORY.to_owned()).or_default();
                if !history.is_empty() {
                    history.push(',');
                }
                history.push_str(&current.to_string());
            }
            annotations.insert(REVISION.to_owned(), next.to_string());
        }
        let mut operations: Vec<Value> = Vec::new();
        if Some(&annotations) != set.metadata.annotations.as_ref() {
            if let Some(held) = &set.metadata.annotations {
                operations.push(json!({"op": "test", "path": "/metadata/annotations", "value": held}));
            }
            operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": annotations}));
        }
        let seconds = self.deployment.spec.min_ready_seconds.unwrap_or_default();
        let held = set.spec.min_ready_seconds.unwrap_or_default();
        if seconds != held {
            operations.push(json!({"op": "add", "path": "/spec/minReadySeconds", "value": seconds}));
        }
        if operations.is_empty() {
            return;
        }
        plan.patch(&REPLICA_SET, &set.metadata, operations);
        let mut updated = ReplicaSet::clone(&set);
        updated.metadata.annotations = Some(annotations);
        updated.spec.min_ready_seconds = Some(seconds);
        self.sets.new = Some(Arc::new(updated));
    }

    /// Makes sure that there is a set for the current template.
    pub(crate) fn ensure_new_set(&mut self, plan: &mut Plan) -> Moved {
        if self.sets.new.is_some() {
            self.sync_new_set(plan);
            return Moved::No;
        }
        let hash = template_hash(&canonical(&self.deployment.spec.template), self.collision_count);
        let set_name = format!("{}-{hash}", name(&self.deployment.metadata));
        let taken = self.observed.replica_sets.iter().find(|set| name(&set.metadata) == set_name);
        if let Some(other) = taken {
            // Same name, other template or other owner: the hash moves on, and the status write brings the next try.
            if !is_deleting(&other.metadata)
                || !is_controlled_by(&other.metadata, uid(&self.deployment.metadata))
            {
                self.collision_count = self.collision_count.saturating_add(1);
            }
            return Moved::Yes;
        }
        let set = self.build_set(set_name, &hash);
        let size = replicas(&set);
        plan.actions.push(Action::Create { resource: REPLICA_SET, object: with_header(&REPLICA_SET, &set) });
        if size > 0 {
            let message = format!("Scaled up replica set {} from 0 to {size}", name(&set.metadata));
            let about = reference(&DEPLOYMENT, &self.deployment.metadata);
            plan.event(about, EventNote::normal("ScalingReplicaSet", message));
        }
        self.conditions.note_created(self.deployment, &set, &stamp(self.now));
        Moved::Yes
    }

    fn build_set(&self, set_name: String, hash: &str) -> ReplicaSet {
        let deployment = self.deployment;
        let mut template = deployment.spec.template.clone();
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(POD_TEMPLATE_HASH.to_owned(), hash.to_owned());
        let labels = labels.clone();
        let mut selector = deployment.spec.selector.clone();
        selector.match_labels.get_or_insert_default().insert(POD_TEMPLATE_HASH.to_owned(), hash.to_owned());
        let mut annotations = self.copied_annotations();
        annotations.insert(REVISION.to_owned(), self.sets.next_revision().to_string());
        annotations.insert(DESIRED_REPLICAS.to_owned(), self.desired().to_string());
        annotations.insert(MAX_REPLICAS.to_owned(), self.max_total().to_string());
        ReplicaSet {
            metadata: ObjectMeta {
                name: Some(set_name),
                namespace: deployment.metadata.namespace.clone(),
                labels: Some(labels),
                annotations: Some(annotations),
                owner_references: Some(vec![controller_reference(&DEPLOYMENT, &deployment.metadata)]),
                ..ObjectMeta::default()
            },
            spec: ReplicaSetSpec {
                replicas: Some(self.new_set_size(0)),
                min_ready_seconds: deployment.spec.min_ready_seconds,
                selector,
                template: Some(template),
            },
            status: None,
        }
    }

    fn copied_annotations(&self) -> BTreeMap<String, String> {
        let annotations = self.deployment.metadata.annotations.iter().flatten();
        annotations
            .filter(|(key, _)| !NOT_COPIED.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// Deletes old, empty, settled sets beyond `revisionHistoryLimit`, lowest revision first.
    pub(crate) fn clean_up_history(&self, plan: &mut Plan) {
        let limit = self.deployment.spec.revision_history_limit.unwrap_or(10);
        let mut alive: Vec<_> = self.sets.old.iter().filter(|set| !is_deleting(&set.metadata)).collect();
        let Ok(limit) = usize::try_from(limit) else { return };
        let Some(surplus) = alive.len().checked_sub(limit).filter(|surplus| *surplus > 0) else { return };
        alive.sort_by_key(|set| revision(set));
        for set in alive.into_iter().take(surplus) {
            let status = set.status.as_ref();
            let settled = status.and_then(|status| status.observed_generation) >= set.metadata.generation;
            let empty = status.is_none_or(|status| status.replicas == 0) && replicas(set) == 0;
            if settled && empty {
                plan.delete(&REPLICA_SET, &set.metadata, None);
            }
        }
    }

    /// Patch operations that write the two annotations proportional scaling reads, as far as they differ.
    pub(crate) fn size_annotations(&self, set: &ReplicaSet) -> Vec<Value> {
        let wanted = [(DESIRED_REPLICAS, self.desired()), (MAX_REPLICAS, self.max_total())];
        let differing = wanted.iter().filter(|(key, value)| annotation(set, key) != Some(&value.to_string()));
        let mut operations: Vec<Value> = differing
            .map(|(key, value)| {
                let path = format!("/metadata/annotations/{}", key.replace('/', "~1"));
                json!({"op": "add", "path": path, "value": value.to_string()})
            })
            .collect();
        if !operations.is_empty() && set.metadata.annotations.is_none() {
            operations.insert(0, json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
        }
        operations
    }
}
