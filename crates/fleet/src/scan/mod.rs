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
//! | `pool`, `recent` | memory: shared packages, bounded maps |

mod containers;
mod events;
mod exposures;
mod images;
pub(crate) mod judgement;
pub(crate) mod layers;
mod metrics;
mod pool;
mod recent;
mod reports;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use konzert_advisories::Database;
use konzert_api::own::{FindingRef, ReportState};
use konzert_images::{ContentStore, ImageDigest, ImageRecord};
use kube::Client;
use serde::Serialize;

use crate::advisories::AdvisoryStore;
use crate::error::parse_digest;
use crate::inventory::{RunningContainer, inventory};
use crate::{FleetError, Shutdown};
use images::{Asked, ImageScanner, Verdict};
pub use metrics::ScanMetrics;

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
    pub findings: Vec<FindingRef>,
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
    pub findings: Vec<FindingRef>,
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
        let containers: Vec<ContainerReport> = running
            .into_iter()
            .map(|container| {
                let verdict = &verdicts[&container.digest];
                ContainerReport {
                    state: verdict.state,
                    reasons: verdict.reasons.clone(),
                    findings: verdict.findings.to_vec(),
                    container,
                }
            })
            .collect();
        Ok(FleetReport {
            images: digests.len(),
            database: self.advisories.database()?.revision().to_owned(),
            exposed: containers.iter().filter(|c| !c.findings.is_empty()).count(),
            unknown: containers.iter().filter(|c| c.state != ReportState::Complete).count(),
            containers,
        })
    }

    /// Running containers that have one of these advisories, with only those findings.
    ///
    /// A query over the index from packages to images: only images that have a package the advisories speak of are looked at.
    /// An id that no advisory knows is an error: nobody being exposed to a typing mistake would look like safety.
    pub async fn exposed(&self, ids: &[String]) -> Result<Vec<ContainerReport>, FleetError> {
        let wanted = self.advisory_ids(ids)?;
        let running = inventory(self.client()?).await?;
        let digests: BTreeSet<String> = running.iter().map(|c| c.digest.clone()).collect();
        let concerned = self.concerned(&digests, wanted.clone()).await?;
        let verdicts = self.verdicts(&concerned).await?;
        let report = |container: RunningContainer| {
            let verdict = verdicts.get(&container.digest)?;
            let findings: Vec<FindingRef> =
                verdict.findings.iter().filter(|f| wanted.contains(&f.advisory)).cloned().collect();
            (!findings.is_empty()).then(|| ContainerReport {
                container,
                state: verdict.state,
                reasons: verdict.reasons.clone(),
                findings,
            })
        };
        Ok(running.into_iter().filter_map(report).collect())
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
        self.verdicts_by(&database, digests, Timestamp::now()).await
    }

    /// As [`Self::verdicts`], by one database at one moment.
    async fn verdicts_by(
        &self,
        database: &Arc<Database>,
        digests: &BTreeSet<String>,
        now: Timestamp,
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
            images.verdicts(&digests, Asked { database: &database, trust: &trust, now })
        };
        let known = tokio::task::spawn_blocking(work).await.map_err(|_cancelled| FleetError::Cancelled)?;
        verdicts.extend(known.into_iter().map(|(digest, verdict)| (digest.into(), verdict)));
        Ok(verdicts)
    }
}

fn scan_of(record: &ImageRecord, verdict: &Verdict) -> ImageScan {
    ImageScan {
        image: record.display_name().to_owned(),
        digest: record.digest.to_string(),
        distribution: verdict.distribution.clone(),
        packages: verdict.packages,
        state: verdict.state,
        reasons: verdict.reasons.clone(),
        findings: verdict.findings.to_vec(),
        database: verdict.database.clone(),
    }
}

/// Digests that are digests.
fn parsed(digests: &BTreeSet<String>) -> Vec<ImageDigest> {
    digests.iter().filter_map(|digest| parse_digest(digest).ok()).collect()
}
