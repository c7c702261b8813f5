//! Tests what runs against advisories: an image, the whole fleet, or the question who has one advisory.
//!
//! | file | what |
//! |---|---|
//! | `layers` | what layers say, kept on disk |
//! | `images` | packages of images, the index from packages to images, findings; follows the database by deltas |
//! | `judgement` | complete, partial or unknown |
//! | `containers` | what runs, by a watch on pods |
//! | `reports` | the loop that keeps reports, metrics and events current |
//! | `exposures`, `events`, `metrics` | what people and dashboards are told |
//! | `pool`, `noted`, `recent` | memory: shared packages and their findings, bounded maps |

mod containers;
mod events;
mod exposures;
mod images;
pub(crate) mod judgement;
pub(crate) mod layers;
mod metrics;
mod noted;
mod pool;
mod recent;
mod reports;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use konzert_advisories::Database;
use konzert_api::own::ReportState;
use konzert_images::{ContentStore, ImageDigest, ImageRecord};
use kube::Client;
use serde::Serialize;

use crate::advisories::AdvisoryStore;
use crate::error::parse_digest;
use crate::inventory::{RunningContainer, inventory};
use crate::{FleetError, Shutdown};
use images::{Asked, Depth, ImageScanner, Verdict};
pub use metrics::ScanMetrics;
pub use noted::Findings;

/// Scans images and fleets. Shared by everything in a process that asks what is wrong.
pub struct Scanner {
    client: Option<Client>,
    images: Option<Arc<ImageScanner>>,
    advisories: AdvisoryStore,
    metrics: Arc<ScanMetrics>,
}

impl std::fmt::Debug for Scanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scanner")
            .field("images", &self.images)
            .field("advisories", &self.advisories)
            .finish_non_exhaustive()
    }
}

/// What was found in one running container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerReport {
    /// The container.
    #[serde(flatten)]
    pub container: RunningContainer,
    /// Whether the result may be trusted.
    pub state: ReportState,
    /// Why the state is not complete.
    pub reasons: Vec<String>,
    /// Findings, worst first.
    pub findings: Findings,
}

/// What was found in a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetReport {
    /// Every running container.
    pub containers: Vec<ContainerReport>,
    /// Distinct images among them.
    pub images: usize,
    /// Revision of the advisory database; empty when there is none.
    pub database: String,
    /// Containers with findings.
    pub exposed: usize,
    /// Containers of which nothing, or not everything, is known.
    pub unknown: usize,
    /// Their images, and why.
    pub incomplete: Vec<IncompleteImage>,
}

/// A running image whose silence is not safety.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IncompleteImage {
    /// A name of the image.
    pub image: String,
    /// Its digest; empty when the runtime does not tell.
    pub digest: String,
    /// Partial or unknown.
    pub state: ReportState,
    /// Why.
    pub reasons: Vec<String>,
    /// Containers that run it.
    pub containers: usize,
}

/// What was found in one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageScan {
    /// A name of the image.
    pub image: String,
    /// Its digest.
    pub digest: String,
    /// Distribution and release; empty when unknown.
    pub distribution: String,
    /// Packages found.
    pub packages: usize,
    /// Whether the result may be trusted.
    pub state: ReportState,
    /// Why the state is not complete.
    pub reasons: Vec<String>,
    /// Findings, worst first.
    pub findings: Findings,
    /// Revision of the advisory database; empty when there is none.
    pub database: String,
}

impl Scanner {
    /// A scanner of a cluster; image contents come from `images`.
    pub fn new(client: Client, images: Option<Arc<ContentStore>>, advisories: AdvisoryStore) -> Arc<Self> {
        Self::build(Some(client), images, advisories)
    }

    /// A scanner of images only.
    pub fn offline(images: Arc<ContentStore>, advisories: AdvisoryStore) -> Arc<Self> {
        Self::build(None, Some(images), advisories)
    }

    fn build(
        client: Option<Client>,
        images: Option<Arc<ContentStore>>,
        advisories: AdvisoryStore,
    ) -> Arc<Self> {
        let images = images.map(|store| Arc::new(ImageScanner::new(store)));
        let metrics = Arc::new(ScanMetrics::new(advisories.clone(), images.clone()));
        Arc::new(Self { client, images, advisories, metrics })
    }

