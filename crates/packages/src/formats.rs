//! The table of package database formats: which paths each one reads, and which function parses them.
//!
//! Does not read layers; see `layers`. A new format is a new file and one row here.

use serde::{Deserialize, Serialize};

use crate::{Package, apk, distribution, dpkg, limits};

/// A package database format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Debian and its children: `status` and `status.d`.
    #[default]
    Dpkg,
    /// Alpine and its children: `installed`.
    Apk,
}

/// One row of the format table.
pub struct FormatRow {
    /// The format.
    pub format: Format,
    /// Whether a path (no leading slash) belongs to the format.
    pub owns: fn(&str) -> bool,
    /// Parses one file of the format.
    pub parse: fn(path: &str, content: &[u8]) -> Parsed,
}

/// What a parser found in one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    /// The packages, ecosystem and layer still unset.
    pub packages: Vec<Package>,
    /// What could not be understood, bounded by [`limits::MAX_WARNINGS`].
    pub warnings: Vec<String>,
}

impl Parsed {
    /// Adds a warning unless there are enough of them already.
    pub fn warn(&mut self, text: String) {
        match self.warnings.len() {
            n if n < limits::MAX_WARNINGS => self.warnings.push(text),
            n if n == limits::MAX_WARNINGS => self.warnings.push("more warnings were left out".to_owned()),
            _ => {}
        }
    }
}

/// Every format konzert reads.
pub const FORMATS: &[FormatRow] = &[
    FormatRow { format: Format::Dpkg, owns: dpkg::owns, parse: dpkg::parse },
    FormatRow { format: Format::Apk, owns: apk::owns, parse: apk::parse },
];

/// The row that reads `path`, if any.
pub fn format_of(path: &str) -> Option<&'static FormatRow> {
    FORMATS.iter().find(|row| (row.owns)(path))
}

/// Whether a scanner must hand over this path (no leading slash).
pub fn wanted(path: &str) -> bool {
    distribution::owns(path) || format_of(path).is_some()
}
