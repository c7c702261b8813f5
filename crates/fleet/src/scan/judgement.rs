//! Whether silence about an image means safety: complete, partial or unknown, and why.
//!
//! Pure: what the image has, how far the advisories of each ecosystem can be trusted, and the time come in. Rules, strictest
//! first: nothing found, no advisories, an ecosystem without a source or with one that is too old, a release past its end
//! of life, distribution packages of an unknown distribution → unknown; a file that could not be read, packages of which
//! nobody speaks, a distribution without its package database → partial. An image of language packages alone needs no
//! distribution.

use std::collections::{BTreeMap, HashSet};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use konzert_advisories::{Source, Trust};
use konzert_api::own::ReportState;
use konzert_packages::{Catalogue, Distribution, Package, PackageClass, PackageKind, Support, lists_unfixed};

/// Reasons that are listed; a catalogue may have a hundred warnings.
const MAX_REASONS: usize = 20;
/// Names in one reason.
const MAX_NAMES: usize = 3;

/// What of an image decides how far its findings can be trusted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subject {
    distribution: Option<Distribution>,
    /// Of the distribution; empty when unknown.
    ecosystem: String,
    /// The distribution's packages.
    os_packages: usize,
    /// Packages of languages by ecosystem, without those that are the distribution's business.
    languages: BTreeMap<String, usize>,
    /// Packages of no ecosystem.
    generic: Vec<String>,
    /// Packages of the distribution's kind from elsewhere.
    third_party: Vec<String>,
    packages: usize,
    warnings: Vec<String>,
    complete: bool,
}

impl Subject {
    pub(crate) fn of(catalogue: &Catalogue) -> Self {
        let own = catalogue.distribution.as_ref().map(Distribution::ecosystem).unwrap_or_default();
        // Matching leaves what these own to the distribution's feed.
        let owners = catalogue.packages.iter().filter(|p| lists_unfixed(&own) && is_own(p));
        let answering: HashSet<&str> = owners.map(|p| p.name.as_str()).collect();
        let mut subject = Self {
            distribution: catalogue.distribution.clone(),
            ecosystem: own,
            packages: catalogue.packages.len(),
            warnings: catalogue.warnings.iter().take(MAX_REASONS).cloned().collect(),
            complete: catalogue.complete,
            ..Self::default()
        };
        for package in &catalogue.packages {
            subject.add(package, &answering);
        }
        subject
    }

    fn add(&mut self, package: &Package, answering: &HashSet<&str>) {
        let owner = package.owned_by.as_deref();
        match package.class() {
            PackageClass::Os if package.third_party => self.third_party.push(package.name.clone()),
            PackageClass::Os => self.os_packages += 1,
            PackageClass::Language if owner.is_some_and(|owner| answering.contains(owner)) => {}
            PackageClass::Language
                if package.kind == PackageKind::Generic && package.ecosystem.is_empty() =>
            {
                self.generic.push(package.name.clone());
            }
            // The image's own program: no registry has it.
            PackageClass::Language if package.ecosystem.is_empty() => {}
            PackageClass::Language => *self.languages.entry(package.ecosystem.clone()).or_default() += 1,
        }
    }

    /// The distribution as people read it; empty when unknown.
    pub(crate) fn distribution(&self) -> String {
        self.distribution.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    pub(crate) fn packages(&self) -> usize {
        self.packages
    }

    /// When time alone may change the judgement of the distribution.
    pub(crate) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let until = match self.distribution.as_ref()?.support(now) {
            Support::Supported { until } | Support::Extended { until } => until,
            Support::Ended { .. } | Support::Rolling | Support::Unknown => return None,
        };
        let after = until.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(after.timestamp())
    }
}

fn is_own(package: &Package) -> bool {
    package.class() == PackageClass::Os && !package.third_party
}

