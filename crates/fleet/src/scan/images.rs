//! What is wrong with one image: read once, matched once per advisory revision.
//!
//! Invariants: a layer is read once while it is remembered, whichever images it belongs to; an image that cannot be read, has
//! no package database or no advisory source is `Unknown`, never clean; memory for remembered layers is bounded.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use konzert_advisories::{Database, Finding, Trust, findings};
use konzert_api::own::{FindingRef, ReportState};
use konzert_images::{ContentStore, ImageDigest, ImageError, ImageRecord, LayerDiffId};
use konzert_packages::{Catalogue, LayerFacts, Precision};
use parking_lot::Mutex;

/// Layers are forgotten, all at once, when their facts take more than this.
const REMEMBERED_BYTES: usize = 16 << 20;
/// Images are forgotten when there are more than this.
const REMEMBERED_IMAGES: usize = 4096;

/// Reads and judges images.
#[derive(Debug)]
pub(crate) struct ImageScanner {
    store: Arc<ContentStore>,
    reads: AtomicU64,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    layers: HashMap<LayerDiffId, Arc<LayerFacts>>,
    layer_bytes: usize,
    catalogues: HashMap<ImageDigest, Arc<Read>>,
    verdicts: HashMap<ImageDigest, Arc<Verdict>>,
}

/// An image as read.
#[derive(Debug)]
struct Read {
    catalogue: Catalogue,
    /// How many of its layers come from a base that is in the store too.
    base_layers: usize,
}

/// An image as judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) distribution: String,
    pub(crate) packages: usize,
    pub(crate) state: ReportState,
    pub(crate) reasons: Vec<String>,
    pub(crate) findings: Vec<FindingRef>,
    pub(crate) database: String,
    /// Ecosystem of the distribution; empty when unknown.
    ecosystem: String,
    /// How far the advisories of the ecosystem could be trusted: time alone can change it.
    trust: Option<Trust>,
}

/// How far the advisories of an ecosystem can be trusted now.
pub(crate) type Trusted<'a> = &'a dyn Fn(&str) -> Trust;

impl Verdict {
    /// Nothing is known.
    pub(crate) fn unreadable(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], ..Self::default() }
    }
}

impl ImageScanner {
    pub(crate) fn new(store: Arc<ContentStore>) -> Self {
        Self { store, reads: AtomicU64::new(0), memory: Mutex::default() }
    }

    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// Blocks while the image is read for the first time.
    pub(crate) fn verdict(
        &self,
        digest: &ImageDigest,
        database: &Database,
        trusted: Trusted<'_>,
    ) -> Arc<Verdict> {
        if let Some(known) = self.memory.lock().verdicts.get(digest)
            && known.database == database.revision()
            && known.trust.as_ref().is_none_or(|trust| *trust == trusted(&known.ecosystem))
        {
            return known.clone();
        }
        let verdict = match self.read(digest) {
            Ok(Some(read)) => Arc::new(judge(&read, database, trusted)),
            Ok(None) => {
                return Arc::new(Verdict::unreadable("the image is not in this machine's content store"));
            }
            Err(error) => return Arc::new(Verdict::unreadable(chain(&error))),
        };
        let mut memory = self.memory.lock();
        if memory.verdicts.len() >= REMEMBERED_IMAGES {
            memory.verdicts.clear();
        }
        memory.verdicts.insert(digest.clone(), verdict.clone());
        verdict
    }

    fn read(&self, digest: &ImageDigest) -> Result<Option<Arc<Read>>, ImageError> {
        if let Some(known) = self.memory.lock().catalogues.get(digest) {
            return Ok(Some(known.clone()));
        }
        let Some(record) = self.store.by_digest(digest)? else { return Ok(None) };
        let mut layers = Vec::with_capacity(record.layers.len());
        for layer in &record.layers {
            layers.push(self.layer(&layer.diff_id)?);
        }
        let base_layers = self.base_layers(&record);
        let catalogue = konzert_packages::catalogue(&layers, Precision::Precise);
        let read = Arc::new(Read { catalogue, base_layers });
        let mut memory = self.memory.lock();
        if memory.catalogues.len() >= REMEMBERED_IMAGES {
            memory.catalogues.clear();
        }
        memory.catalogues.insert(digest.clone(), read.clone());
        Ok(Some(read))
    }

