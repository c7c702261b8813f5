//! One advisory in the OSV schema (ossf.github.io/osv-schema, 1.7), brought to the form the index keeps.
//!
//! Does not read YAML or vendor formats. Fields konzert does not use are ignored; a wrong type in a field it uses is
//! an error that names the advisory.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Severity, cvss};

/// Longest single advisory.
const MAX_BYTES: usize = 16 << 20;
/// Longest id, package name or version that is believed.
const MAX_FIELD: usize = 1024;
/// Most affected entries, aliases, ranges, events or versions of one advisory.
const MAX_LIST: usize = 50_000;

/// Why a file is no advisory.
#[derive(Debug, thiserror::Error)]
pub enum AdvisoryError {
    /// Not JSON, or a field of the wrong type.
    #[error("{name}: not an OSV advisory")]
    Syntax {
        /// File or archive entry.
        name: String,
        /// What the parser met, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// A field OSV requires is missing or impossible.
    #[error("{name}: not an OSV advisory: field {field}: {problem}")]
    Field {
        /// File or archive entry.
        name: String,
        /// Path of the field.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Over the size limit.
    #[error("{name}: larger than {MAX_BYTES} bytes")]
    TooLarge {
        /// File or archive entry.
        name: String,
    },
}

/// An advisory as the index keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advisory {
    /// Id as published.
    pub id: String,
    /// The same vulnerability under other ids (`aliases`, `upstream`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Ids that a vendor notice covers without being the same (`related`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<String>,
    /// Last change.
    pub modified: Timestamp,
    /// Withdrawn advisories are kept, so that a later import can overrule, but never match.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withdrawn: bool,
    /// One line for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Vendor's word first, then CVSS.
    pub severity: Severity,
    /// Which packages, in which versions.
    pub affected: Vec<Affected>,
}

impl Advisory {
    /// Every id under which somebody may ask for this advisory.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.id).chain(&self.aliases).chain(&self.related).map(String::as_str)
    }
}

/// One affected package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Affected {
    /// Ecosystem with release, `Debian:12`.
    pub ecosystem: String,
    /// Source package for dpkg and apk ecosystems.
    pub package: String,
    /// Version ranges; a version in any of them is affected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Range>,
    /// Versions that are affected whatever the ranges say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub versions: Vec<String>,
    /// Severity for this package, where the vendor gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
}

/// The events of one range in published order.
pub type Range = Vec<Bound>;

/// One event of a range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Affected from here; `0` means from the beginning.
    Introduced(String),
    /// Not affected from here.
    Fixed(String),
    /// Affected up to and including this version.
    LastAffected(String),
}

impl Bound {
    /// The version of the event.
    pub fn version(&self) -> &str {
        match self {
            Self::Introduced(v) | Self::Fixed(v) | Self::LastAffected(v) => v,
        }
    }
}

#[derive(Deserialize)]
struct Raw {
    id: Option<String>,
    modified: Option<Timestamp>,
    withdrawn: Option<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    aliases: Vec<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    upstream: Vec<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    related: Vec<String>,
    #[serde(default)]
    summary: String,
    #[serde(default, deserialize_with = "absent_or_null")]
    severity: Vec<RawSeverity>,
    #[serde(default, deserialize_with = "absent_or_null")]
    affected: Vec<RawAffected>,
    database_specific: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawSeverity {
    #[serde(default)]
    score: String,
}

#[derive(Deserialize)]
struct RawAffected {
    package: Option<RawPackage>,
    #[serde(default, deserialize_with = "absent_or_null")]
    ranges: Vec<RawRange>,
    #[serde(default, deserialize_with = "absent_or_null")]
    versions: Vec<String>,
    #[serde(default, deserialize_with = "absent_or_null")]
    severity: Vec<RawSeverity>,
    ecosystem_specific: Option<serde_json::Value>,
    database_specific: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawPackage {
    ecosystem: String,
    name: String,
}

#[derive(Deserialize)]
struct RawRange {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "absent_or_null")]
    events: Vec<RawEvent>,
}

#[derive(Deserialize)]
struct RawEvent {
    introduced: Option<String>,
    fixed: Option<String>,
    last_affected: Option<String>,
}

/// Publishers write `null` for an empty list.
fn absent_or_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(input: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::<Vec<T>>::deserialize(input)?.unwrap_or_default())
}

