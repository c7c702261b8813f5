//! What is in an image: package databases read from layers, one file per format, and the version orders of ecosystems.
//!
//! Does no I/O: a caller hands over the files that [`wanted`] names, layer by layer, and gets a [`Catalogue`] back.
//!
//! Invariants: a file that cannot be read in full makes the catalogue incomplete and is named in a warning; sizes and
//! counts are bounded by the constants of [`limits`]; a new format is a new file and one row in [`formats::FORMATS`].
#![forbid(unsafe_code)]

mod apk;
mod distribution;
mod dpkg;
pub mod formats;
mod layers;
pub mod limits;
mod package;
pub mod version;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use distribution::Distribution;
pub use formats::{Format, wanted};
pub use package::{Package, PackageClass, PackageKind};

/// The files of one layer that matter for a catalogue, lowest layer first when in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerFiles {
    /// `DiffID` of the layer, `sha256:<hex>`.
    pub diff_id: String,
    /// Path without leading slash → content, for paths that [`wanted`] accepts.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Paths that the layer removes from the ones below (OCI whiteouts).
    pub removed: Vec<String>,
    /// Directories whose content below is hidden (OCI opaque whiteouts).
    pub opaque: Vec<String>,
    /// What could not be read, for example a file over its size limit.
    pub warnings: Vec<String>,
}

/// Everything found in an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Catalogue {
    /// The distribution, when an os-release file names one.
    pub distribution: Option<Distribution>,
    /// Packages sorted by name.
    pub packages: Vec<Package>,
    /// What could not be read or looks wrong.
    pub warnings: Vec<String>,
    /// False when something could not be read: silence then says nothing.
    pub complete: bool,
}

/// Reads the package databases of an image from its layers, lowest first.
pub fn catalogue(layers: &[LayerFiles]) -> Catalogue {
    let merged = layers::merge(layers);
    let distribution = distribution::detect(&merged);
    let ecosystem = distribution.as_ref().map(Distribution::ecosystem).unwrap_or_default();
    let mut out = Catalogue { distribution, complete: true, ..Catalogue::default() };
    for layer in layers {
        out.warnings.extend(layer.warnings.iter().cloned());
    }
    for (path, content) in &merged {
        let Some(row) = formats::format_of(path) else { continue };
        let found = (row.parse)(path, content);
        out.warnings.extend(found.warnings);
        for mut package in found.packages {
            package.ecosystem.clone_from(&ecosystem);
            out.packages.push(package);
        }
    }
    if out.packages.len() > limits::MAX_PACKAGES {
        out.warnings.push(format!("more than {} packages: the rest was left out", limits::MAX_PACKAGES));
        out.packages.truncate(limits::MAX_PACKAGES);
    }
    layers::attribute(layers, &mut out.packages);
    out.packages.sort_by(|a, b| (&a.name, &a.version, &a.arch).cmp(&(&b.name, &b.version, &b.arch)));
    out.packages.dedup_by(|a, b| a.name == b.name && a.version == b.version && a.arch == b.arch);
    out.complete = out.warnings.is_empty();
    out
}

#[cfg(test)]
mod tests;