    /// What it counts, for a page of metrics.
    pub fn metrics(&self) -> Arc<ScanMetrics> {
        self.metrics.clone()
    }

    pub(crate) fn client(&self) -> Result<&Client, FleetError> {
        self.client.as_ref().ok_or(FleetError::NoClient)
    }

    /// How many layers were read so far.
    pub fn reads(&self) -> u64 {
        self.images.as_ref().map_or(0, |images| images.reads())
    }

    /// Scans one image of the content store.
    pub async fn scan_image(&self, record: &ImageRecord) -> Result<ImageScan, FleetError> {
        let verdict = self.verdict(record.digest.as_str()).await?;
        Ok(scan_of(record, &verdict))
    }

    /// Scans some images of the content store, in their order.
    pub async fn scan_images(&self, records: &[ImageRecord]) -> Result<Vec<ImageScan>, FleetError> {
        let digests = records.iter().map(|record| record.digest.to_string()).collect();
        let verdicts = self.verdicts(&digests).await?;
        Ok(records.iter().map(|record| scan_of(record, &verdicts[record.digest.as_str()])).collect())
    }

    /// How many images were matched so far.
    pub fn matches(&self) -> u64 {
        self.images.as_ref().map_or(0, |images| images.matches())
    }

    /// Scans every running container.
    pub async fn scan_fleet(&self) -> Result<FleetReport, FleetError> {
        let running = inventory(self.client()?).await?;
        let digests: BTreeSet<String> = running.iter().map(|c| c.digest.clone()).collect();
        let verdicts = self.verdicts(&digests).await?;
        let report = |container: RunningContainer| {
            let verdict = &verdicts[&container.digest];
            ContainerReport {
                state: verdict.state,
                reasons: verdict.reasons.clone(),
                findings: verdict.findings.clone(),
                container,
            }
        };
        let containers: Vec<ContainerReport> = running.into_iter().map(report).collect();
        let database = self.advisories.database()?.revision().to_owned();
        let incomplete = incomplete(&containers);
        Ok(FleetReport {
            images: digests.len(),
            database,
            exposed: containers.iter().filter(|c| !c.findings.is_empty()).count(),
            unknown: incomplete.iter().map(|image| image.containers).sum(),
            incomplete,
            containers,
        })
    }

    /// Running containers that have one of these advisories, with only those findings.
    pub async fn exposed(&self, ids: &[String]) -> Result<Vec<ContainerReport>, FleetError> {
        Ok(self.who_has(ids).await?.containers)
    }

    /// As [`Self::exposed`], with what the question leaves open: the images of the whole fleet of which not everything is known.
    ///
    /// A query over the index from packages to images: only images that have a package the advisories speak of are looked at.
    /// An id that no advisory knows is an error: nobody being exposed to a typing mistake would look like safety.
    pub async fn who_has(&self, ids: &[String]) -> Result<FleetReport, FleetError> {
        let wanted = self.advisory_ids(ids)?;
        let running = inventory(self.client()?).await?;
        let digests: BTreeSet<String> = running.iter().map(|c| c.digest.clone()).collect();
        let database = self.advisories.database()?;
        let now = Timestamp::now();
        let concerned = self.concerned(&digests, wanted.clone()).await?;
        let mut verdicts = self.verdicts_by(&database, &digests, now, Depth::State).await?;
        verdicts.extend(self.verdicts_by(&database, &concerned, now, Depth::Findings).await?);
        let report = |container: RunningContainer| {
            let verdict = &verdicts[&container.digest];
            let found = verdict.findings.iter().filter(|f| wanted.contains(&f.advisory));
            let findings: Findings = Arc::new(found.cloned().collect());
            ContainerReport { container, state: verdict.state, reasons: verdict.reasons.clone(), findings }
        };
        let mut containers: Vec<ContainerReport> = running.into_iter().map(report).collect();
        let incomplete = incomplete(&containers);
        containers.retain(|container| !container.findings.is_empty());
        Ok(FleetReport {
            images: digests.len(),
            database: database.revision().to_owned(),
            exposed: containers.len(),
            unknown: incomplete.iter().map(|image| image.containers).sum(),
            incomplete,
            containers,
        })
    }

