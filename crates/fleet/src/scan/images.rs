//! What is wrong with images: read once, matched once, and matched again only when an advisory about one of their packages changed.
//!
//! A package is matched once for all images that share it (see `pool`), and an image's findings are put together from those of its
//! packages; only what depends on the image itself, the suppression of packages that its distribution answers for and the
//! origin of a package, is decided then.
//!
//! Invariants: a layer is read once, whichever images it belongs to (see `layers`); findings that are remembered are those of
//! the database that is followed, because every change of it takes away the findings of the packages that it touches and of the
//! images that have them; an image that cannot be read is unknown, never clean; memory is bounded, and what was forgotten is
//! found out again.

use std::collections::{BTreeSet, HashMap};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use jiff::Timestamp;
use konzert_advisories::{Database, Delta, MatchOptions, OwnPackages, Trust, find_package};
use konzert_api::own::ReportState;
use konzert_images::{ContentStore, ImageDigest, ImageError, ImageRecord};
use konzert_packages::Precision;
use parking_lot::Mutex;

use super::judgement::{self, Known, Subject};
use super::layers::LayerCache;
use super::noted::{Findings, Noted, put_together};
use super::pool::{Judged, Pool, Shared};
use super::recent::Recent;

/// Packages of images that are remembered.
const PACKAGES_BYTES: usize = 128 << 20;
/// Lists of findings that are remembered; what they list is the packages' (see `pool`).
const FINDINGS_BYTES: usize = 32 << 20;
/// When more advisories than this change at once, everything is matched again: that is cheaper than finding out what they touch.
const MAX_DELTA: usize = 20_000;
/// Images that could not be read are not tried again until the store changes; so many are remembered.
const MAX_FAILURES: usize = 4096;
/// An image in the indexes, beside its packages.
const IMAGE_BYTES: usize = 1024;
/// A package of an image: a pointer and the way back.
const PLACE_BYTES: usize = 16;
/// Images that one thread takes before another is worth its start.
const PER_THREAD: usize = 4;
const MAX_THREADS: usize = 4;