    fn layer(&self, diff_id: &LayerDiffId) -> Result<Arc<LayerFacts>, ImageError> {
        if let Some(known) = self.memory.lock().layers.get(diff_id) {
            return Ok(known.clone());
        }
        let facts = Arc::new(self.store.layer_facts(diff_id)?);
        self.reads.fetch_add(1, Ordering::Relaxed);
        let bytes = facts.memory_bytes();
        let mut memory = self.memory.lock();
        if memory.layer_bytes + bytes > REMEMBERED_BYTES {
            memory.layers.clear();
            memory.layer_bytes = 0;
        }
        if memory.layers.insert(diff_id.clone(), facts.clone()).is_none() {
            memory.layer_bytes += bytes;
        }
        Ok(facts)
    }

    /// The shortest base counts: what it does not bring was added by somebody else.
    fn base_layers(&self, record: &ImageRecord) -> usize {
        self.store.bases_of(&record.digest).last().map_or(0, |base| base.layers.len())
    }
}

/// The causes of an error in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

fn judge(read: &Read, database: &Database, trusted: Trusted<'_>) -> Verdict {
    let catalogue = &read.catalogue;
    let ecosystem =
        catalogue.distribution.as_ref().map(konzert_packages::Distribution::ecosystem).unwrap_or_default();
    let trust = (!ecosystem.is_empty()).then(|| trusted(&ecosystem));
    let (state, reasons) = judge_state(catalogue, database, &ecosystem, trust.as_ref());
    let found = findings(database, catalogue);
    Verdict {
        distribution: catalogue.distribution.as_ref().map(ToString::to_string).unwrap_or_default(),
        packages: catalogue.packages.len(),
        state,
        reasons,
        findings: found.into_iter().map(|finding| reference(finding, read.base_layers)).collect(),
        database: database.revision().to_owned(),
        ecosystem,
        trust,
    }
}

fn judge_state(
    catalogue: &Catalogue,
    database: &Database,
    ecosystem: &str,
    trust: Option<&Trust>,
) -> (ReportState, Vec<String>) {
    let unknown = |reason: String| (ReportState::Unknown, vec![reason]);
    if catalogue.packages.is_empty() {
        return match catalogue.warnings.first() {
            Some(warning) => unknown(warning.clone()),
            None => unknown("no package database was found in the image".to_owned()),
        };
    }
    if database.is_empty() {
        return unknown("no advisories were imported".to_owned());
    }
    match trust {
        None => return unknown("the distribution is not known".to_owned()),
        Some(Trust::NotCovered) => return unknown(format!("no advisory source covers {ecosystem}")),
        Some(Trust::Stale { location, as_of }) => {
            return unknown(format!(
                "the advisories for {ecosystem} are too old: {location} speaks as of {as_of}"
            ));
        }
        Some(Trust::Fresh) => {}
    }
    if !catalogue.complete {
        return (ReportState::Partial, catalogue.warnings.clone());
    }
    (ReportState::Complete, Vec::new())
}

fn reference(finding: Finding, base_layers: usize) -> FindingRef {
    let origin = match (base_layers, finding.layer) {
        (0, _) => "",
        (base, layer) if layer < base => "base",
        _ => "application",
    };
    FindingRef {
        advisory: finding.advisory,
        aliases: finding.aliases,
        package: finding.package,
        installed: finding.installed,
        fixed: finding.fixed.unwrap_or_default(),
        state: finding.state.as_str().to_owned(),
        severity: finding.severity.as_str().to_owned(),
        origin: origin.to_owned(),
    }
}
