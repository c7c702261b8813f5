//! The publishers' formats: one file each, told apart by content, read into one model.
//!
//! A new format is a new file and one row of [`SOURCES`]. Does no I/O and opens no archives; callers hand over one file's
//! bytes and its name, which errors repeat together with the field or line that is wrong.

mod debian;
mod detect;
mod epss;
mod kev;
mod osv;
mod secdb;

use crate::priority::{CveKey, Epss, KnownExploited};
use crate::{Advisory, SourceKind};

pub use detect::detect;
pub(crate) use epss::FEED as EPSS_FEED;
pub(crate) use kev::FEED as KEV_FEED;
pub use osv::parse_osv;

/// Longest id, package name or version that is believed.
pub(crate) const MAX_FIELD: usize = 1024;
/// Most affected entries, aliases, ranges, events or versions of one advisory.
pub(crate) const MAX_LIST: usize = 50_000;

/// Why a file is no advisory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdvisoryError {
    /// Not JSON, or a field of the wrong type.
    #[error("{name}: not {kind}")]
    Json {
        /// File or archive entry.
        name: String,
        /// What it should be.
        kind: SourceKind,
        /// What the parser met, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// Not YAML, or a field of the wrong type.
    #[error("{name}: not {kind}")]
    Yaml {
        /// File or archive entry.
        name: String,
        /// What it should be.
        kind: SourceKind,
        /// What the parser met, with line and column.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// A required field is missing or impossible.
    #[error("{name}: not {kind}: field {field}: {problem}")]
    Field {
        /// File or archive entry.
        name: String,
        /// What it should be.
        kind: SourceKind,
        /// Path of the field.
        field: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A line is missing something or impossible.
    #[error("{name}: not {kind}: line {line}: {problem}")]
    Line {
        /// File or archive entry.
        name: String,
        /// What it should be.
        kind: SourceKind,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Over the size limit.
    #[error("{name}: {kind} of more than {limit} bytes")]
    TooLarge {
        /// File or archive entry.
        name: String,
        /// What it should be.
        kind: SourceKind,
        /// The limit.
        limit: usize,
    },
    /// None of the formats.
    #[error("{name}: no advisory format that this program knows")]
    Unrecognised {
        /// File or archive entry.
        name: String,
    },
}

/// What a file says, one thing at a time.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// An advisory.
    Advisory(Box<Advisory>),
    /// A vulnerability is exploited in the wild.
    Exploited(CveKey, KnownExploited),
    /// How likely a vulnerability is exploited.
    Likely(CveKey, Epss),
}

/// What a file is read as, and where what it says goes.
pub struct Reading<'a> {
    /// File or archive entry.
    pub name: &'a str,
    /// Takes what is read.
    pub sink: &'a mut dyn FnMut(Item),
}

impl std::fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reading").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What a whole file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// Feeds of which the file holds everything: advisories of them that it does not name are gone.
    pub snapshot_of: Vec<String>,
}

/// One row of the format table.
pub struct SourceRow {
    /// The format.
    pub kind: SourceKind,
    /// Largest file.
    pub max_bytes: usize,
    /// Reads one file.
    pub parse: fn(&[u8], &mut Reading<'_>) -> Result<FileFacts, AdvisoryError>,
}

/// Every format konzert reads.
pub const SOURCES: &[SourceRow] = &[
    SourceRow { kind: SourceKind::Osv, max_bytes: 16 << 20, parse: osv::parse },
    SourceRow { kind: SourceKind::DebianTracker, max_bytes: 512 << 20, parse: debian::parse },
    SourceRow { kind: SourceKind::AlpineSecdb, max_bytes: 64 << 20, parse: secdb::parse },
    SourceRow { kind: SourceKind::Kev, max_bytes: 64 << 20, parse: kev::parse },
    SourceRow { kind: SourceKind::Epss, max_bytes: 256 << 20, parse: epss::parse },
];

/// The row of a format.
pub fn row(kind: SourceKind) -> &'static SourceRow {
    SOURCES.iter().find(|row| row.kind == kind).expect("every kind has a row")
}

/// Reads one file of whatever format it is; returns which.
pub fn parse(bytes: &[u8], reading: &mut Reading<'_>) -> Result<(SourceKind, FileFacts), AdvisoryError> {
    let Some(kind) = detect(bytes) else {
        return Err(AdvisoryError::Unrecognised { name: reading.name.to_owned() });
    };
    let row = row(kind);
    if bytes.len() > row.max_bytes {
        return Err(AdvisoryError::TooLarge { name: reading.name.to_owned(), kind, limit: row.max_bytes });
    }
    (row.parse)(bytes, reading).map(|facts| (kind, facts))
}

/// Deserializes JSON, or YAML when the text does not begin as JSON does.
fn document<T: serde::de::DeserializeOwned>(
    bytes: &[u8],
    name: &str,
    kind: SourceKind,
) -> Result<T, AdvisoryError> {
    if detect::is_json(bytes) {
        return serde_json::from_slice(bytes).map_err(|source| AdvisoryError::Json {
            name: name.to_owned(),
            kind,
            source,
        });
    }
    // A record with thousands of listed versions is honest; a bomb is not.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 64,
            max_nodes: 4_000_000,
            max_events: 8_000_000,
        },
        with_snippet: false,
    };
    serde_saphyr::from_slice_with_options(bytes, options).map_err(|source| AdvisoryError::Yaml {
        name: name.to_owned(),
        kind,
        source: Box::new(source),
    })
}

/// Whether a text may be an id.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_FIELD && id.bytes().all(|b| b.is_ascii_graphic())
}

/// Whether a text may be a name or version.
fn is_short(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_FIELD && !text.chars().any(char::is_control)
}
