//! Keeps one `ImageReport` per running image, at once and without polling.
//!
//! Flow: pods (watch) and the advisory file (inotify) wake one loop; it counts the running containers per digest, judges
//! each image, and writes the reports that differ from what it wrote before. A report whose image runs nowhere is deleted.
//! Errors from the API are logged and tried again after a pause.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use konzert_api::own::{ImageReport, ImageReportSpec, ImageReportStatus};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use tokio::sync::Notify;

use super::{Scanner, Verdict};
use crate::error::api_code;
use crate::inventory::{RunningContainer, WorkloadRef, running};
use crate::{FleetError, Shutdown, ended};

/// Findings a report lists; the rest is counted.
const MAX_FINDINGS: usize = 500;
/// Changes that come in a burst are taken together.
const BURST: Duration = Duration::from_millis(20);
/// Pause after an error.
const RETRY: Duration = Duration::from_secs(2);

pub(super) async fn run(scanner: Arc<Scanner>, mut shutdown: Shutdown) {
    let Ok(client) = scanner.client().cloned() else { return };
    let wake = Arc::new(Notify::new());
    let (store, writer) = reflector::store::<Pod>();
    let pods = follow_pods(client.clone(), writer, wake.clone());
    let advisories = follow_advisories(scanner.clone(), wake.clone());
    let reports = Reports { scanner, client, store, written: HashMap::new() }.run(wake);
    tokio::select! {
        () = ended(&mut shutdown) => {}
        () = async { tokio::join!(pods, advisories, reports); } => {}
    }
}

async fn follow_pods(client: Client, writer: reflector::store::Writer<Pod>, wake: Arc<Notify>) {
    let stream =
        watcher(Api::<Pod>::all(client), watcher::Config::default()).default_backoff().reflect(writer);
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Ok(_) => wake.notify_one(),
            Err(error) => tracing::debug!(%error, "the watch on pods was interrupted"),
        }
    }
}

async fn follow_advisories(scanner: Arc<Scanner>, wake: Arc<Notify>) {
    let ended = async {
        let mut changes = scanner.advisories.changes()?;
        loop {
            changes.next().await?;
            wake.notify_one();
        }
    };
    let Err::<(), FleetError>(error) = ended.await else { return };
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        "changes of the advisory database are not seen any more"
    );
}

struct Reports {
    scanner: Arc<Scanner>,
    client: Client,
    store: Store<Pod>,
    /// What this process wrote last, so that an unchanged verdict writes nothing.
    written: HashMap<String, ImageReportStatus>,
}

impl Reports {
    async fn run(mut self, wake: Arc<Notify>) {
        loop {
            wake.notified().await;
            tokio::time::sleep(BURST).await;
            if let Err(error) = self.update().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "image reports could not be written"
                );
                tokio::time::sleep(RETRY).await;
                wake.notify_one();
            }
        }
    }

    async fn update(&mut self) -> Result<(), FleetError> {
        let mut in_use: BTreeMap<String, (RunningContainer, u32)> = BTreeMap::new();
        for pod in self.store.state() {
            let anyone = WorkloadRef {
                kind: String::new(),
                namespace: String::new(),
                name: String::new(),
                uid: String::new(),
            };
            for container in running(&pod, &anyone).into_iter().filter(|c| !c.digest.is_empty()) {
                in_use.entry(container.digest.clone()).or_insert((container, 0)).1 += 1;
            }
        }
        let digests: BTreeSet<String> = in_use.keys().cloned().collect();
        let verdicts = self.scanner.verdicts(&digests).await?;
        for (digest, (container, count)) in &in_use {
            self.write(digest, &container.image, status(&verdicts[digest], *count)).await?;
        }
        self.remove_others(&digests).await
    }

    async fn write(
        &mut self,
        digest: &str,
        image: &str,
        status: ImageReportStatus,
    ) -> Result<(), FleetError> {
        let same = |known: &ImageReportStatus| {
            ImageReportStatus { scanned_at: status.scanned_at.clone(), ..known.clone() } == status
        };
        if self.written.get(digest).is_some_and(same) {
            return Ok(());
        }
        let api: Api<ImageReport> = Api::all(self.client.clone());
        let name = report_name(digest);
        let report =
            ImageReport::new(&name, ImageReportSpec { digest: digest.to_owned(), image: image.to_owned() });
        match api.create(&PostParams::default(), &report).await {
            Ok(_) => {}
            Err(error) if api_code(&error) == Some(409) => {}
            Err(error) => return Err(FleetError::api(format!("create image report {name}"))(error)),
        }
        let patch = serde_json::json!({"status": &status});
        let written = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
        written.map_err(FleetError::api(format!("update image report {name}")))?;
        self.written.insert(digest.to_owned(), status);
        Ok(())
    }

    async fn remove_others(&mut self, digests: &BTreeSet<String>) -> Result<(), FleetError> {
        if !self.written.is_empty() && self.written.keys().all(|digest| digests.contains(digest)) {
            return Ok(());
        }
        let api: Api<ImageReport> = Api::all(self.client.clone());
        let known = api.list(&ListParams::default()).await.map_err(FleetError::api("list image reports"))?;
        let gone = known.items.into_iter().filter(|report| !digests.contains(&report.spec.digest));
        futures::stream::iter(gone.map(Ok))
            .try_for_each(|report| {
                let api = api.clone();
                async move { delete(&api, &report).await }
            })
            .await?;
        self.written.retain(|digest, _| digests.contains(digest));
        Ok(())
    }
}

async fn delete(api: &Api<ImageReport>, report: &ImageReport) -> Result<(), FleetError> {
    let name = report.name_any();
    let preconditions = Some(kube::api::Preconditions { uid: report.uid(), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    match api.delete(&name, &params).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(api_code(&error), Some(404 | 409)) => Ok(()),
        Err(error) => Err(FleetError::api(format!("delete image report {name}"))(error)),
    }
}

/// `sha256:ab…` as an object name.
fn report_name(digest: &str) -> String {
    digest.replace(':', "-")
}

fn status(verdict: &Verdict, running: u32) -> ImageReportStatus {
    let affected = verdict.findings.len();
    ImageReportStatus {
        state: verdict.state,
        reasons: verdict.reasons.clone(),
        distribution: verdict.distribution.clone(),
        packages: count(verdict.packages),
        affected: count(affected),
        running,
        findings: verdict.findings.iter().take(MAX_FINDINGS).cloned().collect(),
        truncated: count(affected.saturating_sub(MAX_FINDINGS)),
        database: verdict.database.clone(),
        scanned_at: Timestamp::now().to_string(),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
