//! Looks at everything that the reaping rules judge: typed where a rule needs status, metadata only elsewhere.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, PodSpec, Secret, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konzert_images::{ContentStore, ImageRecord, Reference};
use konzert_reaping::{Candidate, CandidateState, ImageCandidate, Ownership, Snapshot};
use kube::api::{Api, ListParams};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::FleetError;
use crate::error::api_code;
use crate::inventory::controller;

/// One look.
pub(super) async fn take(client: &Client, images: Option<&ContentStore>) -> Result<Snapshot, FleetError> {
    let pods: Vec<Pod> = list(client).await?;
    let jobs: Vec<Job> = list(client).await?;
    let sets: Vec<ReplicaSet> = list(client).await?;
    let deployments: Vec<Deployment> = list(client).await?;
    let stateful: Vec<StatefulSet> = list(client).await?;
    let daemons: Vec<DaemonSet> = list(client).await?;
    let crons: Vec<CronJob> = list(client).await?;
    let living: HashSet<&str> = deployments.iter().filter_map(|d| d.metadata.uid.as_deref()).collect();
    let mut objects = Vec::new();
    objects.extend(pods.iter().filter_map(|pod| candidate(pod, pod_state(pod))));
    objects.extend(jobs.iter().filter_map(|job| candidate(job, job_state(job))));
    objects.extend(sets.iter().filter_map(|set| candidate(set, set_state(set, &living))));
    objects.extend(deployments.iter().filter_map(|d| candidate(d, CandidateState::Plain)));
    objects.extend(stateful.iter().filter_map(|s| candidate(s, CandidateState::Plain)));
    objects.extend(daemons.iter().filter_map(|d| candidate(d, CandidateState::Plain)));
    objects.extend(crons.iter().filter_map(|c| candidate(c, CandidateState::Plain)));
    plain::<Namespace>(client, &mut objects).await?;
    plain::<Service>(client, &mut objects).await?;
    plain::<ConfigMap>(client, &mut objects).await?;
    plain::<Secret>(client, &mut objects).await?;
    let mut named: BTreeSet<String> = BTreeSet::new();
    let specs = pods.iter().filter_map(|p| p.spec.as_ref());
    let specs = specs
        .chain(jobs.iter().filter_map(|j| j.spec.as_ref()?.template.spec.as_ref()))
        .chain(sets.iter().filter_map(|s| s.spec.template.as_ref()?.spec.as_ref()))
        .chain(deployments.iter().filter_map(|d| d.spec.template.spec.as_ref()))
        .chain(stateful.iter().filter_map(|s| s.spec.template.spec.as_ref()))
        .chain(daemons.iter().filter_map(|d| d.spec.template.spec.as_ref()))
        .chain(crons.iter().filter_map(|c| c.spec.job_template.spec.as_ref()?.template.spec.as_ref()));
    for spec in specs {
        named.extend(images_of(spec));
    }
    let statuses = pods.iter().filter_map(|p| p.status.as_ref()?.container_statuses.as_ref()).flatten();
    named.extend(statuses.map(|s| s.image_id.clone()));
    let images = images.map(|store| unneeded(store, &named)).transpose()?.unwrap_or_default();
    Ok(Snapshot { objects, images })
}

/// A cluster need not serve every kind.
async fn list<K>(client: &Client) -> Result<Vec<K>, FleetError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let kind = K::plural(&());
    match Api::<K>::all(client.clone()).list(&ListParams::default()).await {
        Ok(list) => Ok(list.items),
        Err(error) if api_code(&error) == Some(404) => Ok(Vec::new()),
        Err(error) => Err(FleetError::api(format!("list {kind}"))(error)),
    }
}

async fn plain<K>(client: &Client, objects: &mut Vec<Candidate>) -> Result<(), FleetError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let listed = Api::<K>::all(client.clone()).list_metadata(&ListParams::default()).await;
    let items = listed.map_err(FleetError::api(format!("list {}", K::plural(&()))))?.items;
    let (api_version, kind) = (K::api_version(&()), K::kind(&()));
    objects.extend(items.iter().filter_map(|o| of(&api_version, &kind, &o.metadata, CandidateState::Plain)));
    Ok(())
}

