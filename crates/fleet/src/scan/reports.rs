//! Keeps one `ImageReport` per running image, the metrics and the events current, at once and without polling.
//!
//! Flow: pods (watch), the advisory file and the image index (inotify), and the moments at which time alone changes a judgement
//! (a source becomes too old, a release ends) wake one loop. It counts the running containers per digest, asks for a verdict
//! of each image, and writes the reports that differ from the ones that are there. A report whose image runs nowhere is
//! deleted. Errors from the API are logged and tried again after a pause that grows.
//!
//! Invariant: when nothing changed, nothing is written, also after a restart: what an earlier process wrote is read first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use konzert_api::own::{FindingRef, FindingSummary, ImageReport, ImageReportSpec, ImageReportStatus};
use konzert_images::ContentStore;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;

use super::containers::Containers;
use super::exposures::{Exposures, Running};
use super::images::Depth;
use super::metrics::ImageGauge;
use super::noted::Findings;
use super::{Scanner, Verdict, events, judgement, parsed};
use crate::changes::Changes;
use crate::error::api_code;
use crate::inventory::{RunningContainer, WorkloadRef, owners};
use crate::{FleetError, Shutdown, ended};

/// Findings a report lists; the rest is counted.
const MAX_FINDINGS: usize = 500;
/// All listed findings together: far below the limit of an object.
const MAX_FINDINGS_BYTES: usize = 256 << 10;
/// Changes that come in a burst are taken together.
const BURST: Duration = Duration::from_millis(20);
/// Pause after the first error; it doubles with each further one.
const RETRY: Duration = Duration::from_secs(2);
const MAX_RETRY: Duration = Duration::from_mins(5);
/// Reports written at the same time.
const WRITERS: usize = 8;
/// A timer does not count while the machine sleeps, so that a far moment is looked at in steps.
const FARTHEST: Duration = Duration::from_hours(24);

pub(super) async fn run(scanner: Arc<Scanner>, mut shutdown: Shutdown) {
    let Ok(client) = scanner.client().cloned() else { return };
    let signals = Arc::new(Signals::default());
    let pods = follow_pods(client.clone(), signals.clone());
    let advisories = follow_advisories(scanner.clone(), signals.clone());
    let images = follow_images(scanner.clone(), signals.clone());
    let reports = Reports::new(scanner, client, signals).run();
    tokio::select! {
        () = ended(&mut shutdown) => {}
        () = async { tokio::join!(pods, advisories, images, reports); } => {}
    }
}

/// What the loop is woken by.
#[derive(Debug, Default)]
struct Signals {
    wake: Notify,
    containers: Mutex<Containers>,
    /// Since when a change of the advisories waits to be answered.
    advisories_changed: Mutex<Option<Instant>>,
}

async fn follow_pods(client: Client, signals: Arc<Signals>) {
    let stream = watcher(Api::<Pod>::all(client), watcher::Config::default()).default_backoff();
    let mut stream = std::pin::pin!(stream);
    while let Some(event) = stream.next().await {
        match event {
            Ok(event) => {
                if signals.containers.lock().apply(event) {
                    signals.wake.notify_one();
                }
            }
            Err(error) => tracing::debug!(%error, "the watch on pods was interrupted"),
        }
    }
}

async fn follow_advisories(scanner: Arc<Scanner>, signals: Arc<Signals>) {
    let changed = || {
        signals.advisories_changed.lock().get_or_insert_with(Instant::now);
        signals.wake.notify_one();
    };
    follow(scanner.advisories.changes(), "the advisory database", changed).await;
}

/// An image that was not there, or was damaged, may have come.
async fn follow_images(scanner: Arc<Scanner>, signals: Arc<Signals>) {
    let Some(images) = &scanner.images else { return };
    let changed = || {
        images.forget_failures();
        signals.wake.notify_one();
    };
    follow(Changes::of(images.store().root(), ContentStore::INDEX), "the image store", changed).await;
}

