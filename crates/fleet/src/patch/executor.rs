//! Carries campaigns out: one at a time, from their status, with no choices of its own.
//!
//! Flow: campaigns, workloads and pods (watches) and the next deadline wake one loop; for each campaign that is not at its end
//! it observes, steps, writes the status (the journal), and only then carries out the effects. After kill -9 the same loop
//! starts from the journal; effects are harmless the second time. While no campaign is under way only campaigns are watched.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use konzert_api::own::{
    CampaignPhase, PatchCampaign, PatchCampaignSpec, PatchCampaignStatus, ReportState, WorkloadProgress,
};
use konzert_campaigns::{Effect, Health, Observed, Rescan, Template, is_final, step, wakes_at};
use konzert_images::ContentStore;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::named;
use super::planning::{self, Build};
use super::workload::{self, Side, side};
use crate::inventory::{RunningContainer, inventory};
use crate::scan::Scanner;
use crate::{FleetError, Shutdown, ended};

/// Changes that come in a burst are taken together.
const BURST: Duration = Duration::from_millis(25);
/// Pause after an error.
const RETRY: Duration = Duration::from_secs(1);

/// Runs until the shutdown.
pub async fn run(
    client: Client,
    images: Arc<ContentStore>,
    scanner: Arc<Scanner>,
    mut shutdown: Shutdown,
) -> Result<(), FleetError> {
    let executor = Executor { client, images, scanner };
    tokio::select! {
        () = ended(&mut shutdown) => Ok(()),
        () = executor.run() => Ok(()),
    }
}

struct Executor {
    client: Client,
    images: Arc<ContentStore>,
    scanner: Arc<Scanner>,
}

