//! What is wrong with images: read once, matched once, and matched again only when an advisory about one of their packages changed.
//!
//! Invariants: a layer is read once, whichever images it belongs to (see `layers`); findings that are remembered are those of
//! the database that is followed, because every change of it takes away the findings of the images that it touches; an image
//! that cannot be read is unknown, never clean; memory is bounded, and what was forgotten is found out again.

use std::collections::{BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use jiff::Timestamp;
use konzert_advisories::{Database, Delta, Finding, Inverted, MatchOptions, Matched, Trust, find_packages};
use konzert_api::own::{FindingRef, ReportState};
use konzert_images::{ContentStore, ImageDigest, ImageError, ImageRecord};
use konzert_packages::{Package, Precision};
use parking_lot::Mutex;

use super::judgement::{self, Known, Subject};
use super::layers::LayerCache;
use super::pool::{Pool, package_bytes};
use super::recent::Recent;

/// Packages of images that are remembered.
const PACKAGES_BYTES: usize = 128 << 20;
/// Findings that are remembered.
const FINDINGS_BYTES: usize = 64 << 20;
/// Images that could not be read are not tried again until the store changes; so many are remembered.
const MAX_FAILURES: usize = 4096;
/// An image in the indexes, beside its packages.
const IMAGE_BYTES: usize = 1024;
/// A package in the indexes: a pointer, two postings and their way back.
const PLACE_BYTES: usize = 24;
/// Images that one thread takes before another is worth its start.
const PER_THREAD: usize = 4;
const MAX_THREADS: usize = 4;

/// Reads and judges images.
#[derive(Debug)]
pub(crate) struct ImageScanner {
    store: Arc<ContentStore>,
    layers: LayerCache,
    /// Images matched, for the metrics.
    matches: AtomicU64,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    pool: Pool,
    images: Recent<ImageDigest, Arc<Read>>,
    /// Packages → images; of exactly the images in `images`.
    inverted: Inverted<ImageDigest>,
    findings: Recent<ImageDigest, Findings>,
    failures: HashMap<ImageDigest, String>,
    /// What `findings` were found in.
    database: Arc<Database>,
}

/// Findings of one image, shared with whoever reports them.
pub(crate) type Findings = Arc<Vec<FindingRef>>;

/// An image as read.
#[derive(Debug)]
struct Read {
    packages: Vec<Arc<Package>>,
    subject: Subject,
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
    pub(crate) findings: Findings,
    /// Revision of the database that this is the answer of.
    pub(crate) database: String,
}

/// What images are asked about.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) database: &'a Arc<Database>,
    /// How far the advisories of an ecosystem can be trusted now.
    pub(crate) trust: &'a (dyn Fn(&str) -> Trust + Sync),
    pub(crate) now: Timestamp,
}

impl Verdict {
    /// Nothing is known.
    pub(crate) fn unreadable(reason: impl Into<String>) -> Self {
        Self { reasons: vec![reason.into()], ..Self::default() }
    }
}

impl ImageScanner {
    pub(crate) fn new(store: Arc<ContentStore>) -> Self {
        let memory = Memory {
            pool: Pool::default(),
            images: Recent::new(PACKAGES_BYTES),
            inverted: Inverted::default(),
            findings: Recent::new(FINDINGS_BYTES),
            failures: HashMap::new(),
            database: Arc::default(),
        };
        let layers = LayerCache::new(store.clone());
        Self { store, layers, matches: AtomicU64::new(0), memory: Mutex::new(memory) }
    }

    pub(crate) fn store(&self) -> &ContentStore {
        &self.store
    }

    /// Layers read.
    pub(crate) fn reads(&self) -> u64 {
        self.layers.reads()
    }

    /// Images matched.
    pub(crate) fn matches(&self) -> u64 {
        self.matches.load(Ordering::Relaxed)
    }

    /// The store has changed: what could not be read may be readable now.
    pub(crate) fn forget_failures(&self) {
        self.memory.lock().failures.clear();
    }

    /// A verdict for each image, on several threads. Blocks while images are read for the first time.
    pub(crate) fn verdicts(
        &self,
        digests: &[ImageDigest],
        asked: Asked<'_>,
    ) -> HashMap<ImageDigest, Arc<Verdict>> {
        self.follow(asked.database);
        side_by_side(digests, |digest| (digest.clone(), Arc::new(self.verdict(digest, asked))))
            .into_iter()
            .collect()
    }

    /// Those of some images that may have one of these advisories; the others have not.
    pub(crate) fn concerned(
        &self,
        digests: &[ImageDigest],
        ids: &BTreeSet<String>,
        database: &Database,
    ) -> Vec<ImageDigest> {
        side_by_side(digests, |digest| drop(self.read(digest)));
        let about = Delta::about(database, ids);
        let memory = self.memory.lock();
        let touched = memory.inverted.touched(&about);
        // What is not in the index (any more) has to be looked at.
        let is_concerned =
            |digest: &&ImageDigest| touched.contains(digest) || !memory.images.contains(digest);
        digests.iter().filter(is_concerned).cloned().collect()
    }

    /// When time alone may change the verdict of one of these images.
    pub(crate) fn next_change(&self, digests: &[ImageDigest], now: Timestamp) -> Option<Timestamp> {
        let mut memory = self.memory.lock();
        digests.iter().filter_map(|digest| memory.images.get(digest)?.subject.next_change(now)).min()
    }

