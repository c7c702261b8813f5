//! Patches a vulnerability in all containers: looks who is exposed, asks `konzert-campaigns`, and does what it says.
//!
//! A campaign is an object of the cluster: whoever creates one may go away, the executor in [`run`] carries it out and resumes it
//! from its status after a restart.

mod executor;
mod planning;
mod workload;

use futures::TryStreamExt as _;
use konzert_advisories::Severity;
use konzert_api::own::{ImageChange, PatchCampaign, PatchCampaignSpec};
use konzert_campaigns::WaveSize;
use konzert_images::ContentStore;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde::Serialize;
use serde_json::json;

pub use executor::run;

use crate::error::api_code;
use crate::scan::Scanner;
use crate::{FleetError, WorkloadRef};

/// What to patch, and how carefully.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatchRequest {
    /// Advisory ids or aliases.
    pub advisories: Vec<String>,
    /// Every fixable advisory at or above this severity too.
    pub severity: Option<Severity>,
    /// Only these namespaces; empty means all.
    pub namespaces: Vec<String>,
    /// Label selector on the workloads; empty means all.
    pub selector: String,
    /// Cumulative wave sizes.
    pub waves: Vec<String>,
    /// How long a wave must stay healthy, in seconds.
    pub soak_seconds: u32,
    /// How long a wave may take to become ready, in seconds.
    pub ready_seconds: u32,
    /// Most workloads that may change.
    pub max_workloads: u32,
}

/// What a campaign would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PatchPlan {
    /// The advisories, as published.
    pub advisories: Vec<String>,
    /// Running containers that have one of them.
    pub exposed: usize,
    /// Workloads by wave.
    pub waves: Vec<Vec<PlannedWorkload>>,
    /// Exposed workloads without a remedy.
    pub not_patchable: Vec<NotPatchable>,
    /// Why nothing would be done at all.
    pub refusal: Option<String>,
}

/// One workload of a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedWorkload {
    /// The workload.
    pub workload: WorkloadRef,
    /// Its image changes.
    pub changes: Vec<ImageChange>,
    /// Its exposed containers.
    pub containers: usize,
}

/// An exposed workload without a remedy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotPatchable {
    /// The workload.
    pub workload: WorkloadRef,
    /// Why.
    pub reason: String,
}

/// What a user can tell a campaign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start no further wave.
    Pause,
    /// Go on.
    Resume,
    /// Roll the wave under way back and stop.
    Abort,
    /// Put everything back.
    Undo,
}

/// What `--plan` prints; changes nothing, and builds nothing.
pub async fn plan(
    scanner: &Scanner,
    images: &ContentStore,
    request: &PatchRequest,
) -> Result<PatchPlan, FleetError> {
    let spec = spec_of(scanner, request).await?;
    if spec.advisories.is_empty() {
        let nothing = PatchPlan {
            advisories: Vec::new(),
            exposed: 0,
            waves: Vec::new(),
            not_patchable: Vec::new(),
            refusal: None,
        };
        return Ok(nothing);
    }
    let looked = planning::look(scanner, images, &spec, planning::Build::No).await?;
    let refused = looked.planned.refusal.clone();
    let mut waves: Vec<Vec<PlannedWorkload>> =
        vec![Vec::new(); usize::try_from(looked.planned.waves).unwrap_or_default()];
    let mut not_patchable = Vec::new();
    for entry in looked.planned.workloads {
        let p = entry.progress;
        let workload = WorkloadRef { kind: p.kind, namespace: p.namespace, name: p.name, uid: p.uid };
        match usize::try_from(p.wave).unwrap_or_default().checked_sub(1) {
            Some(wave) => waves[wave].push(PlannedWorkload {
                workload,
                changes: p.changes,
                containers: entry.containers,
            }),
            None => not_patchable.push(NotPatchable { workload, reason: p.message }),
        }
    }
    Ok(PatchPlan {
        advisories: looked.advisories,
        exposed: looked.exposed,
        waves,
        not_patchable,
        refusal: refused,
    })
}

/// Checks a request and turns a severity into advisories.
async fn spec_of(scanner: &Scanner, request: &PatchRequest) -> Result<PatchCampaignSpec, FleetError> {
    WaveSize::parse_all(&request.waves)
        .map_err(|e| FleetError::Request { field: "waves", problem: e.to_string() })?;
    let mut advisories = request.advisories.clone();
    if let Some(severity) = request.severity {
        let report = scanner.scan_fleet().await?;
        let found = report.containers.iter().flat_map(|c| c.findings.iter());
        let bad = found.filter(|f| {
            !f.fixed.is_empty() && Severity::parse(&f.severity).unwrap_or_default().reaches(severity)
        });
        advisories.extend(bad.map(|f| f.advisory.clone()));
    }
    advisories.sort();
    advisories.dedup();
    scanner.advisory_ids(&advisories)?;
    Ok(PatchCampaignSpec {
        advisories,
        namespaces: request.namespaces.clone(),
        selector: request.selector.clone(),
        waves: request.waves.clone(),
        soak_seconds: request.soak_seconds,
        ready_seconds: request.ready_seconds,
        max_workloads: request.max_workloads,
        paused: false,
        aborted: false,
        undo: false,
    })
}

/// Creates a campaign; an executor takes it from there.
pub async fn create(
    client: Client,
    scanner: &Scanner,
    request: &PatchRequest,
) -> Result<PatchCampaign, FleetError> {
    let mut campaign = PatchCampaign::new("", spec_of(scanner, request).await?);
    campaign.metadata.name = None;
    campaign.metadata.generate_name = Some("campaign-".to_owned());
    let created = Api::<PatchCampaign>::all(client).create(&PostParams::default(), &campaign).await;
    created.map_err(FleetError::api("create a patch campaign"))
}

/// Follows a campaign to its end.
pub async fn follow(
    client: Client,
    name: &str,
    on_change: &mut (dyn FnMut(&PatchCampaign) + Send),
) -> Result<PatchCampaign, FleetError> {
    let api: Api<PatchCampaign> = Api::all(client);
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let stream = watcher(api, config).default_backoff().applied_objects();
    let mut stream = std::pin::pin!(stream);
    loop {
        match stream.try_next().await {
            Ok(Some(campaign)) => {
                on_change(&campaign);
                if campaign.status.as_ref().is_some_and(|s| konzert_campaigns::is_final(s.phase)) {
                    return Ok(campaign);
                }
            }
            Ok(None) => return Err(FleetError::Unknown { kind: "campaign", name: name.to_owned() }),
            // The watcher starts again by itself.
            Err(error) => tracing::debug!(%error, "the watch on the campaign was interrupted"),
        }
    }
}

/// Tells a campaign to pause, go on, stop or undo.
pub async fn command(client: Client, name: &str, command: Command) -> Result<PatchCampaign, FleetError> {
    let spec = match command {
        Command::Pause => json!({"paused": true}),
        Command::Resume => json!({"paused": false}),
        Command::Abort => json!({"aborted": true}),
        Command::Undo => json!({"undo": true}),
    };
    let api: Api<PatchCampaign> = Api::all(client);
    let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await;
    patched.map_err(|error| match api_code(&error) {
        Some(404) => FleetError::Unknown { kind: "campaign", name: name.to_owned() },
        _ => FleetError::api(format!("change campaign {name}"))(error),
    })
}

/// For logs.
fn named(campaign: &PatchCampaign) -> String {
    campaign.name_any()
}
