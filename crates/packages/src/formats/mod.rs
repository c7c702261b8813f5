//! The table of package formats: which files each one reads, and which function parses them.
//!
//! Does not read layers; see `cataloguer`. A new format is a new file and one row here.

mod apk;
mod artifact;
mod composer;
mod cyclonedx;
mod dotnet;
mod dpkg;
mod gem;
pub(crate) mod go;
pub(crate) mod jar;
mod node;
mod python;
pub(crate) mod rpm;
pub(crate) mod rust;
mod spdx;
mod text;

pub(crate) use python::normalised as python_name;

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::elf::Elf;
use crate::facts::FileFacts;
use crate::limits;

/// A format of files that prove packages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Debian and its children: `status` and `status.d`.
    #[default]
    Dpkg,
    /// Alpine and its children: `installed`.
    Apk,
    /// rpm's database in any of its three containers, and Mariner's manifest.
    Rpm,
    /// `dist-info` and `egg-info`.
    Python,
    /// `package.json` under `node_modules`.
    Node,
    /// Build information of Go executables.
    Go,
    /// `cargo auditable` executables.
    CargoAuditable,
    /// `Cargo.lock`.
    CargoLock,
    /// jar, war, ear and par archives.
    Jar,
    /// gemspecs of installed gems.
    Gem,
    /// `installed.json` of composer.
    Composer,
    /// `deps.json` of .NET.
    Dotnet,
    /// SPDX documents.
    Spdx,
    /// `CycloneDX` documents.
    CycloneDx,
}

impl Format {
    /// A document somebody wrote about packages, rather than what installed them.
    pub fn is_document(self) -> bool {
        matches!(self, Self::Spdx | Self::CycloneDx)
    }

    /// The database of a distribution's package manager.
    pub fn is_database(self) -> bool {
        matches!(self, Self::Dpkg | Self::Apk | Self::Rpm)
    }
}

/// How the files of a format are chosen and read. Paths have no leading slash.
pub enum Reading {
    /// Files chosen by path and held whole, up to a limit in bytes.
    Whole {
        /// Whether the format reads this path.
        owns: fn(&str) -> bool,
        /// Longest file.
        limit: u64,
        /// Parses one file.
        parse: fn(path: &str, content: &[u8]) -> FileFacts,
    },
    /// Files chosen by path and read once from front to back.
    Stream {
        /// Whether the format reads this path.
        owns: fn(&str) -> bool,
        /// Parses one file.
        parse: fn(path: &str, size: u64, content: &mut dyn Read) -> FileFacts,
    },
    /// Executables, chosen by their first bytes.
    Elf {
        /// Parses one file.
        parse: fn(path: &str, elf: &Elf) -> FileFacts,
    },
}

/// One row of the format table.
pub struct FormatRow {
    /// The format.
    pub format: Format,
    /// How its files are read.
    pub reading: Reading,
}

impl FormatRow {
    const fn text(
        format: Format,
        owns: fn(&str) -> bool,
        parse: fn(path: &str, content: &[u8]) -> FileFacts,
    ) -> Self {
        Self { format, reading: Reading::Whole { owns, limit: limits::MAX_FILE_BYTES, parse } }
    }

    fn owns(&self, path: &str) -> bool {
        match self.reading {
            Reading::Whole { owns, .. } | Reading::Stream { owns, .. } => owns(path),
            Reading::Elf { .. } => false,
        }
    }
}

/// Every format konzert reads.
pub const FORMATS: &[FormatRow] = &[
    FormatRow::text(Format::Dpkg, dpkg::owns, dpkg::parse),
    FormatRow::text(Format::Apk, apk::owns, apk::parse),
    FormatRow {
        format: Format::Rpm,
        reading: Reading::Whole { owns: rpm::owns, limit: limits::MAX_DATABASE_BYTES, parse: rpm::parse },
    },
    FormatRow::text(Format::Python, python::owns, python::parse),
    FormatRow::text(Format::Node, node::owns, node::parse),
    FormatRow { format: Format::Go, reading: Reading::Elf { parse: go::parse } },
    FormatRow { format: Format::CargoAuditable, reading: Reading::Elf { parse: rust::parse } },
    FormatRow::text(Format::CargoLock, rust::owns_lock, rust::parse_lock),
    FormatRow { format: Format::Jar, reading: Reading::Stream { owns: jar::owns, parse: jar::parse } },
    FormatRow::text(Format::Gem, gem::owns, gem::parse),
    FormatRow::text(Format::Composer, composer::owns, composer::parse),
    FormatRow::text(Format::Dotnet, dotnet::owns, dotnet::parse),
    FormatRow::text(Format::Spdx, spdx::owns, spdx::parse),
    FormatRow::text(Format::CycloneDx, cyclonedx::owns, cyclonedx::parse),
];

/// The row that reads `path`, if any; executables are told by their content and have none.
pub fn format_of(path: &str) -> Option<&'static FormatRow> {
    FORMATS.iter().find(|row| row.owns(path))
}