/// Reads and judges images.
#[derive(Debug)]
pub(crate) struct ImageScanner {
    store: Arc<ContentStore>,
    layers: LayerCache,
    /// Images and packages matched, for the metrics.
    matches: AtomicU64,
    package_matches: AtomicU64,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
struct Memory {
    /// The packages of exactly the images in `images`.
    pool: Pool,
    images: Recent<ImageDigest, Arc<Read>>,
    findings: Recent<ImageDigest, Findings>,
    failures: HashMap<ImageDigest, String>,
    /// What the findings here and in `pool` were found in.
    database: Arc<Database>,
}

/// An image as read.
#[derive(Debug)]
struct Read {
    packages: Vec<Arc<Shared>>,
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

/// How much is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Everything.
    Findings,
    /// Whether silence means safety, without looking for findings.
    State,
}

/// What images are asked about.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) database: &'a Arc<Database>,
    /// How far the advisories of an ecosystem can be trusted now.
    pub(crate) trust: &'a (dyn Fn(&str) -> Trust + Sync),
    pub(crate) now: Timestamp,
    pub(crate) depth: Depth,
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
            findings: Recent::new(FINDINGS_BYTES),
            failures: HashMap::new(),
            database: Arc::default(),
        };
        let layers = LayerCache::new(store.clone());
        Self {
            store,
            layers,
            matches: AtomicU64::new(0),
            package_matches: AtomicU64::new(0),
            memory: Mutex::new(memory),
        }
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

    /// Packages matched; one that images share is matched once for all of them.
    pub(crate) fn package_matches(&self) -> u64 {
        self.package_matches.load(Ordering::Relaxed)
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
        let touched = memory.pool.touched(&about);
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

    /// Takes away the findings that a change of the database touches.
    fn follow(&self, database: &Arc<Database>) {
        let (old, was_blank) = {
            let memory = self.memory.lock();
            (memory.database.clone(), memory.is_blank())
        };
        if Arc::ptr_eq(&old, database) {
            return;
        }
        let is_same = old.revision() == database.revision();
        let delta = if was_blank || is_same {
            Some(Delta::default())
        } else {
            Delta::between_up_to(&old, database, MAX_DELTA)
        };
        let mut memory = self.memory.lock();
        if Arc::ptr_eq(&memory.database, database) {
            return;
        }
        let is_overtaken = !Arc::ptr_eq(&memory.database, &old) || (was_blank && !memory.is_blank());
        match delta {
            Some(delta) if !is_overtaken => memory.forget_touched(&delta),
            // Somebody else follows a third database: starting over is right whatever happened between.
            _ => memory.forget_findings(),
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
            findings: match asked.depth {
                Depth::Findings => self.findings(digest, &read, asked.database),
                Depth::State => Findings::default(),
            },
            database: asked.database.revision().to_owned(),
        }
    }

    fn findings(&self, digest: &ImageDigest, read: &Read, database: &Arc<Database>) -> Findings {
        let own = OwnPackages::of(database, read.packages.iter().map(|shared| &shared.package));
        let is_matched = |shared: &&Arc<Shared>| !own.answer_for(&shared.package);
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        {
            let mut memory = self.memory.lock();
            let follows = Arc::ptr_eq(&memory.database, database);
            if follows && let Some(known) = memory.findings.get(digest) {
                return known.clone();
            }
            for (place, shared) in read.packages.iter().filter(is_matched).enumerate() {
                match if follows { memory.pool.judged(shared) } else { Judged::Not } {
                    Judged::Not => unknown.push((place, shared)),
                    Judged::Clean => {}
                    Judged::Found(noted) => known.push((place, noted)),
                }
            }
        }
        let matched: Vec<Judged> = unknown.iter().map(|(_, shared)| matched(database, shared)).collect();
        self.matches.fetch_add(1, Ordering::Relaxed);
        self.package_matches.fetch_add(matched.len() as u64, Ordering::Relaxed);
        for ((place, _), judged) in unknown.iter().zip(&matched) {
            if let Judged::Found(noted) = judged {
                known.push((*place, noted.clone()));
            }
        }
        known.sort_by_key(|(place, _)| *place);
        let known: Vec<Arc<[Noted]>> = known.into_iter().map(|(_, noted)| noted).collect();
        let findings = put_together(&known, read.base_layers);
        let mut memory = self.memory.lock();
        // Another caller may follow a newer database by now; and a change must find the image to take its findings away.
        if Arc::ptr_eq(&memory.database, database) && memory.images.contains(digest) {
            memory.note(unknown.into_iter().map(|(_, shared)| shared).zip(matched));
            let bytes = IMAGE_BYTES + findings.len() * size_of::<usize>();
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
        // Another caller may have read it at the same time.
        if let Some(known) = memory.images.get(digest) {
            return Ok(Some(known.clone()));
        }
        let places = IMAGE_BYTES + catalogue.packages.len() * PLACE_BYTES;
        let (packages, bytes) = memory.pool.insert(digest, catalogue.packages);
        let read = Arc::new(Read { packages, subject, base_layers });
        memory.remember(digest, &read, places + bytes);
        Ok(Some(read))
    }

    /// The shortest base counts: what it does not bring was added by somebody else.
    fn base_layers(&self, record: &ImageRecord) -> usize {
        self.store.bases_of(&record.digest).last().map_or(0, |base| base.layers.len())
    }
}

impl Memory {
    fn remember(&mut self, digest: &ImageDigest, read: &Arc<Read>, bytes: usize) {
        for (gone, read) in self.images.insert(digest.clone(), read.clone(), bytes) {
            self.pool.remove(&gone, &read.packages);
            // Nobody would take them away when their advisories change.
            self.findings.remove(&gone);
        }
    }

    fn note<'a>(&mut self, matched: impl Iterator<Item = (&'a Arc<Shared>, Judged)>) {
        for (shared, judged) in matched {
            if !self.pool.judge(shared, judged) {
                // They would keep what the packages have forgotten.
                self.findings = Recent::new(FINDINGS_BYTES);
            }
        }
    }

    fn is_blank(&self) -> bool {
        self.pool.is_blank() && self.findings.is_empty()
    }

    fn forget_touched(&mut self, delta: &Delta) {
        for digest in self.pool.follow(delta) {
            self.findings.remove(&digest);
        }
    }

    fn forget_findings(&mut self) {
        self.pool.forget_all();
        self.findings = Recent::new(FINDINGS_BYTES);
    }
}

fn matched(database: &Database, shared: &Shared) -> Judged {
    let found = find_package(database, &shared.package, &MatchOptions::default());
    if found.is_empty() { Judged::Clean } else { Judged::Found(found.into_iter().map(Noted::new).collect()) }
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

#[cfg(test)]
#[path = "images/tests.rs"]
mod tests;

#[cfg(test)]
#[path = "images/composing.rs"]
mod composing;
