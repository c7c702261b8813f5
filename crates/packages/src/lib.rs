//! What is in an image: package databases, metadata of languages, executables and documents read from layers, one file per
//! format, and the version orders of ecosystems.
//!
//! Opens nothing: a caller pushes the entries of a layer, files as readers, into a [`LayerCataloguer`] and gets
//! [`LayerFacts`], which can be kept by diff id and [`CATALOGUER_VERSION`]; [`catalogue`] lays the facts of an image's layers
//! over each other.
//!
//! Invariants: a file that cannot be read in full makes the catalogue incomplete and is named in a warning; sizes, depths and
//! counts are bounded by the constants of [`limits`]; a new format is a new file and one row in [`formats::FORMATS`].
#![forbid(unsafe_code)]

mod bytes;
mod cataloguer;
mod distribution;
mod document;
mod elf;
mod facts;
pub mod formats;
pub mod fuzz;
pub mod limits;
mod merge;
mod package;
mod purl;
mod vendors;
pub mod version;

use serde::{Deserialize, Serialize};

pub use cataloguer::LayerCataloguer;
pub use distribution::{Distribution, Stage, Support, lists_unfixed};
pub use document::{Document, DocumentError, read_document};
pub use elf::Elf;
pub use facts::{CATALOGUER_VERSION, FileFacts, LayerFacts, Owned, PathSet};
pub use formats::Format;
pub use merge::catalogue;
pub use package::{Package, PackageClass, PackageKind};
pub use purl::PurlError;

/// Whose word counts for language packages that the distribution installed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// The distribution's, where its feed also names what is not fixed.
    #[default]
    Precise,
    /// Everybody's: nothing is left out, and some findings will be false.
    Comprehensive,
}

/// Everything found in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalogue {
    /// The distribution, when a file names one.
    pub distribution: Option<Distribution>,
    /// Packages sorted by name: those to match.
    pub packages: Vec<Package>,
    /// Language packages that belong to a package of the distribution, whose feed covers them. Not to match, but to list.
    #[serde(default)]
    pub suppressed: Vec<Package>,
    /// What could not be read or looks wrong.
    pub warnings: Vec<String>,
    /// False when something could not be read: silence then says nothing.
    pub complete: bool,
}

#[cfg(test)]
mod tests;