    /// Takes away the findings of the images that a change of the database touches.
    fn follow(&self, database: &Arc<Database>) {
        let old = self.memory.lock().database.clone();
        if Arc::ptr_eq(&old, database) {
            return;
        }
        let delta = (old.revision() != database.revision()).then(|| Delta::between(&old, database));
        let mut memory = self.memory.lock();
        if Arc::ptr_eq(&memory.database, database) {
            return;
        }
        // Somebody else follows a third database: start over, which is right whatever happened between.
        if !Arc::ptr_eq(&memory.database, &old) {
            memory.findings = Recent::new(FINDINGS_BYTES);
        } else if let Some(delta) = delta {
            for digest in memory.inverted.touched(&delta) {
                memory.findings.remove(&digest);
            }
        }
        memory.database = database.clone();
    }

    fn verdict(&self, digest: &ImageDigest, asked: Asked<'_>) -> Verdict {
        let read = match self.read(digest) {
            Ok(Some(read)) => read,
            Ok(None) => return Verdict::unreadable("the image is not in this machine's content store"),
            Err(reason) => return Verdict::unreadable(reason),
        };
        let known = Known { any_advisories: !asked.database.is_empty(), trust: asked.trust, now: asked.now };
        let (state, reasons) = judgement::judge(&read.subject, known);
        Verdict {
            distribution: read.subject.distribution(),
            packages: read.subject.packages(),
            state,
            reasons,
            findings: self.findings(digest, &read, asked.database),
            database: asked.database.revision().to_owned(),
        }
    }

    fn findings(&self, digest: &ImageDigest, read: &Read, database: &Arc<Database>) -> Findings {
        {
            let mut memory = self.memory.lock();
            if Arc::ptr_eq(&memory.database, database)
                && let Some(known) = memory.findings.get(digest)
            {
                return known.clone();
            }
        }
        let Matched { findings, .. } = find_packages(database, &read.packages, &MatchOptions::default());
        self.matches.fetch_add(1, Ordering::Relaxed);
        let findings: Findings =
            Arc::new(findings.into_iter().map(|finding| reference(finding, read.base_layers)).collect());
        let bytes = IMAGE_BYTES + findings.iter().map(finding_bytes).sum::<usize>();
        let mut memory = self.memory.lock();
        // Another caller may follow a newer database by now; and a change must find the image to take its findings away.
        if Arc::ptr_eq(&memory.database, database) && memory.images.contains(digest) {
            memory.findings.insert(digest.clone(), findings.clone(), bytes);
        }
        findings
    }

    /// `None` when the store does not have it; an error in one line.
    fn read(&self, digest: &ImageDigest) -> Result<Option<Arc<Read>>, String> {
        {
            let mut memory = self.memory.lock();
            if let Some(known) = memory.images.get(digest) {
                return Ok(Some(known.clone()));
            }
            if let Some(failure) = memory.failures.get(digest) {
                return Err(failure.clone());
            }
        }
        match self.read_layers(digest) {
            Ok(read) => Ok(read),
            Err(error) => {
                let failure = chain(&error);
                let mut memory = self.memory.lock();
                if memory.failures.len() >= MAX_FAILURES {
                    memory.failures.clear();
                }
                memory.failures.insert(digest.clone(), failure.clone());
                Err(failure)
            }
        }
    }

    fn read_layers(&self, digest: &ImageDigest) -> Result<Option<Arc<Read>>, ImageError> {
        let Some(record) = self.store.by_digest(digest)? else { return Ok(None) };
        let mut layers = Vec::with_capacity(record.layers.len());
        for layer in &record.layers {
            layers.push(self.layers.facts(&layer.diff_id)?);
        }
        let base_layers = self.base_layers(&record);
        let catalogue = konzert_packages::catalogue(&layers, Precision::Precise);
        drop(layers);
        let subject = Subject::of(&catalogue);
        let mut memory = self.memory.lock();
        let mut bytes = IMAGE_BYTES + catalogue.packages.len() * PLACE_BYTES;
        let mut packages = Vec::with_capacity(catalogue.packages.len());
        for package in catalogue.packages {
            let own = package_bytes(&package);
            let (shared, is_new) = memory.pool.share(package);
            bytes += if is_new { own } else { 0 };
            packages.push(shared);
        }
        let read = Arc::new(Read { packages, subject, base_layers });
        memory.remember(digest, &read, bytes);
        Ok(Some(read))
    }

    /// The shortest base counts: what it does not bring was added by somebody else.
    fn base_layers(&self, record: &ImageRecord) -> usize {
        self.store.bases_of(&record.digest).last().map_or(0, |base| base.layers.len())
    }
}

impl Memory {
    fn remember(&mut self, digest: &ImageDigest, read: &Arc<Read>, bytes: usize) {
        self.inverted.insert(digest, read.packages.iter().map(|package| &**package));
        for gone in self.images.insert(digest.clone(), read.clone(), bytes) {
            self.inverted.remove(&gone);
            // Nobody would take them away when their advisories change.
            self.findings.remove(&gone);
        }
    }
}

/// Does the same for each image, on as many threads as are worth it.
fn side_by_side<T: Send>(digests: &[ImageDigest], work: impl Fn(&ImageDigest) -> T + Sync) -> Vec<T> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = cores.min(MAX_THREADS).min(digests.len().div_ceil(PER_THREAD)).max(1);
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::with_capacity(digests.len() / threads + 1);
        while let Some(digest) = digests.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push(work(digest));
        }
        done
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(share)).collect();
        let mut done = share();
        for other in others {
            done.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    })
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

fn finding_bytes(finding: &FindingRef) -> usize {
    let texts = [&finding.advisory, &finding.package, &finding.installed, &finding.fixed];
    let aliases = finding.aliases.iter().map(|alias| alias.len() + size_of::<String>());
    size_of::<FindingRef>() + texts.iter().map(|text| text.len()).sum::<usize>() + aliases.sum::<usize>() + 32
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

#[cfg(test)]
#[path = "images/tests.rs"]
mod tests;
