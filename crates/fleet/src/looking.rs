//! Looks at one target, whatever it is, and makes a [`Report`] of it: catalogue, match, VEX, ignores.
//!
//! Every target takes the same way: layers' facts into one catalogue, the catalogue against the database. Blocks. Writes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use konzert_advisories::ignore::Ignores;
use konzert_advisories::openvex::{self, Document};
use konzert_advisories::{Database, Finding, KernelPackages, MatchOptions, find};
use konzert_images::{
    ContentStore, ImageError, ImageRecord, Limits, LoadProgress, ReadImage, Reference, RegistryOptions,
    RemoteImage, read_images, read_root,
};
use konzert_packages::{Catalogue, DocumentError, LayerFacts, Precision, catalogue, read_document};

use crate::advisories::AdvisoryStore;
use crate::inventory::RunningContainer;
use crate::report::{IdleRule, Report, SetAside, Target, TargetKind};
use crate::scan::judgement::{Known, Subject, judge};
use crate::scan::layers::LayerCache;
use crate::{FleetError, error::parse_digest};

/// Something whose packages are known and that is not judged yet.
#[derive(Clone, Debug)]
pub struct Looked {
    kind: TargetKind,
    name: String,
    digest: String,
    layers: Vec<String>,
    base_layers: usize,
    catalogue: Catalogue,
    running: Vec<RunningContainer>,
}

/// How to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// What matters: no kernel packages, and the distribution's word on what it packages.
    #[default]
    Usual,
    /// Everything: nothing is left out, and some findings will be false.
    All,
}

/// What decides about findings.
#[derive(Debug, Default)]
pub struct Decisions {
    /// How to match.
    pub scope: Scope,
    /// VEX documents.
    pub vex: Vec<Document>,
    /// Ignore files by name.
    pub ignores: Vec<(String, Ignores)>,
    /// Only findings that have a fix.
    pub only_fixed: bool,
    /// Only these advisories; empty for all.
    pub advisories: Vec<String>,
}

impl Scope {
    fn precision(self) -> Precision {
        match self {
            Self::Usual => Precision::Precise,
            Self::All => Precision::Comprehensive,
        }
    }
}

impl Looked {
    /// An image of the content store.
    pub fn stored(store: &ContentStore, record: &ImageRecord, scope: Scope) -> Result<Self, ImageError> {
        let layers = record.layers.iter().map(|layer| store.layer_facts(&layer.diff_id));
        let facts: Vec<LayerFacts> = layers.collect::<Result<_, _>>()?;
        let base = store.bases_of(&record.digest).last().map_or(0, |base| base.layers.len());
        Ok(Self {
            base_layers: base,
            ..Self::image(TargetKind::Image, record, catalogue(&facts, scope.precision()))
        })
    }