async fn follow(changes: Result<Changes, FleetError>, what: &str, mut changed: impl FnMut()) {
    let ended = async {
        let mut changes = changes?;
        loop {
            changes.next().await?;
            changed();
        }
    };
    let Err::<(), FleetError>(error) = ended.await else { return };
    tracing::warn!(error = &error as &dyn std::error::Error, "changes of {what} are not seen any more");
}

struct Reports {
    scanner: Arc<Scanner>,
    client: Client,
    signals: Arc<Signals>,
    /// What is in the API, so that an unchanged verdict writes nothing. `None` before it was looked up.
    written: Option<HashMap<String, Written>>,
    /// What an earlier process wrote, until `exposures` knows it.
    earlier: HashMap<String, ImageReportStatus>,
    owners: HashMap<String, ObjectMeta>,
    /// Owners that were looked for, found or not.
    looked_up: HashSet<String>,
    exposures: Exposures,
}

/// A report as it is in the API.
struct Written {
    content: Content,
    /// What this process made it of, and for how many containers.
    of: Option<(Arc<Verdict>, u32)>,
}

/// Digest of what a report says, without the revision of the database and the time.
type Content = [u8; 32];

impl Written {
    /// Cheap: the findings of an image that nothing touched are the same list.
    fn is_of(&self, verdict: &Verdict, running: u32) -> bool {
        self.of.as_ref().is_some_and(|(known, containers)| {
            let Verdict { distribution, packages, state, reasons, findings, database: _ } = &**known;
            *containers == running
                && Arc::ptr_eq(findings, &verdict.findings)
                && (distribution, packages, state, reasons)
                    == (&verdict.distribution, &verdict.packages, &verdict.state, &verdict.reasons)
        })
    }
}

/// A running image.
struct InUse {
    image: String,
    containers: u32,
}

impl Reports {
    fn new(scanner: Arc<Scanner>, client: Client, signals: Arc<Signals>) -> Self {
        Self {
            scanner,
            client,
            signals,
            written: None,
            owners: HashMap::new(),
            looked_up: HashSet::new(),
            earlier: HashMap::new(),
            exposures: Exposures::default(),
        }
    }

