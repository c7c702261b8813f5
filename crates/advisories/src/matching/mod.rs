//! What is wrong in an image: every package against the advisories of its ecosystem.
//!
//! dpkg and apk are matched by source package and source version, because that is what Debian's and Alpine's advisories name;
//! rpm by binary name, module and architecture; languages by their normalised name. Epochs always count.
//!
//! Invariants: the result is a function of database, catalogue and options, in a fixed order; there is one finding for a
//! vulnerability (alias group) and package; a version without a place in its order is `unknown`, never clean; [`lookups`] names
//! every key of the database that the findings of a package depend on.

mod finding;
mod merge;

use std::borrow::{Borrow, Cow};
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use konzert_packages::{Catalogue, Package, PackageClass, PackageKind, lists_unfixed};

use crate::codec::AffectedView;
use crate::database::Key;
use crate::ecosystem::{self, Order};
use crate::range::{Placed, locate, next_fixed};
use crate::{Database, State};
pub use finding::{Finding, FindingState};
use merge::{Hit, Verdict};

/// Packages whose code runs in the host's kernel, not in a container: by the beginning of the binary name.
const KERNEL: [&str; 12] = [
    "linux-libc-dev",
    "linux-headers",
    "linux-image",
    "linux-modules",
    "linux-lts",
    "linux-virt",
    "linux-kbuild",
    "linux-compiler",
    "kernel-headers",
    "kernel-core",
    "kernel-modules",
    "kernel-devel",
];

/// What to do with findings in kernel packages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelPackages {
    /// Leave them out: a container runs the host's kernel.
    #[default]
    Drop,
    /// Show them.
    Keep,
}

/// How an rpm version without epoch is compared when the advisory's has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingEpoch {
    /// As epoch 0, as rpm does.
    #[default]
    Zero,
    /// As the advisory's: for package lists that have lost it.
    OfAdvisory,
}

/// What findings are made, beyond the facts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchOptions {
    /// Kernel packages.
    pub kernel: KernelPackages,
    /// Missing epochs.
    pub missing_epoch: MissingEpoch,
}

/// The findings of an image, and what was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matched {
    /// Worst first.
    pub findings: Vec<Finding>,
    /// Findings in kernel packages that were dropped.
    pub kernel_dropped: usize,
    /// Language packages that were left to the distribution's feed, which covers them.
    pub owned_by_distribution: usize,
}

/// Matches every package of a catalogue with the usual options, worst first.
pub fn findings(database: &Database, catalogue: &Catalogue) -> Vec<Finding> {
    find(database, catalogue, &MatchOptions::default()).findings
}

/// Matches every package of a catalogue.
pub fn find(database: &Database, catalogue: &Catalogue, options: &MatchOptions) -> Matched {
    find_packages(database, &catalogue.packages, options)
}

/// Matches the packages of one image, which its holder may share with other images.
///
/// The same is found by [`find_package`] for each package that is not the business of the image's distribution
/// ([`OwnPackages`]), put in the order of [`Finding::order`].
pub fn find_packages<P: Borrow<Package>>(
    database: &Database,
    packages: &[P],
    options: &MatchOptions,
) -> Matched {
    let mut matched = Matched::default();
    let own = OwnPackages::of(database, packages.iter().map(Borrow::borrow));
    let mut consulted: HashMap<(&str, bool), Vec<String>> = HashMap::new();
    for package in packages.iter().map(Borrow::borrow) {
        if own.answer_for(package) {
            matched.owned_by_distribution += 1;
            continue;
        }
        let key = (package.ecosystem.as_str(), has_pro_fix(package));
        let ecosystems = consulted.entry(key).or_insert_with(|| ecosystems_of(&package.ecosystem, key.1));
        if package.third_party {
            continue;
        }
        let found = match_package(database, package, ecosystems, *options);
        if options.kernel == KernelPackages::Drop && is_kernel(package) {
            matched.kernel_dropped += found.len();
        } else {
            matched.findings.extend(found);
        }
    }
    matched.findings.sort_by(Finding::order);
    matched
}

/// The findings of one package by itself, in no order: a function of database and package, whatever image has it.
pub fn find_package(database: &Database, package: &Package, options: &MatchOptions) -> Vec<Finding> {
    if package.third_party || (options.kernel == KernelPackages::Drop && is_kernel(package)) {
        return Vec::new();
    }
    let ecosystems = ecosystems_of(&package.ecosystem, has_pro_fix(package));
    match_package(database, package, &ecosystems, *options)
}

