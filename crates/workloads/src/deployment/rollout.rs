//! The two strategies: `RollingUpdate` and Recreate.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::{ReplicaSet, RollingUpdateDeployment};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::sets::{available, replicas, sum};
use super::{Moved, Pass};
use crate::action::Plan;
use crate::pods::is_terminal;

/// Which way a percentage is rounded.
#[derive(Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

impl Pass<'_> {
    /// `maxSurge` and `maxUnavailable` in pods. Surge rounds up, unavailable rounds down, and both zero would stand still,
    /// so then one pod may be unavailable.
    fn fenceposts(&self) -> (i32, i32) {
        if self.recreates() {
            return (0, 0);
        }
        let strategy = self.deployment.spec.strategy.as_ref();
        let default = RollingUpdateDeployment::default();
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref()).unwrap_or(&default);
        let desired = self.desired();
        let surge = resolve(rolling.max_surge.as_ref(), desired, Rounding::Up);
        let unavailable = resolve(rolling.max_unavailable.as_ref(), desired, Rounding::Down);
        if surge == 0 && unavailable == 0 { (0, 1) } else { (surge, unavailable) }
    }

    /// Most replicas at any time.
    pub(crate) fn max_total(&self) -> i32 {
        self.desired().saturating_add(self.fenceposts().0)
    }

    /// Pods that may be missing. More than there are makes no sense.
    pub(crate) fn max_unavailable(&self) -> i32 {
        self.fenceposts().1.min(self.desired())
    }

    /// What the new set may have now, given what it has.
    pub(crate) fn new_set_size(&self, current: i32) -> i32 {
        if self.recreates() {
            return self.desired();
        }
        let total = sum(self.sets.all(), replicas);
        let room = self.max_total().saturating_sub(total);
        if room <= 0 {
            return current;
        }
        current + room.min(self.desired() - current)
    }

    pub(crate) fn roll(&mut self, plan: &mut Plan) -> Moved {
        if self.ensure_new_set(plan) == Moved::Yes {
            return Moved::Yes;
        }
        let Some(new) = self.sets.new.clone() else { return Moved::Yes };
        let current = replicas(&new);
        let size = if current > self.desired() { self.desired() } else { self.new_set_size(current) };
        if self.scale_set(&new, size, plan) == Moved::Yes {
            return Moved::Yes;
        }
        self.shrink_old(&new, plan)
    }

    /// Takes replicas from the old sets: first those that are not available anyway, then available ones down to the minimum.
    fn shrink_old(&self, new: &ReplicaSet, plan: &mut Plan) -> Moved {
        let total = sum(self.sets.all(), replicas);
        let minimum = self.desired() - self.max_unavailable();
        let new_unavailable = replicas(new) - available(new);
        let mut budget = total - minimum - new_unavailable;
        if budget <= 0 || sum(&self.sets.old, replicas) == 0 {
            return Moved::No;
        }
        let mut sizes: Vec<(Arc<ReplicaSet>, i32)> =
            self.sets.active_old().map(|set| (Arc::clone(set), replicas(set))).collect();
        for (set, size) in &mut sizes {
            let unhealthy = (*size - available(set)).min(budget).max(0);
            *size -= unhealthy;
            budget -= unhealthy;
        }
        let mut spare = sum(self.sets.all(), available) - minimum;
        for (_, size) in &mut sizes {
            let taken = (*size).min(spare).max(0);
            *size -= taken;
            spare -= taken;
        }
        let mut moved = Moved::No;
        for (set, size) in sizes {
            if self.scale_set(&set, size, plan) == Moved::Yes {
                moved = Moved::Yes;
            }
        }
        moved
    }

    pub(crate) fn recreate(&mut self, plan: &mut Plan) -> Moved {
        let active: Vec<_> = self.sets.active_old().cloned().collect();
        self.sync_new_set(plan);
        if !active.is_empty() {
            for set in active {
                self.scale_set(&set, 0, plan);
            }
            return Moved::Yes;
        }
        let running = |set: &Arc<ReplicaSet>| self.pods_of(set).any(|pod| !is_terminal(pod));
        if self.sets.old.iter().any(running) {
            return Moved::Yes;
        }
        if self.ensure_new_set(plan) == Moved::Yes {
            return Moved::Yes;
        }
        let Some(new) = self.sets.new.clone() else { return Moved::Yes };
        self.scale_set(&new, self.desired(), plan)
    }
}

/// An absolute number, or a percentage of `total`; the default is a quarter.
fn resolve(value: Option<&IntOrString>, total: i32, rounding: Rounding) -> i32 {
    let percent = match value {
        Some(IntOrString::Int(number)) => return (*number).max(0),
        Some(IntOrString::String(text)) => {
            text.strip_suffix('%').and_then(|digits| digits.parse::<i64>().ok()).unwrap_or_default()
        }
        None => 25,
    };
    let scaled = percent.max(0).saturating_mul(i64::from(total));
    let whole = match rounding {
        Rounding::Up => scaled.saturating_add(99) / 100,
        Rounding::Down => scaled / 100,
    };
    i32::try_from(whole).unwrap_or(i32::MAX)
}