    async fn run(mut self) {
        let mut pause = RETRY;
        let mut next: Option<Timestamp> = None;
        loop {
            tokio::select! {
                () = self.signals.wake.notified() => tokio::time::sleep(BURST).await,
                () = sleep_until(next) => {}
            }
            match self.update(Timestamp::now()).await {
                Ok(at) => (next, pause) = (at, RETRY),
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "image reports could not be written"
                    );
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_RETRY);
                    self.signals.wake.notify_one();
                }
            }
        }
    }

    /// Brings everything up to date; returns when time alone may change something.
    async fn update(&mut self, now: Timestamp) -> Result<Option<Timestamp>, FleetError> {
        let changed_at = *self.signals.advisories_changed.lock();
        if self.written.is_none() {
            self.earlier = self.known_reports().await?;
            let known = self.earlier.iter();
            let written = |status| Written { content: content(status), of: None };
            self.written = Some(known.map(|(digest, status)| (digest.clone(), written(status))).collect());
        }
        let running = self.running().await?;
        let mut in_use: BTreeMap<String, InUse> = BTreeMap::new();
        for container in &running {
            let new = || InUse { image: container.image.clone(), containers: 0 };
            in_use.entry(container.digest.clone()).or_insert_with(new).containers += 1;
        }
        let digests: BTreeSet<String> = in_use.keys().cloned().collect();
        let database = self.scanner.advisories.database()?;
        let verdicts = self.scanner.verdicts_by(&database, &digests, now, Depth::Findings).await?;
        let earlier = std::mem::take(&mut self.earlier);
        self.assume_told(&earlier, &running, &verdicts);
        self.write_all(&in_use, &verdicts, now).await?;
        self.remove_others(&digests).await?;
        self.scanner.metrics.set_images(gauges(&in_use, &verdicts));
        if let Some(changed_at) = changed_at {
            self.scanner.metrics.set_last_update(changed_at.elapsed());
            let mut waiting = self.signals.advisories_changed.lock();
            waiting.take_if(|at| *at == changed_at);
        }
        self.tell(&running, &verdicts, now).await;
        let of_images = self.scanner.images.as_ref().and_then(|i| i.next_change(&parsed(&digests), now));
        let of_sources = judgement::next_stale(database.sources(), self.scanner.advisories.max_age(), now);
        Ok(of_images.into_iter().chain(of_sources).min())
    }

    async fn known_reports(&self) -> Result<HashMap<String, ImageReportStatus>, FleetError> {
        let api: Api<ImageReport> = Api::all(self.client.clone());
        let known = api.list(&ListParams::default()).await.map_err(FleetError::api("list image reports"))?;
        let known = known.items.into_iter();
        // A report without a status was created by a process that was killed before it wrote one.
        Ok(known.map(|report| (report.spec.digest, report.status.unwrap_or_default())).collect())
    }

    /// Running containers with their workloads; owners are looked up when a new one appears.
    async fn running(&mut self) -> Result<Vec<RunningContainer>, FleetError> {
        let wanted = self.signals.containers.lock().middle_owners();
        if !wanted.is_subset(&self.looked_up) {
            self.owners = owners(&self.client).await?;
            self.looked_up = wanted;
        }
        Ok(self.signals.containers.lock().all(&self.owners))
    }

    /// An earlier process has told of what is in its reports.
    fn assume_told(
        &mut self,
        earlier: &HashMap<String, ImageReportStatus>,
        running: &[RunningContainer],
        verdicts: &HashMap<String, Arc<Verdict>>,
    ) {
        if earlier.is_empty() {
            return;
        }
        let listed =
            |status: &ImageReportStatus| Arc::new(status.findings.iter().cloned().map(Arc::new).collect());
        let known = |digest: &String| -> Option<Findings> {
            let status = earlier.get(digest)?;
            // The list is not all of it.
            let cut = status.truncated > 0;
            Some(if cut { verdicts[digest].findings.clone() } else { listed(status) })
        };
        let mut had: BTreeMap<&WorkloadRef, Running> = BTreeMap::new();
        for container in running {
            if let Some(findings) = known(&container.digest) {
                had.entry(&container.workload).or_default().insert(container.digest.clone(), findings);
            }
        }
        for (workload, had) in had {
            self.exposures.assume(workload, had);
        }
    }

    async fn tell(
        &mut self,
        running: &[RunningContainer],
        verdicts: &HashMap<String, Arc<Verdict>>,
        now: Timestamp,
    ) {
        let mut workloads: BTreeMap<WorkloadRef, Running> = BTreeMap::new();
        for container in running {
            let findings = verdicts[&container.digest].findings.clone();
            let of_workload = workloads.entry(container.workload.clone()).or_default();
            of_workload.insert(container.digest.clone(), findings);
        }
        let changes = self.exposures.update(workloads);
        let left_out = events::write(&self.client, &changes, now).await;
        self.scanner.metrics.count_left_out(left_out);
    }

    async fn write_all(
        &mut self,
        in_use: &BTreeMap<String, InUse>,
        verdicts: &HashMap<String, Arc<Verdict>>,
        now: Timestamp,
    ) -> Result<(), FleetError> {
        let written = self.written.get_or_insert_default();
        let mut writes = Vec::new();
        for (digest, used) in in_use {
            let verdict = &verdicts[digest];
            let mut known = written.get_mut(digest);
            if known.as_ref().is_some_and(|known| known.is_of(verdict, used.containers)) {
                continue;
            }
            let status = status(verdict, used.containers, now);
            let new = Written { content: content(&status), of: Some((verdict.clone(), used.containers)) };
            if let Some(known) = known.as_mut().filter(|known| known.content == new.content) {
                **known = new;
                continue;
            }
            let spec = ImageReportSpec { digest: digest.clone(), image: used.image.clone() };
            let write = write(self.client.clone(), spec, status, known.is_some());
            writes.push(async { write.await.map(|digest| (digest, new)) });
        }
        let mut writes = futures::stream::iter(writes).buffer_unordered(WRITERS);
        while let Some(done) = writes.next().await {
            let (digest, new) = done?;
            self.scanner.metrics.count_report();
            written.insert(digest, new);
        }
        Ok(())
    }

    async fn remove_others(&mut self, digests: &BTreeSet<String>) -> Result<(), FleetError> {
        let written = self.written.get_or_insert_default();
        let gone: Vec<String> = written.keys().filter(|digest| !digests.contains(*digest)).cloned().collect();
        let api: Api<ImageReport> = Api::all(self.client.clone());
        for digest in gone {
            delete(&api, &report_name(&digest)).await?;
            written.remove(&digest);
        }
        Ok(())
    }
}

