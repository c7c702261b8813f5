//! What is wrong with a package: advisories in the OSV schema, an index over them, and the findings of an image.
//!
//! Does no I/O: callers hand over bytes. Which packages an image has is the business of `konzert-packages`.
//!
//! Invariants: withdrawn advisories never match; an advisory without a fixed version matches as unfixed; an ecosystem
//! no advisory speaks of is not covered, and silence about it is not safety; sizes and counts are bounded.
#![forbid(unsafe_code)]

mod cvss;
mod database;
mod finding;
mod osv;

pub use database::{Coverage, Database, DatabaseError};
pub use finding::{Finding, FindingState, findings};
pub use osv::{Advisory, AdvisoryError, Affected, Bound, Range, parse_osv};

use serde::{Deserialize, Serialize};

/// How bad it is, in ascending order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No source says.
    #[default]
    Unknown,
    /// CVSS below 4.0, or the vendor's `low`, `negligible`, `unimportant`.
    Low,
    /// CVSS from 4.0.
    Medium,
    /// CVSS from 7.0.
    High,
    /// CVSS from 9.0.
    Critical,
}

impl Severity {
    /// The word as printed and as taken by `--fail-on`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// A vendor's word for it.
    pub fn parse(word: &str) -> Option<Self> {
        match word.trim().to_ascii_lowercase().as_str() {
            "critical" => Some(Self::Critical),
            "high" | "important" => Some(Self::High),
            "medium" | "moderate" => Some(Self::Medium),
            "low" | "negligible" | "unimportant" | "minor" => Some(Self::Low),
            _ => None,
        }
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests;