fn candidate<K: Resource<DynamicType = ()>>(object: &K, state: CandidateState) -> Option<Candidate> {
    of(&K::api_version(&()), &K::kind(&()), object.meta(), state)
}

/// What is being deleted already is no candidate.
fn of(api_version: &str, kind: &str, metadata: &ObjectMeta, state: CandidateState) -> Option<Candidate> {
    if metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some(Candidate {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone()?,
        uid: metadata.uid.clone()?,
        created: metadata.creation_timestamp.as_ref()?.0,
        annotations: metadata.annotations.clone().unwrap_or_default(),
        owned: controller(metadata).is_some(),
        state,
    })
}

fn pod_state(pod: &Pod) -> CandidateState {
    let status = pod.status.as_ref();
    let phase = status.and_then(|s| s.phase.as_deref());
    let ends = status.and_then(|s| s.container_statuses.as_deref()).unwrap_or_default().iter();
    let last =
        ends.filter_map(|c| c.state.as_ref()?.terminated.as_ref()?.finished_at.as_ref()).map(|t| t.0).max();
    // An evicted pod may never have had a container.
    let last = last.or_else(|| Some(pod.metadata.creation_timestamp.as_ref()?.0));
    let finished = matches!(phase, Some("Succeeded" | "Failed"));
    CandidateState::Pod { finished_at: last.filter(|_| finished) }
}

fn job_state(job: &Job) -> CandidateState {
    let conditions = job.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
    let done =
        conditions.iter().find(|c| matches!(c.type_.as_str(), "Complete" | "Failed") && c.status == "True");
    let finished_at: Option<Timestamp> = done.and_then(|c| c.last_transition_time.as_ref()).map(|t| t.0);
    CandidateState::Job { finished_at }
}

fn set_state(set: &ReplicaSet, living: &HashSet<&str>) -> CandidateState {
    let wanted = set.spec.replicas.unwrap_or(1);
    let has = set.status.as_ref().map_or(0, |s| s.replicas);
    let owner = match controller(&set.metadata) {
        None => Ownership::None,
        // Only Deployments are looked at; of another kind of owner nothing is known, so it counts as living.
        Some(owner) if owner.kind != "Deployment" || living.contains(owner.uid.as_str()) => Ownership::Living,
        Some(_) => Ownership::Gone,
    };
    CandidateState::ReplicaSet { replicas: u32::try_from(wanted.max(has)).unwrap_or_default(), owner }
}

fn images_of(spec: &PodSpec) -> impl Iterator<Item = String> + '_ {
    let init = spec.init_containers.iter().flatten();
    init.chain(&spec.containers).filter_map(|container| container.image.clone())
}

/// Images with what needs them: a workload that names them, a container that runs them, or an image that stands on them.
fn unneeded(store: &ContentStore, named: &BTreeSet<String>) -> Result<Vec<ImageCandidate>, FleetError> {
    let records = store.list().map_err(FleetError::image("list images"))?;
    let mut needed: BTreeMap<&str, &ImageRecord> = BTreeMap::new();
    let references: Vec<Reference> = named.iter().filter_map(|name| Reference::parse(name).ok()).collect();
    for record in &records {
        let used = !store.in_use_by(&record.digest).map_err(FleetError::image("list uses"))?.is_empty();
        if used || named.contains(record.digest.as_str()) || references.iter().any(|r| names(record, r)) {
            needed.insert(record.digest.as_str(), record);
        }
    }
    let is_base = |record: &ImageRecord| needed.values().any(|image| image.is_built_on(record));
    Ok(records
        .iter()
        .map(|record| ImageCandidate {
            name: record.display_name().to_owned(),
            digest: record.digest.to_string(),
            loaded_at: record.loaded_at,
            needed: needed.contains_key(record.digest.as_str()) || is_base(record),
        })
        .collect())
}

fn names(record: &ImageRecord, reference: &Reference) -> bool {
    match &reference.digest {
        Some(digest) => record.digest == *digest || record.index_digests.contains(digest),
        None => reference.tagged_name().is_some_and(|name| record.names.contains(&name)),
    }
}

/// `namespace/name`, or the name alone.
pub(super) fn object_path(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}
