//! Tests what runs against advisories: an image, the whole fleet, or the question who has one advisory.
//!
//! An image is read once, layer by layer, and matched again whenever the advisories change; see `images`. The continuous
//! part is in `reports`.

mod images;
mod reports;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use konzert_api::own::{FindingRef, ReportState};
use konzert_images::{ContentStore, ImageRecord};
use kube::Client;
use serde::Serialize;

use crate::advisories::AdvisoryStore;
use crate::error::parse_digest;
use crate::inventory::{RunningContainer, inventory};
use crate::{FleetError, Shutdown};
use images::{ImageScanner, Verdict};

/// Scans images and fleets. Shared by everything in a process that asks what is wrong.
pub struct Scanner {
    client: Option<Client>,
    images: Option<Arc<ImageScanner>>,
    advisories: AdvisoryStore,
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
        let images = images.map(|store| Arc::new(ImageScanner::new(store)));
        Arc::new(Self { client: Some(client), images, advisories })
    }

    /// A scanner of images only.
    pub fn offline(images: Arc<ContentStore>, advisories: AdvisoryStore) -> Arc<Self> {
        Arc::new(Self { client: None, images: Some(Arc::new(ImageScanner::new(images))), advisories })
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
        Ok(ImageScan {
            image: record.display_name().to_owned(),
            digest: record.digest.to_string(),
            distribution: verdict.distribution.clone(),
            packages: verdict.packages,
            state: verdict.state,
            reasons: verdict.reasons.clone(),
            findings: verdict.findings.clone(),
            database: verdict.database.clone(),
        })
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
                    findings: verdict.findings.clone(),
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
    /// An id that no advisory knows is an error: nobody being exposed to a typing mistake would look like safety.
    pub async fn exposed(&self, ids: &[String]) -> Result<Vec<ContainerReport>, FleetError> {
        let wanted = self.advisory_ids(ids)?;
        let mut report = self.scan_fleet().await?;
        for container in &mut report.containers {
            container.findings.retain(|finding| wanted.contains(&finding.advisory));
        }
        report.containers.retain(|container| !container.findings.is_empty());
        Ok(report.containers)
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
        reports::run(self, shutdown).await;
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
        let (images, digests) = (self.images.clone(), digests.clone());
        let advisories = self.advisories.clone();
        let work = move || {
            let trusted = |ecosystem: &str| advisories.trust(&database, ecosystem);
            let judge = |digest: &String| {
                let Some(images) = &images else {
                    return Arc::new(Verdict::unreadable("no content store on this machine"));
                };
                match parse_digest(digest) {
                    Ok(parsed) => images.verdict(&parsed, &database, &trusted),
                    Err(_not_a_digest) => {
                        Arc::new(Verdict::unreadable("the runtime does not tell the image's digest"))
                    }
                }
            };
            digests.into_iter().map(|digest| (digest.clone(), judge(&digest))).collect()
        };
        tokio::task::spawn_blocking(work).await.map_err(|_cancelled| FleetError::Cancelled)
    }
}
