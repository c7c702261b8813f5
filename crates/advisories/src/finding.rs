//! What is wrong in an image: every package against the advisories of its ecosystem.
//!
//! dpkg and apk are matched by source package and source version, because that is what Debian's and Alpine's advisories name.

use std::cmp::Ordering;

use konzert_packages::version::VersionOrder as Order;
use konzert_packages::{Catalogue, Package};
use serde::{Deserialize, Serialize};

use crate::{Advisory, Affected, Bound, Database, Severity};

/// One advisory that applies to one package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Advisory id as published.
    pub advisory: String,
    /// The same vulnerability under other ids, and ids the notice covers.
    pub aliases: Vec<String>,
    /// Installed package.
    pub package: String,
    /// Installed version.
    pub installed: String,
    /// Smallest fixed version above the installed one, in terms of the source package; `None` when there is none yet.
    pub fixed: Option<String>,
    /// What the source says.
    pub state: FindingState,
    /// How bad it is.
    pub severity: Severity,
    /// Layer that brought the package in.
    pub layer: usize,
    /// One line for people.
    pub summary: String,
}

/// State of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// The installed version is affected.
    Affected,
    /// The installed version cannot be placed in the order of the advisory: look by hand.
    Unknown,
}

impl FindingState {
    /// The word as printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Affected => "affected",
            Self::Unknown => "unknown",
        }
    }
}

/// Matches every package of a catalogue, worst first.
pub fn findings(database: &Database, catalogue: &Catalogue) -> Vec<Finding> {
    let mut found: Vec<Finding> =
        catalogue.packages.iter().flat_map(|package| match_package(database, package)).collect();
    found.sort_by(|a, b| {
        b.severity.cmp(&a.severity).then_with(|| (&a.package, &a.advisory).cmp(&(&b.package, &b.advisory)))
    });
    found
}

fn match_package<'a>(database: &'a Database, package: &'a Package) -> impl Iterator<Item = Finding> + 'a {
    database.about(&package.ecosystem, &package.source_name).filter_map(move |advisory| {
        let mut entries = advisory
            .affected
            .iter()
            .filter(|a| a.ecosystem == package.ecosystem && a.package == package.source_name);
        let hit = entries.find_map(|entry| verdict(entry, package))?;
        Some(describe(advisory, package, &hit))
    })
}

struct Hit<'a> {
    state: FindingState,
    fixed: Option<&'a str>,
    severity: Option<Severity>,
}

fn describe(advisory: &Advisory, package: &Package, hit: &Hit<'_>) -> Finding {
    Finding {
        advisory: advisory.id.clone(),
        aliases: advisory.ids().skip(1).map(str::to_owned).collect(),
        package: package.name.clone(),
        installed: package.version.clone(),
        fixed: hit.fixed.map(str::to_owned),
        state: hit.state,
        severity: hit.severity.unwrap_or(advisory.severity),
        layer: package.layer,
        summary: advisory.summary.clone(),
    }
}

fn verdict<'a>(entry: &'a Affected, package: &Package) -> Option<Hit<'a>> {
    let order = package.order();
    let version = package.source_version.as_str();
    let hit = |state, fixed| Some(Hit { state, fixed, severity: entry.severity });
    if entry.ranges.is_empty() && entry.versions.is_empty() {
        return hit(FindingState::Affected, None);
    }
    let mut unplaced = false;
    for range in &entry.ranges {
        match in_range(order, version, range) {
            Placed::Inside { fixed } => return hit(FindingState::Affected, fixed),
            Placed::Unknown => unplaced = true,
            Placed::Outside => {}
        }
    }
    if entry.versions.iter().any(|listed| listed == version) {
        let fixed = entry.ranges.iter().find_map(|range| next_fixed(order, version, range));
        return hit(FindingState::Affected, fixed);
    }
    if unplaced { hit(FindingState::Unknown, None) } else { None }
}

enum Placed<'a> {
    Inside { fixed: Option<&'a str> },
    Outside,
    Unknown,
}

/// OSV schema, "Evaluation": walks the events in version order and remembers whether the version is inside.
fn in_range<'a>(order: Order, version: &str, range: &'a [Bound]) -> Placed<'a> {
    let mut events: Vec<&Bound> = range.iter().collect();
    let mut sortable = true;
    events.sort_by(|a, b| {
        compare_bounds(order, a, b).unwrap_or_else(|| {
            sortable = false;
            Ordering::Equal
        })
    });
    if !sortable {
        return Placed::Unknown;
    }
    let mut inside = false;
    for event in events {
        let at = match event {
            Bound::Introduced(v) if v == "0" => Ordering::Greater,
            _ => match compare(order, version, event.version()) {
                Some(at) => at,
                None => return Placed::Unknown,
            },
        };
        match event {
            Bound::Introduced(_) if at != Ordering::Less => inside = true,
            Bound::Fixed(_) if at != Ordering::Less => inside = false,
            Bound::LastAffected(_) if at == Ordering::Greater => inside = false,
            _ => {}
        }
    }
    if inside { Placed::Inside { fixed: next_fixed(order, version, range) } } else { Placed::Outside }
}

/// `0` comes before every version, and of equal versions an end comes before a new beginning.
fn compare_bounds(order: Order, a: &Bound, b: &Bound) -> Option<Ordering> {
    let start = |bound: &Bound| matches!(bound, Bound::Introduced(v) if v == "0");
    match (start(a), start(b)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (false, false) => {
            let begins = |bound: &Bound| matches!(bound, Bound::Introduced(_));
            compare(order, a.version(), b.version()).map(|o| o.then_with(|| begins(a).cmp(&begins(b))))
        }
    }
}

fn next_fixed<'a>(order: Order, version: &str, range: &'a [Bound]) -> Option<&'a str> {
    let fixes = range.iter().filter_map(|bound| match bound {
        Bound::Fixed(v) if compare(order, v, version) == Some(Ordering::Greater) => Some(v.as_str()),
        _ => None,
    });
    fixes.min_by(|a, b| compare(order, a, b).unwrap_or(Ordering::Equal))
}

fn compare(order: Order, a: &str, b: &str) -> Option<Ordering> {
    order.compare(a, b).ok()
}
