//! One advisory, whoever published it, in the form the database keeps.
//!
//! Invariants of a normalised advisory ([`Advisory::normalised`], the only form that is stored): lists of ids are sorted and free of
//! repetitions; ecosystem and package names are in the form that lookups use; the bounds of a range stand in version order
//! whenever all of them have a place in it; `versions` lists only what no range says already; text is bounded.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cvss::BaseScore;
use crate::range::{Placed, locate};
use crate::{Severity, ecosystem};

/// Longest summary, in characters.
pub(crate) const MAX_SUMMARY: usize = 300;
/// Longest details, in characters.
pub(crate) const MAX_DETAILS: usize = 2000;
/// Most references kept.
pub(crate) const MAX_REFERENCES: usize = 10;

/// An advisory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advisory {
    /// Id as published.
    pub id: String,
    /// Which feed says so: empty for OSV, whose ids are unique; `debian-tracker`, `alpine-secdb:v3.20/main`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub feed: String,
    /// The same vulnerability under other ids.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Vulnerabilities of upstream projects that a vendor's notice is about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upstream: Vec<String>,
    /// Ids that a notice covers or mentions without being the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<String>,
    /// Last change; the epoch when the feed does not say.
    pub modified: Timestamp,
    /// First publication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Timestamp>,
    /// Withdrawn advisories are kept, so that a later import can overrule, but never match.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// The beginning of the full text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
    /// Addresses to read on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Vendor's word first, then CVSS.
    pub severity: Severity,
    /// Base score of `vector`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<BaseScore>,
    /// CVSS v3 vector, else the v4 one; empty when there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub vector: String,
    /// Which packages, in which versions.
    pub affected: Vec<Affected>,
}

/// What a publisher says of a package.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The versions named are affected.
    #[default]
    Affected,
    /// Affected, and the publisher decided against a fix.
    WillNotFix,
    /// Affected, and the fix waits for a better moment.
    Deferred,
    /// Affected, and the release gets no fixes any more.
    EndOfLife,
    /// The publisher does not know yet.
    UnderInvestigation,
    /// Not affected in any version.
    NotAffected,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Affected,
        Self::WillNotFix,
        Self::Deferred,
        Self::EndOfLife,
        Self::UnderInvestigation,
        Self::NotAffected,
    ];

    /// A publisher's word for it.
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().replace(['_', ' '], "-").as_str() {
            "affected" => Some(Self::Affected),
            "will-not-fix" | "wont-fix" | "ignored" => Some(Self::WillNotFix),
            "fix-deferred" | "deferred" | "postponed" => Some(Self::Deferred),
            "end-of-life" | "out-of-support-scope" => Some(Self::EndOfLife),
            "under-investigation" | "undetermined" => Some(Self::UnderInvestigation),
            "not-affected" => Some(Self::NotAffected),
            _ => None,
        }
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// One affected package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// OSV ecosystem with release, `Debian:12`.
    pub ecosystem: String,
    /// Package as the ecosystem's advisories name it: the source package for Debian and Alpine.
    pub package: String,
    /// Version ranges; a version inside any of them is affected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// Versions that are affected besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// What the publisher says of it.
    #[serde(default)]
    pub state: State,
    /// Overrides the advisory's severity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Only on these architectures; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arches: Vec<String>,
    /// rpm module, `name:stream`; empty outside modules.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub module: String,
}

/// The events of one range (OSV schema, `affected[].ranges[].events`).
pub type Range = Vec<Bound>;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bound {
    /// Affected from here on; `0` means from the start.
    Introduced(String),
    /// Not affected any more from here on.
    Fixed(String),
    /// Not affected any more after this.
    LastAffected(String),
    /// Nothing from here on is affected, whatever the other events say.
    Limit(String),
}

impl Bound {
    /// The version of the event.
    pub fn version(&self) -> &str {
        match self {
            Self::Introduced(v) | Self::Fixed(v) | Self::LastAffected(v) | Self::Limit(v) => v,
        }
    }
}