    /// The images in a layout directory or an archive, read in place.
    pub fn images(
        kind: TargetKind,
        path: &Path,
        scope: Scope,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<Vec<Self>, ImageError> {
        let read = read_images(path, &Limits::default(), progress)?;
        let looked =
            |image: &ReadImage| Self::image(kind, &image.record, catalogue(&image.layers, scope.precision()));
        Ok(read.iter().map(looked).collect())
    }

    /// An image in a registry, read while it comes. Layers that this machine has, or whose facts it has kept, do not come at all; nothing
    /// but facts is kept.
    pub fn registry(
        store: &Arc<ContentStore>,
        reference: &Reference,
        options: &RegistryOptions,
        scope: Scope,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<Self, ImageError> {
        let mut image = RemoteImage::open(reference, options)?;
        let record = image.record().clone();
        let cache = LayerCache::new(store.clone());
        let mut facts = Vec::with_capacity(record.layers.len());
        for layer in &record.layers {
            let here = store.layers()?.contains(&layer.diff_id);
            facts.push(cache.facts_or(&layer.diff_id, || {
                if here { store.layer_facts(&layer.diff_id) } else { image.layer_facts(layer, progress) }
            })?);
        }
        let name = reference.to_string();
        Ok(Self { name, ..Self::image(TargetKind::Registry, &record, catalogue(&facts, scope.precision())) })
    }

    /// A directory tree.
    pub fn rootfs(dir: &Path, scope: Scope, progress: &dyn Fn(u64)) -> Result<Self, ImageError> {
        let facts = read_root(dir, progress)?;
        Ok(Self::plain(TargetKind::Rootfs, dir.display().to_string(), catalogue(&[facts], scope.precision())))
    }

    /// A document; `name` is its file.
    pub fn sbom(bytes: &[u8], name: &str) -> Result<Self, DocumentError> {
        let document = read_document(bytes, name)?;
        let subject = if document.subject.is_empty() { name.to_owned() } else { document.subject };
        Ok(Self::plain(TargetKind::Sbom, subject, document.catalogue))
    }

    /// The images of running containers; one that cannot be read is a target of which nothing is known.
    pub fn running(store: &ContentStore, containers: Vec<RunningContainer>, scope: Scope) -> Vec<Self> {
        let mut by_image: BTreeMap<String, Vec<RunningContainer>> = BTreeMap::new();
        for container in containers {
            by_image.entry(container.digest.clone()).or_default().push(container);
        }
        let looked = |(digest, running): (String, Vec<RunningContainer>)| {
            let name = running.first().map(|c| c.image.clone()).unwrap_or_default();
            let mut looked = Self::running_image(store, &digest, scope).unwrap_or_else(|reason| {
                let catalogue = Catalogue { warnings: vec![reason], ..Catalogue::default() };
                Self { digest, ..Self::plain(TargetKind::Image, String::new(), catalogue) }
            });
            looked.name = name;
            looked.running = running;
            looked
        };
        by_image.into_iter().map(looked).collect()
    }

    fn running_image(store: &ContentStore, digest: &str, scope: Scope) -> Result<Self, String> {
        let digest =
            parse_digest(digest).map_err(|_no| "the runtime does not tell the image's digest".to_owned())?;
        let record = store.by_digest(&digest).map_err(|e| e.to_string())?;
        let record = record.ok_or_else(|| "the image is not in this machine's content store".to_owned())?;
        Self::stored(store, &record, scope).map_err(|e| e.to_string())
    }

    fn image(kind: TargetKind, record: &ImageRecord, catalogue: Catalogue) -> Self {
        Self {
            digest: record.digest.to_string(),
            layers: record.layers.iter().map(|layer| layer.diff_id.to_string()).collect(),
            ..Self::plain(kind, record.display_name().to_owned(), catalogue)
        }
    }

    fn plain(kind: TargetKind, name: String, catalogue: Catalogue) -> Self {
        let (digest, layers, running) = (String::new(), Vec::new(), Vec::new());
        Self { kind, name, digest, layers, base_layers: 0, catalogue, running }
    }

    fn unjudged(self, now: Timestamp) -> Target {
        let support = self.catalogue.distribution.as_ref().map(|d| d.support(now));
        Target {
            kind: self.kind,
            name: self.name,
            digest: self.digest,
            layers: self.layers,
            base_layers: self.base_layers,
            catalogue: self.catalogue,
            support,
            state: konzert_api::own::ReportState::Complete,
            reasons: Vec::new(),
            findings: Vec::new(),
            set_aside: Vec::new(),
            kernel_dropped: 0,
            owned_by_distribution: 0,
            running: self.running,
        }
    }
}

/// What is in targets, without a word on what is wrong with it.
pub fn inventory_report(looked: Vec<Looked>, version: &str, now: Timestamp) -> Report {
    let targets = looked.into_iter().map(|l| {
        let mut target = l.unjudged(now);
        if !target.catalogue.complete {
            target.state = konzert_api::own::ReportState::Partial;
            target.reasons.clone_from(&target.catalogue.warnings);
        }
        target
    });
    Report {
        version: version.to_owned(),
        scanned_at: now,
        revision: String::new(),
        sources: Vec::new(),
        targets: targets.collect(),
        advisories: BTreeMap::new(),
        unused: Vec::new(),
        expired: Vec::new(),
    }
}

/// Judges targets. An id in `decisions.advisories` that no advisory knows is an error: nobody having a typing mistake would look like safety.
pub fn scan_report(
    looked: Vec<Looked>,
    advisories: &AdvisoryStore,
    decisions: &Decisions,
    version: &str,
    now: Timestamp,
) -> Result<Report, FleetError> {
    let database = advisories.database()?;
    for id in &decisions.advisories {
        if database.ids(id).is_empty() {
            return Err(FleetError::Unknown { kind: "advisory", name: id.clone() });
        }
    }
    let mut report = inventory_report(looked, version, now);
    database.revision().clone_into(&mut report.revision);
    report.sources = database.sources().to_vec();
    for target in &mut report.targets {
        let trusted = |ecosystem: &str| advisories.trust(&database, ecosystem, now);
        let known = Known { any_advisories: !database.is_empty(), trust: &trusted, now };
        (target.state, target.reasons) = judge(&Subject::of(&target.catalogue), known);
        find_in(target, &database, decisions);
    }
    decide(&mut report, decisions, now);
    let ids = report.targets.iter().flat_map(|t| {
        t.findings.iter().chain(t.set_aside.iter().map(|s| &s.finding)).map(|f| f.advisory.clone())
    });
    report.advisories = ids.filter_map(|id| Some((id.clone(), database.get(&id)?))).collect();
    Ok(report)
}

fn find_in(target: &mut Target, database: &Database, decisions: &Decisions) {
    let all = decisions.scope == Scope::All;
    let kernel = if all { KernelPackages::Keep } else { KernelPackages::Drop };
    let options = MatchOptions { kernel, ..MatchOptions::default() };
    let matched = if all {
        // Whose file it is does not count any more.
        let mut everything = target.catalogue.clone();
        everything.packages.iter_mut().for_each(|package| package.owned_by = None);
        find(database, &everything, &options)
    } else {
        find(database, &target.catalogue, &options)
    };
    target.findings = matched.findings;
    target.kernel_dropped = matched.kernel_dropped;
    target.owned_by_distribution = matched.owned_by_distribution;
}

/// VEX first, then ignores, then what was asked for. A rule that has work in one target is not idle in another.
fn decide(report: &mut Report, decisions: &Decisions, now: Timestamp) {
    let today = now.to_zoned(TimeZone::UTC).date();
    let files = decisions.ignores.len();
    let mut unused: Vec<Option<Vec<u64>>> = vec![None; files];
    for target in &mut report.targets {
        let found = std::mem::take(&mut target.findings);
        let names = target.names();
        let mut set_aside = Vec::new();
        let purls = |finding: &Finding| {
            target.package_of(finding).map(konzert_packages::Package::purls).unwrap_or_default()
        };
        let filtered = openvex::apply(&decisions.vex, found, &names, purls);
        set_aside.extend(filtered.suppressed.into_iter().map(|(finding, reason)| SetAside {
            finding,
            by: "vex",
            place: String::new(),
            reason,
        }));
        let mut left = filtered.findings;
        for ((file, ignores), unused) in decisions.ignores.iter().zip(&mut unused) {
            let applied = ignores.apply(left, today, purls);
            left = applied.findings;
            set_aside.extend(applied.ignored.into_iter().map(|(finding, rule)| SetAside {
                finding,
                by: "ignore",
                place: format!("{file}:{}", rule.line),
                reason: rule.reason.clone(),
            }));
            let idle: Vec<u64> = applied.unused.iter().map(|rule| rule.line).collect();
            match unused {
                None => *unused = Some(idle),
                Some(known) => known.retain(|line| idle.contains(line)),
            }
        }
        // What was not asked for goes last, so that a rule about it does not look idle.
        let asked = |finding: &Finding| {
            let ids = &decisions.advisories;
            ids.is_empty() || ids.iter().any(|id| finding.is_named(id))
        };
        left.retain(|f| asked(f) && (!decisions.only_fixed || f.fixed.is_some()));
        set_aside.retain(|aside| asked(&aside.finding));
        target.findings = left;
        target.set_aside = set_aside;
    }
    for ((file, ignores), idle) in decisions.ignores.iter().zip(unused) {
        let idle = idle.unwrap_or_default();
        for rule in &ignores.rules {
            let row = IdleRule { file: file.clone(), rule: rule.clone() };
            if rule.expires.is_some_and(|day| day < today) {
                report.expired.push(row);
            } else if idle.contains(&rule.line) {
                report.unused.push(row);
            }
        }
    }
}