    async fn concerned(
        &self,
        digests: &BTreeSet<String>,
        ids: BTreeSet<String>,
    ) -> Result<BTreeSet<String>, FleetError> {
        let Some(images) = self.images.clone() else { return Ok(BTreeSet::new()) };
        let database = self.advisories.database()?;
        let digests = parsed(digests);
        let work = move || images.concerned(&digests, &ids, &database);
        let concerned =
            tokio::task::spawn_blocking(work).await.map_err(|_cancelled| FleetError::Cancelled)?;
        Ok(concerned.into_iter().map(String::from).collect())
    }

    /// The advisories that some ids or aliases stand for.
    pub fn advisory_ids(&self, ids: &[String]) -> Result<BTreeSet<String>, FleetError> {
        let database = self.advisories.database()?;
        let mut all = BTreeSet::new();
        for id in ids {
            let known = database.ids(id);
            if known.is_empty() {
                return Err(FleetError::Unknown { kind: "advisory", name: id.clone() });
            }
            all.extend(known);
        }
        Ok(all)
    }

    /// Keeps `ImageReport`s current until the shutdown: a new container, image or advisory is seen at once.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) {
        Box::pin(reports::run(self, shutdown)).await;
    }

    pub(crate) async fn verdict(&self, digest: &str) -> Result<Arc<Verdict>, FleetError> {
        let one = BTreeSet::from([digest.to_owned()]);
        let mut verdicts = self.verdicts(&one).await?;
        Ok(verdicts.remove(digest).expect("a verdict for each digest asked for"))
    }

    /// A verdict for each digest; reading and matching happen on the blocking pool.
    pub(crate) async fn verdicts(
        &self,
        digests: &BTreeSet<String>,
    ) -> Result<HashMap<String, Arc<Verdict>>, FleetError> {
        let database = self.advisories.database()?;
        self.verdicts_by(&database, digests, Timestamp::now(), Depth::Findings).await
    }

    /// As [`Self::verdicts`], by one database at one moment.
    async fn verdicts_by(
        &self,
        database: &Arc<Database>,
        digests: &BTreeSet<String>,
        now: Timestamp,
        depth: Depth,
    ) -> Result<HashMap<String, Arc<Verdict>>, FleetError> {
        let unreadable = match self.images {
            None => Verdict::unreadable("no content store on this machine"),
            Some(_) => Verdict::unreadable("the runtime does not tell the image's digest"),
        };
        let unreadable = Arc::new(unreadable);
        let mut verdicts: HashMap<String, Arc<Verdict>> =
            digests.iter().map(|digest| (digest.clone(), unreadable.clone())).collect();
        let Some(images) = self.images.clone() else { return Ok(verdicts) };
        let (database, advisories, digests) = (database.clone(), self.advisories.clone(), parsed(digests));
        let work = move || {
            let trust = |ecosystem: &str| advisories.trust(&database, ecosystem, now);
            images.verdicts(&digests, Asked { database: &database, trust: &trust, now, depth })
        };
        let known = tokio::task::spawn_blocking(work).await.map_err(|_cancelled| FleetError::Cancelled)?;
        verdicts.extend(known.into_iter().map(|(digest, verdict)| (digest.into(), verdict)));
        Ok(verdicts)
    }
}

/// The images among some containers of which not everything is known, by name.
pub fn incomplete(containers: &[ContainerReport]) -> Vec<IncompleteImage> {
    let mut images: BTreeMap<(&str, &str), IncompleteImage> = BTreeMap::new();
    for report in containers.iter().filter(|report| report.state != ReportState::Complete) {
        let RunningContainer { image, digest, .. } = &report.container;
        let new = || IncompleteImage {
            image: image.clone(),
            digest: digest.clone(),
            state: report.state,
            reasons: report.reasons.clone(),
            containers: 0,
        };
        images.entry((image, digest)).or_insert_with(new).containers += 1;
    }
    images.into_values().collect()
}

fn scan_of(record: &ImageRecord, verdict: &Verdict) -> ImageScan {
    ImageScan {
        image: record.display_name().to_owned(),
        digest: record.digest.to_string(),
        distribution: verdict.distribution.clone(),
        packages: verdict.packages,
        state: verdict.state,
        reasons: verdict.reasons.clone(),
        findings: verdict.findings.clone(),
        database: verdict.database.clone(),
    }
}

/// Digests that are digests.
fn parsed(digests: &BTreeSet<String>) -> Vec<ImageDigest> {
    digests.iter().filter_map(|digest| parse_digest(digest).ok()).collect()
}
