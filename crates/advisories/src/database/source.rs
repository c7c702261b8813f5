//! Where advisories came from, and whether they are young enough to believe silence.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A publisher's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceKind {
    /// OSV records.
    Osv,
    /// The Debian security tracker.
    DebianTracker,
    /// Alpine's secdb.
    AlpineSecdb,
    /// CISA's known exploited vulnerabilities.
    Kev,
    /// FIRST's exploit prediction scores.
    Epss,
}

impl std::fmt::Display for SourceKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Osv => "an OSV advisory",
            Self::DebianTracker => "the Debian tracker's JSON",
            Self::AlpineSecdb => "an Alpine secdb",
            Self::Kev => "CISA's KEV catalogue",
            Self::Epss => "an EPSS table",
        })
    }
}

/// One import's origin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// Address or absolute path; a second import from there replaces this row.
    pub location: String,
    /// Formats that were found in it.
    pub kinds: Vec<SourceKind>,
    /// The server's `ETag`, to ask whether there is something new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// When it was read last.
    pub imported_at: Timestamp,
    /// When the publisher could have known: the moment of the download, or the newest date in a file and of the file.
    pub as_of: Timestamp,
    /// Newest change of an advisory in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<Timestamp>,
    /// Advisories and priorities read.
    pub records: u64,
    /// Advisories by ecosystem.
    #[serde(default)]
    pub ecosystems: BTreeMap<String, u64>,
}

/// Whether silence about an ecosystem means safety.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// A source covers it and is young enough.
    Fresh,
    /// The source is too old to know of everything.
    Stale {
        /// Where it came from.
        location: String,
        /// As of when it speaks.
        as_of: Timestamp,
    },
    /// No source speaks of it.
    NotCovered,
}

/// The sources that bring much of an ecosystem decide, the youngest of them first; an advisory or two imported by
/// hand make an old feed no younger. Without any record of sources the advisories were given by a program, and are believed.
pub(super) fn trust(sources: &[Source], ecosystem: &str, now: Timestamp, max_age: SignedDuration) -> Trust {
    let count = |source: &Source| source.ecosystems.get(ecosystem).copied().unwrap_or(0);
    let most = sources.iter().map(count).max().unwrap_or(0);
    let main = sources.iter().filter(|s| most > 0 && count(s) >= most.div_ceil(2)).max_by_key(|s| s.as_of);
    match main {
        Some(source) if now.duration_since(source.as_of) > max_age => {
            Trust::Stale { location: source.location.clone(), as_of: source.as_of }
        }
        _ => Trust::Fresh,
    }
}
