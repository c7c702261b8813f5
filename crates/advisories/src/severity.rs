//! How bad a vulnerability is, in the words of vendors.
//!
//! Does not score vectors; see `cvss`.

use serde::{Deserialize, Serialize};

/// How bad it is, in ascending order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// No source says.
    #[default]
    Unknown,
    /// The vendor says that it does not matter: Ubuntu's `negligible`, Debian's `unimportant`.
    Negligible,
    /// CVSS below 4.0, or the vendor's `low`.
    Low,
    /// CVSS from 4.0.
    Medium,
    /// CVSS from 7.0.
    High,
    /// CVSS from 9.0.
    Critical,
}

impl Severity {
    const ALL: [Self; 6] =
        [Self::Unknown, Self::Negligible, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word as printed and as taken by `--fail-on`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Negligible => "negligible",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// Whether a finding of this severity counts for a threshold. One that nobody has rated may be anything, so that it counts
    /// for the lowest thresholds; `unknown` as a threshold is everything.
    pub fn reaches(self, threshold: Self) -> bool {
        self >= threshold || (self == Self::Unknown && threshold <= Self::Low)
    }

    /// A vendor's word for it; `None` for words that say nothing, such as Debian's `not yet assigned`.
    pub fn parse(word: &str) -> Option<Self> {
        // Debian marks automatic urgencies with asterisks.
        match word.trim().trim_end_matches('*').to_ascii_lowercase().as_str() {
            "critical" => Some(Self::Critical),
            "high" | "important" => Some(Self::High),
            "medium" | "moderate" => Some(Self::Medium),
            "low" | "minor" => Some(Self::Low),
            "negligible" | "unimportant" => Some(Self::Negligible),
            _ => None,
        }
    }

    /// Its place in the file format.
    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_rated_counts_for_the_lowest_thresholds() {
        let counted = |threshold: Severity| -> Vec<&str> {
            Severity::ALL.into_iter().filter(|one| one.reaches(threshold)).map(Severity::as_str).collect()
        };
        assert_eq!(
            counted(Severity::Unknown),
            ["unknown", "negligible", "low", "medium", "high", "critical"]
        );
        assert_eq!(counted(Severity::Low), ["unknown", "low", "medium", "high", "critical"]);
        assert_eq!(counted(Severity::Medium), ["medium", "high", "critical"]);
        assert_eq!(counted(Severity::Critical), ["critical"]);
    }
}
