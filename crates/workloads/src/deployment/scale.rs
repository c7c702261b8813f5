//! Changing the size of `ReplicaSets`: one, or all of them in proportion while a rollout is under way.

use std::cmp::Reverse;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use serde_json::json;

use super::sets::{annotation, replicas, revision, sum};
use super::{DESIRED_REPLICAS, MAX_REPLICAS, Moved, Pass};
use crate::action::{DEPLOYMENT, EventNote, Plan, REPLICA_SET, reference};
use crate::pods::{created, name};

impl Pass<'_> {
    /// Whether the size asked for differs from the one some set with replicas was last scaled for.
    pub(crate) fn is_scaling(&self) -> bool {
        let desired = self.desired();
        self.sets.all().filter(|set| replicas(set) > 0).any(|set| {
            let noted = annotation(set, DESIRED_REPLICAS).and_then(|text| text.parse::<i32>().ok());
            noted.is_some_and(|noted| noted != desired)
        })
    }

    /// Scales one set and notes what it was scaled for.
    pub(crate) fn scale_set(&self, set: &ReplicaSet, size: i32, plan: &mut Plan) -> Moved {
        let current = replicas(set);
        if current == size {
            return Moved::No;
        }
        let mut operations = vec![
            json!({"op": "test", "path": "/spec/replicas", "value": current}),
            json!({"op": "replace", "path": "/spec/replicas", "value": size}),
        ];
        operations.extend(self.size_annotations(set));
        plan.patch(&REPLICA_SET, &set.metadata, operations);
        let direction = if size > current { "up" } else { "down" };
        let message =
            format!("Scaled {direction} replica set {} from {current} to {size}", name(&set.metadata));
        let about = reference(&DEPLOYMENT, &self.deployment.metadata);
        plan.event(about, EventNote::normal("ScalingReplicaSet", message));
        Moved::Yes
    }

    /// Brings all sets to a new total size without going on with the rollout.
    pub(crate) fn scale_all(&mut self, plan: &mut Plan) {
        let desired = self.desired();
        if let Some(only) = self.active_or_latest() {
            self.resize(&only, desired, plan);
            return;
        }
        if self.is_saturated() {
            for set in self.sets.active_old() {
                self.resize(set, 0, plan);
            }
            return;
        }
        if self.recreates() {
            return;
        }
        for (set, size) in self.proportional_sizes() {
            self.resize(&set, size, plan);
        }
    }

    /// Scales, and writes the annotations even when the size stays: they are what the next comparison reads.
    fn resize(&self, set: &ReplicaSet, size: i32, plan: &mut Plan) {
        if self.scale_set(set, size, plan) == Moved::No {
            let operations = self.size_annotations(set);
            if !operations.is_empty() {
                plan.patch(&REPLICA_SET, &set.metadata, operations);
            }
        }
    }

    /// The only set with replicas, or the latest when none has any.
    fn active_or_latest(&self) -> Option<Arc<ReplicaSet>> {
        let mut active = self.sets.all().filter(|set| replicas(set) > 0);
        match (active.next(), active.next()) {
            (Some(only), None) => Some(Arc::clone(only)),
            (Some(_), Some(_)) => None,
            (None, _) => self
                .sets
                .new
                .clone()
                .or_else(|| self.sets.old.iter().max_by_key(|set| revision(set)).cloned()),
        }
    }

    /// The new set has everything it was asked for, and all of it is available.
    fn is_saturated(&self) -> bool {
        let desired = self.desired();
        self.sets.new.as_ref().is_some_and(|new| {
            let noted = annotation(new, DESIRED_REPLICAS).and_then(|text| text.parse::<i32>().ok());
            let available =
                new.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
            noted == Some(desired) && replicas(new) == desired && available == desired
        })
    }

    /// Spreads the difference over the active sets by their share; what rounding leaves over goes to the largest.
    fn proportional_sizes(&self) -> Vec<(Arc<ReplicaSet>, i32)> {
        let mut active: Vec<_> = self.sets.all().filter(|set| replicas(set) > 0).cloned().collect();
        let total = sum(&active, replicas);
        let allowed = if self.desired() > 0 { self.max_total() } else { 0 };
        let difference = allowed - total;
        if difference >= 0 {
            active.sort_by_key(|set| (Reverse(replicas(set)), Reverse(created(&set.metadata))));
        } else {
            active.sort_by_key(|set| (Reverse(replicas(set)), created(&set.metadata)));
        }
        let mut left = difference;
        let mut sizes: Vec<(Arc<ReplicaSet>, i32)> = Vec::with_capacity(active.len());
        for set in active {
            let share = self.share(&set);
            let change = if difference > 0 { share.min(left).max(0) } else { share.max(left).min(0) };
            left -= change;
            let size = replicas(&set) + change;
            sizes.push((set, size));
        }
        if let Some((_, size)) = sizes.first_mut() {
            *size = (*size + left).max(0);
        }
        sizes
    }

    /// By how much the set would change if all sets kept their proportion.
    fn share(&self, set: &ReplicaSet) -> i32 {
        let current = i64::from(replicas(set));
        if self.desired() == 0 {
            return -replicas(set);
        }
        let noted = annotation(set, MAX_REPLICAS).and_then(|text| text.parse::<i64>().ok());
        let reported = self.deployment.status.as_ref().and_then(|status| status.replicas).map(i64::from);
        let Some(before) = noted.or(reported).filter(|before| *before > 0) else { return 0 };
        let after = i64::from(self.max_total());
        // Rounded to the nearest, halves away from zero; all values are positive.
        let size = (2 * current * after + before) / (2 * before);
        i32::try_from(size - current).unwrap_or(i32::MAX)
    }
}