async fn sleep_until(at: Option<Timestamp>) {
    let Some(at) = at else { return std::future::pending().await };
    let left = Duration::try_from(at.duration_since(Timestamp::now())).unwrap_or_default();
    tokio::time::sleep(left.min(FARTHEST)).await;
}

/// Returns the digest of the image.
async fn write(
    client: Client,
    spec: ImageReportSpec,
    status: ImageReportStatus,
    exists: bool,
) -> Result<String, FleetError> {
    let api: Api<ImageReport> = Api::all(client);
    let (digest, name) = (spec.digest.clone(), report_name(&spec.digest));
    // A merge patch keeps what it does not name, and empty lists are not written out.
    let mut patch = serde_json::json!({"status": {"reasons": null, "findings": null}});
    let new = serde_json::to_value(&status).unwrap_or_default();
    if let (Some(fields), serde_json::Value::Object(new)) = (patch["status"].as_object_mut(), new) {
        fields.extend(new);
    }
    if exists {
        match api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            // Somebody deleted it.
            Err(error) if api_code(&error) == Some(404) => {}
            Err(error) => return Err(FleetError::api(format!("update image report {name}"))(error)),
            Ok(_) => return Ok(digest),
        }
    }
    match api.create(&PostParams::default(), &ImageReport::new(&name, spec)).await {
        Ok(_) => {}
        Err(error) if api_code(&error) == Some(409) => {}
        Err(error) => return Err(FleetError::api(format!("create image report {name}"))(error)),
    }
    let written = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    written.map_err(FleetError::api(format!("update image report {name}")))?;
    Ok(digest)
}

async fn delete(api: &Api<ImageReport>, name: &str) -> Result<(), FleetError> {
    let Some(report) =
        api.get_opt(name).await.map_err(FleetError::api(format!("read image report {name}")))?
    else {
        return Ok(());
    };
    let preconditions = Some(kube::api::Preconditions { uid: report.uid(), resource_version: None });
    let params = DeleteParams { preconditions, ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(error) if matches!(api_code(&error), Some(404 | 409)) => Ok(()),
        Err(error) => Err(FleetError::api(format!("delete image report {name}"))(error)),
    }
}

/// `sha256:ab…` as an object name.
fn report_name(digest: &str) -> String {
    digest.replace(':', "-")
}

/// What counts as a change: by which database and when does not.
fn content(status: &ImageReportStatus) -> Content {
    let result = ImageReportStatus { database: String::new(), scanned_at: String::new(), ..status.clone() };
    let json = serde_json::to_vec(&result).expect("a report has string keys only");
    Sha256::digest(json).into()
}

fn status(verdict: &Verdict, running: u32, now: Timestamp) -> ImageReportStatus {
    let mut bytes = 0;
    let fits = |finding: &&Arc<FindingRef>| {
        bytes += listed_bytes(finding);
        bytes <= MAX_FINDINGS_BYTES
    };
    let findings: Vec<FindingRef> = verdict
        .findings
        .iter()
        .take(MAX_FINDINGS)
        .take_while(fits)
        .map(|finding| (**finding).clone())
        .collect();
    let affected = verdict.findings.len();
    ImageReportStatus {
        state: verdict.state,
        reasons: verdict.reasons.clone(),
        distribution: verdict.distribution.clone(),
        packages: count(verdict.packages),
        affected: count(affected),
        summary: summary(&verdict.findings),
        running,
        truncated: count(affected - findings.len()),
        findings,
        database: verdict.database.clone(),
        scanned_at: now.to_string(),
    }
}