/// The packages of an image's distribution, where its feed speaks of everything that they bring: what they own has no
/// findings of its own.
#[derive(Clone, Debug, Default)]
pub struct OwnPackages<'a> {
    /// Empty when the feed is not there, does not name what is unfixed, or nothing is owned.
    names: HashSet<&'a str>,
}

impl<'a> OwnPackages<'a> {
    /// Of one image.
    pub fn of(database: &Database, packages: impl Iterator<Item = &'a Package> + Clone) -> Self {
        let is_os = |p: &&Package| p.class() == PackageClass::Os && !p.ecosystem.is_empty();
        let distribution = packages.clone().find(is_os).map(|p| p.ecosystem.as_str());
        let covers = |name: &str| lists_unfixed(name) && database.covers(name).is_some();
        if !distribution.is_some_and(covers) || !packages.clone().any(is_owned) {
            return Self::default();
        }
        let own = packages.filter(|p| p.class() == PackageClass::Os && !p.third_party);
        Self { names: own.map(|p| p.name.as_str()).collect() }
    }

    /// Whether a package is the distribution's own copy of a language package. Somebody else's is not its business.
    pub fn answer_for(&self, package: &Package) -> bool {
        is_owned(package) && package.owned_by.as_deref().is_some_and(|owner| self.names.contains(owner))
    }
}

fn is_owned(package: &Package) -> bool {
    package.class() == PackageClass::Language && package.owned_by.is_some()
}

fn is_kernel(package: &Package) -> bool {
    package.class() == PackageClass::Os
        && (package.name == "kernel" || KERNEL.iter().any(|prefix| package.name.starts_with(prefix)))
}

/// Ubuntu's paid fixes have their own advisories, and their versions say so.
fn has_pro_fix(package: &Package) -> bool {
    let version = &package.source_version;
    package.kind == PackageKind::Deb && (version.contains("esm") || version.contains("fips"))
}

/// The ecosystems whose advisories speak of a package, the most specific first.
fn ecosystems_of(name: &str, pro: bool) -> Vec<String> {
    if name.is_empty() {
        return Vec::new();
    }
    let own = ecosystem::canonical(name);
    let mut all = Vec::with_capacity(4);
    if let Some(release) = own.strip_prefix("Ubuntu:").filter(|release| pro && !release.starts_with("Pro:")) {
        all.push(format!("Ubuntu:Pro:{release}"));
    }
    all.extend(ecosystem::without_service_pack(&own).map(str::to_owned));
    // Some old records name no release.
    let base = ecosystem::base(&own).to_owned();
    let bare = (base != own).then_some(base);
    all.push(own);
    all.extend(bare);
    all
}

/// The keys of the database that the findings of a package depend on: ecosystem and package name.
pub fn lookups(package: &Package) -> Vec<(String, String)> {
    let ecosystems = ecosystems_of(&package.ecosystem, has_pro_fix(package));
    let keys = |ecosystem: String| {
        let names: Vec<String> = names_in(&ecosystem, package).map(Cow::into_owned).collect();
        names.into_iter().map(move |name| (ecosystem.clone(), name))
    };
    ecosystems.into_iter().flat_map(keys).collect()
}

fn by_source(ecosystem: &str, package: &Package) -> bool {
    match package.kind {
        PackageKind::Deb | PackageKind::Apk => true,
        PackageKind::Rpm => ecosystem::rpm_by_source(ecosystem),
        _ => false,
    }
}

fn names_in<'a>(ecosystem: &'a str, package: &'a Package) -> impl Iterator<Item = Cow<'a, str>> {
    let name = if by_source(ecosystem, package) { &package.source_name } else { &package.name };
    std::iter::once(name).chain(&package.also).map(|name| ecosystem::package_name(ecosystem, name))
}

fn match_package(
    database: &Database,
    package: &Package,
    ecosystems: &[String],
    options: MatchOptions,
) -> Vec<Finding> {
    let mut hits: Vec<Hit<'_>> = Vec::new();
    let mut pro_groups = Vec::new();
    for (name, key) in ecosystems.iter().flat_map(|name| names_in(name, package).map(move |key| (name, key)))
    {
        let order = ecosystem::order(name);
        let pro = name.starts_with("Ubuntu:Pro:");
        let Some(key) = database.key(name, &key) else { continue };
        if !pro && options.missing_epoch == MissingEpoch::Zero && is_above(&key, order, name, package) {
            continue;
        }
        for (record, view) in database.about(key) {
            let group = database.group(record);
            if pro {
                pro_groups.push(group);
            } else if pro_groups.contains(&group) {
                continue;
            }
            let asked = Asked { ecosystem: name, order, package, options };
            let Some(verdict) = asked.verdict(&view) else { continue };
            match hits.last_mut().filter(|hit| hit.record == record) {
                // A record may name a package twice, for two ranges; the entries of a key stand in the order of records.
                Some(hit) => hit.verdict = hit.verdict.or(verdict, order),
                None => hits.push(Hit { record, group, order, verdict }),
            }
        }
    }
    merge::findings(database, package, hits)
}