/// Reads one OSV record; `name` is the file it came from, for errors.
pub fn parse_osv(bytes: &[u8], name: &str) -> Result<Advisory, AdvisoryError> {
    if bytes.len() > MAX_BYTES {
        return Err(AdvisoryError::TooLarge { name: name.to_owned() });
    }
    let raw: Raw = serde_json::from_slice(bytes)
        .map_err(|source| AdvisoryError::Syntax { name: name.to_owned(), source })?;
    let reject = |field: &str, problem| AdvisoryError::Field {
        name: name.to_owned(),
        field: field.to_owned(),
        problem,
    };
    let id = raw.id.ok_or_else(|| reject("id", "missing"))?;
    if !is_id(&id) {
        return Err(reject("id", "must be printable ASCII without spaces"));
    }
    let modified = raw.modified.ok_or_else(|| reject("modified", "missing"))?;
    let mut aliases = raw.aliases;
    aliases.extend(raw.upstream);
    for (field, ids) in [("aliases", &mut aliases), ("related", &mut { raw.related.clone() })] {
        if ids.len() > MAX_LIST || ids.iter().any(|alias| !is_id(alias)) {
            return Err(reject(field, "must be a list of ids"));
        }
    }
    aliases.retain(|alias| *alias != id);
    aliases.sort();
    aliases.dedup();
    if raw.affected.len() > MAX_LIST {
        return Err(reject("affected", "too many entries"));
    }
    let mut affected = Vec::with_capacity(raw.affected.len());
    for (index, entry) in raw.affected.into_iter().enumerate() {
        let one = read_affected(entry)
            .map_err(|(field, problem)| reject(&format!("affected[{index}]{field}"), problem))?;
        affected.extend(one);
    }
    let severity = word(raw.database_specific.as_ref()).or_else(|| scored(&raw.severity)).unwrap_or_default();
    let summary = raw.summary.chars().filter(|c| !c.is_control()).take(300).collect();
    let withdrawn = raw.withdrawn.is_some();
    Ok(Advisory { id, aliases, related: raw.related, modified, withdrawn, summary, severity, affected })
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_FIELD && id.bytes().all(|b| b.is_ascii_graphic())
}

type FieldProblem = (&'static str, &'static str);

/// `None` for entries without a package, which name git commits only.
fn read_affected(raw: RawAffected) -> Result<Option<Affected>, FieldProblem> {
    let Some(package) = raw.package else { return Ok(None) };
    let too_long =
        |text: &str| text.is_empty() || text.len() > MAX_FIELD || text.chars().any(char::is_control);
    if too_long(&package.ecosystem) || too_long(&package.name) {
        return Err((".package", "ecosystem and name must be short printable text"));
    }
    if raw.versions.len() > MAX_LIST || raw.versions.iter().any(|v| too_long(v)) {
        return Err((".versions", "must be a list of versions"));
    }
    let mut ranges = Vec::new();
    for range in raw.ranges.into_iter().filter(|r| r.kind != "GIT") {
        if range.events.len() > MAX_LIST {
            return Err((".ranges", "too many events"));
        }
        let mut bounds = Vec::with_capacity(range.events.len());
        for event in range.events {
            let events = [
                event.introduced.map(Bound::Introduced),
                event.fixed.map(Bound::Fixed),
                event.last_affected.map(Bound::LastAffected),
            ];
            bounds.extend(events.into_iter().flatten());
        }
        if bounds.iter().any(|b| too_long(b.version())) {
            return Err((".ranges", "a version is empty or too long"));
        }
        if !bounds.is_empty() && !bounds.iter().any(|b| matches!(b, Bound::Introduced(_))) {
            return Err((".ranges", "a range has no introduced event"));
        }
        ranges.push(bounds);
    }
    let severity = word(raw.ecosystem_specific.as_ref())
        .or_else(|| word(raw.database_specific.as_ref()))
        .or_else(|| scored(&raw.severity));
    Ok(Some(Affected {
        ecosystem: package.ecosystem,
        package: package.name,
        ranges,
        versions: raw.versions,
        severity,
    }))
}

fn word(specific: Option<&serde_json::Value>) -> Option<Severity> {
    let specific = specific?;
    ["severity", "urgency"].iter().find_map(|key| Severity::parse(specific.get(key)?.as_str()?))
}

fn scored(all: &[RawSeverity]) -> Option<Severity> {
    all.iter().filter_map(|s| cvss::severity(&s.score)).max()
}
