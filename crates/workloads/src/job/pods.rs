//! How many pods a running Job needs, when it may have them, and what they look like.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::{EnvVar, Pod, PodTemplateSpec};

use super::accounting::replaces_when_failed;
use super::{COMPLETION_INDEX, Pass, TRACKING, indexes};
use crate::action::{Action, EventNote, JOB, POD, Plan, reference, with_header};
use crate::pods::{after, name};
use crate::ranking::deletion_order;
use crate::replicaset::{BURST, count};
use crate::template::{self, Naming, naming};

/// First pause after a failed pod; doubles with every further one.
const BACKOFF_SECONDS: i64 = 10;
/// Longest pause.
const MAX_BACKOFF_SECONDS: i64 = 600;
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

impl Pass<'_> {
    /// Creates what is missing, deletes what is too many.
    pub(crate) fn manage(&self, status: &JobStatus, work: &mut Plan) {
        let duplicates = self.duplicates();
        self.discard(&duplicates, work);
        let active = count(self.ledger.active.len() - duplicates.len());
        let wanted = self.wanted(active);
        if active > wanted {
            let surplus = usize::try_from(active - wanted).unwrap_or_default().min(BURST);
            let kept: Vec<Arc<Pod>> =
                self.ledger.active.iter().filter(|pod| !duplicates.contains(pod)).cloned().collect();
            let doomed: Vec<Arc<Pod>> = deletion_order(&kept).into_iter().take(surplus).collect();
            self.discard(&doomed, work);
            return;
        }
        let going = if replaces_when_failed(self.job) { count(self.ledger.terminating) } else { 0 };
        let missing = usize::try_from(wanted - active - going).unwrap_or_default().min(BURST);
        if missing == 0 {
            return;
        }
        match self.backoff_until(status) {
            Some(until) if until > self.now => work.requeue(until),
            _ => self.create(missing, work),
        }
    }

    /// How many pods should be active now.
    fn wanted(&self, active: i32) -> i32 {
        let Some(spec) = &self.job.spec else { return 0 };
        let parallelism = spec.parallelism.unwrap_or(1);
        let succeeded = self.ledger.succeeded();
        match spec.completions {
            // After the first success nobody is replaced any more.
            None if succeeded > 0 => active.min(parallelism),
            None => parallelism,
            Some(completions) => (completions - succeeded).clamp(0, parallelism),
        }
    }

    /// Active pods that an Indexed Job has no use for: index done, out of range, or taken by another pod.
    fn duplicates(&self) -> Vec<Arc<Pod>> {
        let Some(completed) = &self.ledger.completed else { return Vec::new() };
        let completions = self.job.spec.as_ref().and_then(|spec| spec.completions).unwrap_or_default();
        let mut taken: BTreeSet<i32> = BTreeSet::new();
        let mut order = deletion_order(&self.ledger.active);
        // The pod that would be deleted last keeps the index.
        order.reverse();
        order
            .into_iter()
            .filter(|pod| {
                let useful =
                    |index: i32| index < completions && !completed.contains(&index) && taken.insert(index);
                !indexes::of(pod).is_some_and(useful)
            })
            .collect()
    }

    /// Until when no new pod is made because the last ones failed.
    fn backoff_until(&self, status: &JobStatus) -> Option<Timestamp> {
        let last_success = self.ledger.succeeded_present.iter().filter_map(|pod| ended_at(pod)).max();
        let start = status.start_time.as_ref().map(|time| time.0);
        let since = last_success.max(start);
        let failures: Vec<Timestamp> = self
            .ledger
            .failed_present
            .iter()
            .filter_map(|pod| ended_at(pod))
            .filter(|ended| since.is_none_or(|since| *ended >= since))
            .collect();
        let last = failures.iter().max()?;
        let doublings = u32::try_from(failures.len() - 1).unwrap_or(u32::MAX).min(10);
        let pause = (BACKOFF_SECONDS << doublings).min(MAX_BACKOFF_SECONDS);
        Some(after(*last, pause))
    }

    fn create(&self, missing: usize, work: &mut Plan) {
        let job = self.job;
        let Some(spec) = &job.spec else { return };
        let objects = match &self.ledger.completed {
            None => (0..missing)
                .map(|number| self.pod(&spec.template, None, number))
                .map(|pod| announced(&pod))
                .collect(),
            Some(completed) => {
                let running: BTreeSet<i32> =
                    self.ledger.active.iter().filter_map(|pod| indexes::of(pod)).collect();
                let free = (0..spec.completions.unwrap_or_default())
                    .filter(|index| !completed.contains(index) && !running.contains(index));
                free.take(missing)
                    .enumerate()
                    .map(|(number, index)| self.pod(&spec.template, Some(index), number))
                    .map(|pod| announced(&pod))
                    .collect()
            }
        };
        let regarding = Box::new(reference(&JOB, &job.metadata));
        work.actions.push(Action::CreateBatch { resource: POD, objects, regarding });
    }

    fn pod(&self, template: &PodTemplateSpec, index: Option<i32>, number: usize) -> Pod {
        let meta = &self.job.metadata;
        let naming = match index {
            Some(index) => Naming { base: format!("{}-{index}-", name(meta)), seed: self.observed.seed },
            None => naming(meta, self.observed.seed),
        };
        let mut pod = template::pod(template, &JOB, meta, &naming, number);
        pod.metadata.finalizers.get_or_insert_default().push(TRACKING.to_owned());
        if let Some(index) = index {
            mark_index(&mut pod, self.job, index);
        }
        pod
    }
}

fn announced(pod: &Pod) -> (serde_json::Value, EventNote) {
    let note = EventNote::normal("SuccessfulCreate", format!("Created pod: {}", name(&pod.metadata)));
    (with_header(&POD, pod), note)
}

/// Index as label, annotation, host name and variable.
fn mark_index(pod: &mut Pod, job: &Job, index: i32) {
    let text = index.to_string();
    for map in [&mut pod.metadata.labels, &mut pod.metadata.annotations] {
        map.get_or_insert_default().insert(COMPLETION_INDEX.to_owned(), text.clone());
    }
    let Some(spec) = &mut pod.spec else { return };
    spec.hostname = Some(format!("{}-{index}", name(&job.metadata)));
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        let variables = container.env.get_or_insert_default();
        if variables.iter().all(|variable| variable.name != INDEX_VARIABLE) {
            let variable =
                EnvVar { name: INDEX_VARIABLE.to_owned(), value: Some(text.clone()), value_from: None };
            variables.push(variable);
        }
    }
}

/// When the pod's last container ended; a pod that is being deleted counts from then.
fn ended_at(pod: &Pod) -> Option<Timestamp> {
    let statuses = pod.status.iter().filter_map(|status| status.container_statuses.as_ref()).flatten();
    let finished = statuses
        .filter_map(|container| container.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref())
        .map(|time| time.0)
        .max();
    finished.or_else(|| pod.metadata.deletion_timestamp.as_ref().map(|time| time.0))
}