/// Whether every advisory about the package is about older versions.
fn is_above(key: &Key<'_>, order: Order, ecosystem: &str, package: &Package) -> bool {
    let source = by_source(ecosystem, package);
    let version = if source { &package.source_version } else { &package.version };
    let place = |ceiling| ecosystem::compare(order, version, ceiling);
    key.ceiling.and_then(place).is_some_and(|place| place != Ordering::Less)
}

/// One package in one ecosystem.
struct Asked<'a> {
    ecosystem: &'a str,
    order: Order,
    package: &'a Package,
    options: MatchOptions,
}

impl Asked<'_> {
    /// `None` when the entry does not speak of this package in this version.
    fn verdict<'v>(&self, view: &AffectedView<'v>) -> Option<Verdict<'v>> {
        // Most entries are about older versions: the comparison goes first, because it decides most often.
        let verdict = self.place(view)?;
        (self.arch_matches(view) && self.module_matches(view)).then_some(verdict)
    }

    fn place<'v>(&self, view: &AffectedView<'v>) -> Option<Verdict<'v>> {
        let says = |state, fixed| Some(Verdict { state, fixed, severity: view.severity });
        if view.state == State::NotAffected {
            return says(FindingState::NotAffected, None);
        }
        let state = FindingState::from(view.state);
        if view.is_bare() {
            return says(state, None);
        }
        let version = self.version(view);
        let mut unplaced = false;
        for range in view.ranges() {
            match locate(self.order, &version, range) {
                Placed::Inside { fixed } => return says(state, fixed),
                Placed::Unknown => unplaced = true,
                Placed::Outside => {}
            }
        }
        let same = |listed: &str| {
            listed == version || ecosystem::compare(self.order, listed, &version) == Some(Ordering::Equal)
        };
        if view.versions().any(same) {
            let fixes = view.ranges().filter_map(|range| next_fixed(self.order, &version, range));
            let fixed = fixes.min_by(|a, b| ecosystem::compare(self.order, a, b).unwrap_or(Ordering::Equal));
            return says(state, fixed);
        }
        if unplaced { says(FindingState::Unknown, None) } else { None }
    }

    fn version(&self, view: &AffectedView<'_>) -> Cow<'_, str> {
        let package = self.package;
        let source = by_source(self.ecosystem, package);
        let version = if source { &package.source_version } else { &package.version };
        let lost = package.kind == PackageKind::Rpm
            && self.options.missing_epoch == MissingEpoch::OfAdvisory
            && package.epoch.is_none()
            && !version.contains(':');
        let epoch = || view.ranges().flatten().find_map(|(_, at)| at.split_once(':').map(|(epoch, _)| epoch));
        match lost.then(epoch).flatten() {
            Some(epoch) => Cow::Owned(format!("{epoch}:{version}")),
            None => Cow::Borrowed(version),
        }
    }

    fn arch_matches(&self, view: &AffectedView<'_>) -> bool {
        let arch = self.package.arch.as_str();
        let anywhere = |named: &str| matches!(named, "noarch" | "all" | "any") || named == arch;
        let mut named = view.arches().peekable();
        named.peek().is_none() || matches!(arch, "" | "noarch" | "all") || named.any(anywhere)
    }

    /// A module's package and the one outside of modules have the same name and unrelated versions.
    fn module_matches(&self, view: &AffectedView<'_>) -> bool {
        if self.package.kind != PackageKind::Rpm {
            return true;
        }
        let marked = |version: &str| version.contains(".module");
        let entry = !view.module.is_empty()
            || view.ranges().flatten().any(|(_, at)| marked(at))
            || view.versions().any(marked);
        let own = self.package.module_stream();
        if entry != (!own.is_empty() || marked(&self.package.version)) {
            return false;
        }
        let named = view.module.splitn(3, ':').take(2).collect::<Vec<_>>().join(":");
        named.is_empty() || own.is_empty() || named == own
    }
}
