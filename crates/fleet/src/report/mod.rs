//! What a scan found, as one value, and its writers: one file per output format.
//!
//! Pure: bytes come from `looking`, the clock is an argument. Invariants: the same report gives the same bytes; a target of which not everything
//! is known says so in every format; nothing here decides what a finding is.

mod cyclonedx;
mod json;
mod openvex;
mod sarif;
mod spdx;
mod table;

use std::collections::BTreeMap;

use jiff::Timestamp;
use konzert_advisories::ignore::Rule;
use konzert_advisories::{Advisory, Finding, Severity, Source};
use konzert_api::own::ReportState;
use konzert_packages::{Catalogue, Package, Support};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::inventory::RunningContainer;

pub use table::{Section, sections};

/// A format for machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportFormat {
    /// Our own; see `docs/scan-report.md`.
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// `CycloneDX` 1.6 with vulnerabilities.
    CycloneDx,
    /// SPDX 2.3.
    Spdx,
    /// `OpenVEX` 0.2.0.
    OpenVex,
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetKind {
    /// An image of the content store.
    Image,
    /// An image in a layout directory.
    Oci,
    /// An image in an archive.
    Archive,
    /// An image in a registry.
    Registry,
    /// A directory tree.
    Rootfs,
    /// A document.
    Sbom,
}

/// Something that was scanned.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it is.
    pub kind: TargetKind,
    /// What to call it: an image's name, a path.
    pub name: String,
    /// Digest of an image, else empty.
    pub digest: String,
    /// Diff ids of its layers, lowest first.
    pub layers: Vec<String>,
    /// How many of them come from a base that is known; 0 when none is.
    pub base_layers: usize,
    /// Its packages.
    pub catalogue: Catalogue,
    /// Whether its distribution gets fixes.
    pub support: Option<Support>,
    /// Whether silence means safety.
    pub state: ReportState,
    /// Why the state is not complete, and what else to know.
    pub reasons: Vec<String>,
    /// Worst first.
    pub findings: Vec<Finding>,
    /// Findings that VEX or ignores took away.
    pub set_aside: Vec<SetAside>,
    /// Findings in kernel packages that were dropped.
    pub kernel_dropped: usize,
    /// Language packages that were left to the distribution's feed.
    pub owned_by_distribution: usize,
    /// Where it runs.
    pub running: Vec<RunningContainer>,
}

/// A finding somebody decided about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetAside {
    /// The finding.
    pub finding: Finding,
    /// `vex` or `ignore`.
    pub by: &'static str,
    /// The file and line of an ignore; empty for VEX.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub place: String,
    /// Why.
    pub reason: String,
}

/// An ignore rule that did nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IdleRule {
    /// Its file.
    pub file: String,
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
}

/// What was found, and with what.
#[derive(Clone, Debug)]
pub struct Report {
    /// Version of the program.
    pub version: String,
    /// When the scan was made.
    pub scanned_at: Timestamp,
    /// Revision of the advisory database; empty when there is none.
    pub revision: String,
    /// Where its advisories came from.
    pub sources: Vec<Source>,
    /// What was scanned.
    pub targets: Vec<Target>,
    /// The advisories of the findings, by id.
    pub advisories: BTreeMap<String, Advisory>,
    /// Ignore rules that took nothing away.
    pub unused: Vec<IdleRule>,
    /// Ignore rules whose day has passed.
    pub expired: Vec<IdleRule>,
}

impl Report {
    /// The report in a format for machines; `None` where the format cannot say that there is nothing to say (`OpenVEX`
    /// needs a statement).
    pub fn write(&self, format: ReportFormat) -> Option<String> {
        let value = match format {
            ReportFormat::Json => json::value(self),
            ReportFormat::Sarif => sarif::value(self),
            ReportFormat::CycloneDx => cyclonedx::value(self),
            ReportFormat::Spdx => spdx::value(self),
            ReportFormat::OpenVex => openvex::value(self)?,
        };
        Some(format!("{value:#}\n"))
    }

    /// The report as a value, for other notations of the same.
    pub fn to_value(&self) -> serde_json::Value {
        json::value(self)
    }

    /// Whether something is not known.
    pub fn is_unknown(&self) -> bool {
        self.targets.iter().any(|t| t.state != ReportState::Complete)
    }

    /// Every finding.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.targets.iter().flat_map(|t| &t.findings)
    }

    /// Whether something was found that counts for a severity as threshold.
    pub fn reaches(&self, severity: Severity) -> bool {
        self.findings().any(|f| f.severity.reaches(severity))
    }

    /// Everything that several documents are about: the target when there is one, else what they have in common.
    fn subject(&self) -> String {
        match &self.targets[..] {
            [one] => one.name.clone(),
            many => format!("{} images", many.len()),
        }
    }
}

impl Target {
    /// The package of a finding.
    pub fn package_of(&self, finding: &Finding) -> Option<&Package> {
        let same = |p: &&Package| p.name == finding.package && p.version == finding.installed;
        let mut candidates = self.catalogue.packages.iter().filter(same);
        let first = candidates.clone().next();
        candidates.find(|p| p.evidence == finding.evidence).or(first)
    }

    /// `base`, `application`, or empty when nothing is known of the base.
    pub fn origin(&self, layer: usize) -> &'static str {
        match self.base_layers {
            0 => "",
            base if layer < base => "base",
            _ => "application",
        }
    }

    /// Names that VEX statements may use for it.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![self.name.clone()];
        if !self.digest.is_empty() {
            names.extend([self.digest.clone(), self.purl()]);
        }
        names
    }

    /// `pkg:oci/NAME@sha256:…` of an image (purl type `oci`), a generic one of anything else.
    fn purl(&self) -> String {
        let path = self.name.split('@').next().unwrap_or_default();
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let kind = if self.digest.is_empty() { "generic" } else { "oci" };
        let name = if kind == "oci" { last.split(':').next().unwrap_or_default() } else { last };
        let clean: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
            .collect();
        let clean = if clean.is_empty() { "unnamed".to_owned() } else { clean.to_ascii_lowercase() };
        match self.digest.as_str() {
            "" => format!("pkg:{kind}/{clean}"),
            digest => format!("pkg:{kind}/{clean}@{}", digest.replace(':', "%3A")),
        }
    }
}

/// A UUID that stands for some content (RFC 9562, version 8).
fn uuid_of(content: &str) -> String {
    let mut bytes: [u8; 32] = Sha256::digest(content.as_bytes()).into();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = hex::encode(&bytes[..16]);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// A text with a full stop at its end, as SARIF's messages have (section 3.11.3).
fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with('.') { text.to_owned() } else { format!("{text}.") }
}

#[cfg(test)]
mod tests;