impl Executor {
    async fn run(&self) {
        let mut campaigns = changes::<PatchCampaign>(&self.client);
        let mut fleet: SelectAll<BoxStream<'static, ()>> = SelectAll::new();
        let mut next: Option<Timestamp> = None;
        loop {
            tokio::select! {
                Some(()) = campaigns.next() => {}
                Some(()) = fleet.next() => {}
                () = sleep_until(next) => {}
            }
            tokio::time::sleep(BURST).await;
            match self.look().await {
                Ok(Look::Idle) => {
                    fleet.clear();
                    next = None;
                }
                Ok(Look::Busy(at)) => {
                    if fleet.is_empty() {
                        fleet.push(changes::<Pod>(&self.client));
                        fleet.push(changes::<Deployment>(&self.client));
                    }
                    next = at;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "a campaign could not go on");
                    next = Timestamp::now().checked_add(RETRY).ok();
                }
            }
        }
    }

    async fn look(&self) -> Result<Look, FleetError> {
        let listed = Api::<PatchCampaign>::all(self.client.clone()).list(&ListParams::default()).await;
        let mut campaigns = listed.map_err(FleetError::api("list patch campaigns"))?.items;
        campaigns.sort_by(|a, b| a.metadata.creation_timestamp.cmp(&b.metadata.creation_timestamp));
        // One at a time: two campaigns could want two images for one workload.
        let Some(campaign) = campaigns.iter().find(|c| open(c)) else { return Ok(Look::Idle) };
        let status = campaign.status.clone().unwrap_or_default();
        let next = if status.phase == CampaignPhase::Pending {
            self.plan(campaign).await?
        } else {
            self.step(campaign, status).await?
        };
        Ok(Look::Busy(wakes_at(&campaign.spec, &next)))
    }

    async fn plan(&self, campaign: &PatchCampaign) -> Result<PatchCampaignStatus, FleetError> {
        let now = Timestamp::now();
        let mut status =
            PatchCampaignStatus { started_at: Some(now.to_string()), ..PatchCampaignStatus::default() };
        match planning::look(&self.scanner, &self.images, &campaign.spec, Build::Yes).await {
            Ok(looked) => {
                status.exposed_before = count(looked.exposed);
                status.exposed_after = status.exposed_before;
                status.waves = looked.planned.waves;
                status.workloads = looked.planned.workloads.into_iter().map(|w| w.progress).collect();
                status.phase = CampaignPhase::Running;
                if let Some(refusal) = looked.planned.refusal {
                    status.phase = CampaignPhase::Refused;
                    status.message = refusal;
                }
            }
            // The request cannot be served, now or later.
            Err(error) if error.is_user_error() => {
                status.phase = CampaignPhase::Refused;
                status.message = error.to_string();
            }
            Err(error) => return Err(error),
        }
        if is_final(status.phase) {
            status.finished_at = Some(now.to_string());
        }
        self.write(campaign, &status).await?;
        Ok(status)
    }

    async fn step(
        &self,
        campaign: &PatchCampaign,
        status: PatchCampaignStatus,
    ) -> Result<PatchCampaignStatus, FleetError> {
        let observed = self.observe(&campaign.spec, &status).await?;
        let (mut next, effects) = step(&campaign.spec, &status, &observed, Timestamp::now());
        if is_final(next.phase) {
            next.exposed_after = count(self.exposed(&campaign.spec).await?);
        }
        if next != status {
            self.write(campaign, &next).await?;
        }
        for effect in effects {
            let (index, which) = match effect {
                Effect::Patch(index) => (index, Side::After),
                Effect::Restore(index) => (index, Side::Before),
            };
            let entry = &next.workloads[index];
            workload::set_images(&self.client, entry, &side(&entry.changes, which)).await?;
        }
        Ok(next)
    }

    async fn exposed(&self, spec: &PatchCampaignSpec) -> Result<usize, FleetError> {
        let mut all = self.scanner.exposed(&spec.advisories).await?;
        all.retain(|c| spec.namespaces.is_empty() || spec.namespaces.contains(&c.container.namespace));
        Ok(all.len())
    }

    async fn observe(
        &self,
        spec: &PatchCampaignSpec,
        status: &PatchCampaignStatus,
    ) -> Result<Vec<Observed>, FleetError> {
        let running = inventory(&self.client).await?;
        let advisories = self.scanner.advisory_ids(&spec.advisories)?;
        let mut observed = Vec::with_capacity(status.workloads.len());
        for entry in &status.workloads {
            observed.push(self.observe_one(entry, &running, &advisories).await?);
        }
        Ok(observed)
    }

    async fn observe_one(
        &self,
        entry: &WorkloadProgress,
        running: &[RunningContainer],
        advisories: &BTreeSet<String>,
    ) -> Result<Observed, FleetError> {
        let current =
            workload::read(&self.client, &entry.kind, &entry.namespace, &entry.name, &entry.uid).await?;
        let images = current.as_ref().map(workload::Current::images).unwrap_or_default();
        let has = |which| side(&entry.changes, which).iter().all(|(c, image)| images.get(c) == Some(image));
        let own: Vec<&RunningContainer> = running.iter().filter(|c| c.workload.uid == entry.uid).collect();
        let runs = |digest: fn(&konzert_api::own::ImageChange) -> &str| {
            own.iter().any(|c| {
                entry
                    .changes
                    .iter()
                    .any(|change| change.container == c.container && digest(change) == c.digest)
            })
        };
        Ok(Observed {
            exists: current.is_some(),
            template: match (has(Side::After), has(Side::Before)) {
                (true, _) => Template::After,
                (false, true) => Template::Before,
                (false, false) => Template::Other,
            },
            health: current.map_or(Health::Waiting("it is gone".to_owned()), |c| c.health()),
            before_runs: runs(|change| &change.before_digest),
            after_runs: runs(|change| &change.after_digest),
            rescan: self.rescan(&own, advisories).await?,
        })
    }

    /// Scans what runs, not what was asked for.
    async fn rescan(
        &self,
        own: &[&RunningContainer],
        advisories: &BTreeSet<String>,
    ) -> Result<Rescan, FleetError> {
        let digests: BTreeSet<String> = own.iter().map(|c| c.digest.clone()).collect();
        let verdicts = self.scanner.verdicts(&digests).await?;
        let has =
            |digest: &String| verdicts[digest].findings.iter().any(|f| advisories.contains(&f.advisory));
        let exposed = own.iter().filter(|c| has(&c.digest)).count();
        if exposed > 0 {
            return Ok(Rescan::Exposed(exposed));
        }
        if let Some((_, unsure)) = verdicts.iter().find(|(_, v)| v.state != ReportState::Complete) {
            return Ok(Rescan::Unknown(unsure.reasons.join("; ")));
        }
        let what: Vec<String> = digests.iter().map(|d| d.chars().take(19).collect()).collect();
        let database: String =
            verdicts.values().next().map(|v| v.database.chars().take(12).collect()).unwrap_or_default();
        Ok(Rescan::Clean(format!(
            "{} running containers of {} scanned against advisories {database}: none has it",
            own.len(),
            what.join(", ")
        )))
    }

    /// The journal: with the resource version that was read, so that two executors cannot both go on.
    async fn write(&self, campaign: &PatchCampaign, status: &PatchCampaignStatus) -> Result<(), FleetError> {
        let name = named(campaign);
        let api: Api<PatchCampaign> = Api::all(self.client.clone());
        let patch = json!({"metadata": {"resourceVersion": campaign.metadata.resource_version}, "status": null_out(campaign, status)});
        let written = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(patch)).await;
        written.map(|_| ()).map_err(FleetError::api(format!("write the status of campaign {name}")))
    }
}

/// A merge patch keeps what it does not name: fields that are absent now are named as null.
fn null_out(campaign: &PatchCampaign, status: &PatchCampaignStatus) -> serde_json::Value {
    let old = serde_json::to_value(&campaign.status).unwrap_or_default();
    let mut new = serde_json::to_value(status).unwrap_or_default();
    if let (Some(old), Some(new)) = (old.as_object(), new.as_object_mut()) {
        for key in old.keys() {
            new.entry(key.clone()).or_insert(serde_json::Value::Null);
        }
    }
    new
}

enum Look {
    Idle,
    /// When to look again although nothing happens.
    Busy(Option<Timestamp>),
}

/// Not at its end, or asked to undo and not undone yet.
fn open(campaign: &PatchCampaign) -> bool {
    let Some(status) = &campaign.status else { return true };
    !is_final(status.phase)
        || campaign.spec.undo && status.patched > 0 && status.phase != CampaignPhase::Undone
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

async fn sleep_until(at: Option<Timestamp>) {
    match at {
        None => std::future::pending().await,
        Some(at) => {
            let left = at.duration_since(Timestamp::now());
            tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
        }
    }
}

/// Fires for each change of a kind.
fn changes<K>(client: &Client) -> BoxStream<'static, ()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    watcher(Api::<K>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .filter_map(|event| async move { event.is_ok().then_some(()) })
        .boxed()
}