/// When the first of some sources becomes too old.
pub(crate) fn next_stale(sources: &[Source], max_age: SignedDuration, now: Timestamp) -> Option<Timestamp> {
    let at = sources.iter().filter_map(|source| source.as_of.checked_add(max_age).ok());
    // A source is too old when it is older, not when it is as old.
    at.filter(|at| *at >= now).min().and_then(|at| at.checked_add(SignedDuration::from_secs(1)).ok())
}

/// What is known of the advisories.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) any_advisories: bool,
    /// How far the advisories of an ecosystem can be trusted now.
    pub(crate) trust: &'a (dyn Fn(&str) -> Trust + Sync),
    pub(crate) now: Timestamp,
}

/// State and reasons; no reasons only when the state is complete.
pub(crate) fn judge(subject: &Subject, known: Known<'_>) -> (ReportState, Vec<String>) {
    let unknown = |reason: String| (ReportState::Unknown, vec![reason]);
    if subject.packages == 0 {
        return match subject.warnings.first() {
            Some(warning) => unknown(warning.clone()),
            None => unknown("no package database was found in the image".to_owned()),
        };
    }
    if !known.any_advisories {
        return unknown("no advisories were imported".to_owned());
    }
    let mut reasons = silent(subject, known);
    let state = if reasons.is_empty() { ReportState::Partial } else { ReportState::Unknown };
    reasons.extend(missing(subject));
    if reasons.is_empty() {
        return (ReportState::Complete, reasons);
    }
    if reasons.len() > MAX_REASONS {
        let more = reasons.len() - MAX_REASONS + 1;
        reasons.truncate(MAX_REASONS - 1);
        reasons.push(format!("and {more} more reasons"));
    }
    (state, reasons)
}

/// Why silence of the advisories says nothing.
fn silent(subject: &Subject, known: Known<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    match &subject.distribution {
        None if subject.os_packages > 0 => reasons.push("the distribution is not known".to_owned()),
        None => {}
        Some(distribution) if subject.ecosystem.is_empty() && subject.os_packages > 0 => {
            reasons.push(format!("no advisories are known for {distribution}"));
        }
        Some(_) if subject.ecosystem.is_empty() => {}
        Some(distribution) => {
            reasons.extend(untrusted(&subject.ecosystem, known));
            if let Support::Ended { since } = distribution.support(known.now) {
                reasons.push(format!("{distribution} has had no security fixes since {since}"));
            }
        }
    }
    for ecosystem in subject.languages.keys() {
        reasons.extend(untrusted(ecosystem, known));
    }
    reasons
}

fn untrusted(ecosystem: &str, known: Known<'_>) -> Option<String> {
    match (known.trust)(ecosystem) {
        Trust::Fresh => None,
        Trust::NotCovered => Some(format!("no advisory source covers {ecosystem}")),
        Trust::Stale { location, as_of } => {
            Some(format!("the advisories for {ecosystem} are too old: {location} speaks as of {as_of}"))
        }
    }
}

/// What was not read, or is spoken of by nobody.
fn missing(subject: &Subject) -> Vec<String> {
    let mut reasons = Vec::new();
    if !subject.complete {
        reasons.extend(subject.warnings.iter().cloned());
        if subject.warnings.is_empty() {
            reasons.push("not all of the image could be read".to_owned());
        }
    }
    if let Some(distribution) = &subject.distribution
        && subject.os_packages == 0
        && subject.third_party.is_empty()
    {
        reasons.push(format!("the package database of {distribution} was not found in the image"));
    }
    if !subject.third_party.is_empty() {
        let names = named(&subject.third_party);
        reasons.push(format!("not from the distribution, whose advisories do not speak of it: {names}"));
    }
    if !subject.generic.is_empty() {
        reasons.push(format!("of no ecosystem that advisories speak of: {}", named(&subject.generic)));
    }
    reasons
}

fn named(names: &[String]) -> String {
    let shown = names.iter().take(MAX_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
#[path = "judgement/tests.rs"]
mod tests;