impl Advisory {
    /// An advisory that says nothing yet.
    pub(crate) fn empty(id: &str, feed: &str) -> Self {
        Self {
            id: id.to_owned(),
            feed: feed.to_owned(),
            aliases: Vec::new(),
            upstream: Vec::new(),
            related: Vec::new(),
            modified: Timestamp::UNIX_EPOCH,
            published: None,
            withdrawn: false,
            summary: String::new(),
            details: String::new(),
            references: Vec::new(),
            severity: Severity::Unknown,
            score: None,
            vector: String::new(),
            affected: Vec::new(),
        }
    }

    /// Every id under which somebody may ask for this advisory.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let others = self.aliases.iter().chain(&self.upstream).chain(&self.related);
        std::iter::once(&self.id).chain(others).map(String::as_str)
    }

    /// This advisory with the invariants of the module.
    #[must_use]
    pub fn normalised(mut self) -> Self {
        for list in [&mut self.aliases, &mut self.upstream, &mut self.related] {
            list.retain(|id| *id != self.id);
            list.sort();
            list.dedup();
        }
        self.summary = bounded(&self.summary, MAX_SUMMARY);
        self.details = bounded(&self.details, MAX_DETAILS);
        self.references.retain(|address| !address.is_empty());
        self.references.truncate(MAX_REFERENCES);
        self.modified = to_microseconds(self.modified);
        self.published = self.published.map(to_microseconds);
        for affected in &mut self.affected {
            affected.normalise();
        }
        self
    }
}

impl Affected {
    fn normalise(&mut self) {
        self.ecosystem = ecosystem::canonical(&self.ecosystem);
        self.package = ecosystem::package_name(&self.ecosystem, &self.package).into_owned();
        let order = ecosystem::order(&self.ecosystem);
        for range in &mut self.ranges {
            sort_bounds(order, range);
        }
        let ranges = std::mem::take(&mut self.ranges);
        self.versions.retain(|version| {
            !ranges.iter().any(|range| matches!(locate(order, version, bounds(range)), Placed::Inside { .. }))
        });
        self.ranges = ranges;
        self.versions.sort();
        self.versions.dedup();
        self.arches.sort();
        self.arches.dedup();
    }
}

fn bounded(text: &str, characters: usize) -> String {
    let printable = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.trim().chars().filter(printable).take(characters).collect()
}

fn to_microseconds(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// The bounds of a range as the evaluation takes them.
pub(crate) fn bounds(range: &Range) -> impl Iterator<Item = (Edge, &str)> + Clone {
    range.iter().map(|bound| (Edge::of(bound), bound.version()))
}

/// Kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Introduced,
    Fixed,
    LastAffected,
    Limit,
}

impl Edge {
    pub(crate) fn of(bound: &Bound) -> Self {
        match bound {
            Bound::Introduced(_) => Self::Introduced,
            Bound::Fixed(_) => Self::Fixed,
            Bound::LastAffected(_) => Self::LastAffected,
            Bound::Limit(_) => Self::Limit,
        }
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Introduced, Self::Fixed, Self::LastAffected, Self::Limit].get(usize::from(code)).copied()
    }

    pub(crate) fn with(self, version: &str) -> Bound {
        let version = version.to_owned();
        match self {
            Self::Introduced => Bound::Introduced(version),
            Self::Fixed => Bound::Fixed(version),
            Self::LastAffected => Bound::LastAffected(version),
            Self::Limit => Bound::Limit(version),
        }
    }
}

/// Sorts when every bound has a place. Equal versions stay as published: `introduced 1, last_affected 1` is one version, and
/// `last_affected 1, introduced 1` two ranges that touch.
fn sort_bounds(order: ecosystem::Order, range: &mut Range) {
    let mut sortable = true;
    let mut sorted = range.clone();
    sorted.sort_by(|a, b| {
        compare_bounds(order, a, b).unwrap_or_else(|| {
            sortable = false;
            Ordering::Equal
        })
    });
    if sortable {
        *range = sorted;
    }
}

fn compare_bounds(order: ecosystem::Order, a: &Bound, b: &Bound) -> Option<Ordering> {
    let start = |bound: &Bound| matches!(bound, Bound::Introduced(v) if v == "0");
    match (start(a), start(b)) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (false, false) => ecosystem::compare(order, a.version(), b.version()),
    }
}