/// Roughly what a finding takes in JSON.
fn listed_bytes(finding: &FindingRef) -> usize {
    let FindingRef { advisory, aliases, package, installed, fixed, state, severity, origin } = finding;
    let fields = [advisory, package, installed, fixed, state, severity, origin];
    let all = fields.into_iter().chain(aliases);
    128 + all.map(|text| text.len() + 4).sum::<usize>()
}

fn summary(findings: &[Arc<FindingRef>]) -> FindingSummary {
    let mut summary = FindingSummary::default();
    for finding in findings {
        let counter = match finding.severity.as_str() {
            "critical" => &mut summary.critical,
            "high" => &mut summary.high,
            "medium" => &mut summary.medium,
            "low" => &mut summary.low,
            _ => &mut summary.unknown,
        };
        *counter += 1;
        summary.fixable += u32::from(!finding.fixed.is_empty());
    }
    summary
}

fn gauges(in_use: &BTreeMap<String, InUse>, verdicts: &HashMap<String, Arc<Verdict>>) -> Vec<ImageGauge> {
    let gauge = |(digest, used): (&String, &InUse)| {
        let verdict = &verdicts[digest];
        ImageGauge {
            digest: digest.clone(),
            image: used.image.clone(),
            state: verdict.state,
            findings: verdict.findings.clone(),
            containers: used.containers as usize,
        }
    };
    in_use.iter().map(gauge).collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use konzert_api::own::ReportState;

    use super::*;

    fn finding(aliases: usize) -> FindingRef {
        FindingRef {
            advisory: "CVE-1".into(),
            aliases: vec!["CVE-2026-12345".into(); aliases],
            package: "p".into(),
            installed: "1".into(),
            fixed: "2".into(),
            state: "affected".into(),
            severity: "high".into(),
            origin: "base".into(),
        }
    }

    #[test]
    fn reports_stay_far_below_the_limit_of_an_object_and_count_everything() {
        for (findings, aliases) in [(3, 0), (2000, 0), (2000, 40), (2, 100_000)] {
            let verdict = Verdict {
                findings: Arc::new((0..findings).map(|_| Arc::new(finding(aliases))).collect()),
                ..Verdict::default()
            };
            let status = status(&verdict, 1, Timestamp::UNIX_EPOCH);
            let bytes = serde_json::to_vec(&status).unwrap().len();
            assert!(bytes < MAX_FINDINGS_BYTES + 4096, "{findings} with {aliases}: {bytes}");
            assert!(status.findings.len() <= MAX_FINDINGS);
            assert_eq!(status.findings.len() + status.truncated as usize, findings);
            let counted = FindingSummary {
                high: count(findings),
                fixable: count(findings),
                ..FindingSummary::default()
            };
            assert_eq!((status.affected, status.summary), (count(findings), counted));
        }
    }

    #[test]
    fn another_database_with_the_same_answer_is_no_change() {
        let status = |database: &str, running| {
            let verdict = Verdict { database: database.into(), ..Verdict::default() };
            content(&status(&verdict, running, Timestamp::now()))
        };
        assert_eq!(status("a", 1), status("b", 1));
        assert_ne!(status("a", 1), status("a", 2));
        let of = Written { content: status("a", 1), of: Some((Arc::default(), 1)) };
        assert!(of.is_of(&of.of.as_ref().unwrap().0, 1) && !of.is_of(&Verdict::default(), 2));
        let partial = Verdict { state: ReportState::Partial, ..Verdict::clone(&of.of.as_ref().unwrap().0) };
        assert!(!of.is_of(&partial, 1));
    }
}
