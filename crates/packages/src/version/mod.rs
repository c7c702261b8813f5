//! Version orders of package ecosystems.
//!
//! One order per file. Invariants: every order is total over the versions it accepts; a version that has no place in an order
//! is an error and never a guess; each order is held against the public vectors where they are present, see `tests`.

mod apk;
mod digits;
mod gem;
mod maven;
mod packagist;
mod pypi;
mod rpm;
mod semver;

use std::cmp::Ordering;

use semver::Dialect;

use crate::limits;

/// An order of versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionOrder {
    /// Debian policy 5.6.12.
    Dpkg,
    /// apk-tools.
    Apk,
    /// rpm: `[epoch:]version[-release]`.
    Rpm,
    /// PEP 440, with the older setuptools order for versions outside it.
    Pypi,
    /// Semantic versions as npm reads them.
    Npm,
    /// Semantic versions with `v`, pseudo-versions and `+incompatible`.
    Go,
    /// Semantic versions as cargo reads them.
    Cargo,
    /// Maven's `ComparableVersion`.
    Maven,
    /// `Gem::Version`.
    RubyGems,
    /// `NuGetVersion`: four numbers, case ignored.
    NuGet,
    /// PHP's `version_compare` as composer normalises for it.
    Packagist,
    /// Dart: semantic versions in which build metadata counts.
    Pub,
    /// Semantic versions with Bitnami's revision after the last dash, which is newer than none.
    Bitnami,
    /// Runs of digits and letters, for anything else.
    Generic,
}

/// Why two versions could not be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The order has no place for it.
    #[error("{version:?} is not a version in the order of {order:?}")]
    Unplaced {
        /// The order.
        order: VersionOrder,
        /// The version.
        version: String,
    },
    /// Longer than [`limits::MAX_FIELD_BYTES`].
    #[error("a version of {bytes} bytes is too long")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

impl VersionOrder {
    /// The order of an OSV ecosystem, with or without release: `Debian:12`, `AlmaLinux:9`, `PyPI`.
    pub fn for_ecosystem(ecosystem: &str) -> Option<Self> {
        let name = ecosystem.split(':').next().unwrap_or_default();
        Some(match name {
            "Debian" | "Ubuntu" | "Echo" => Self::Dpkg,
            "Alpine" | "Wolfi" | "Chainguard" | "MinimOS" | "Alpaquita" | "BellSoft Hardened Containers" => {
                Self::Apk
            }
            "AlmaLinux" | "Rocky Linux" | "Red Hat" | "SUSE" | "openSUSE" | "Mageia" | "openEuler"
            | "Azure Linux" | "Photon OS" | "Amazon Linux" | "Oracle Linux" | "Fedora" | "CentOS"
            | "TuxCare" => Self::Rpm,
            "PyPI" => Self::Pypi,
            "npm" | "SwiftURL" | "GitHub Actions" | "Hex" => Self::Npm,
            "Bitnami" => Self::Bitnami,
            "Go" => Self::Go,
            "crates.io" => Self::Cargo,
            "Maven" => Self::Maven,
            "RubyGems" => Self::RubyGems,
            "NuGet" => Self::NuGet,
            "Packagist" => Self::Packagist,
            "Pub" => Self::Pub,
            _ => return None,
        })
    }

    /// Compares two versions.
    pub fn compare(self, a: &str, b: &str) -> Result<Ordering, VersionError> {
        self.usable(a)?;
        self.usable(b)?;
        Ok(match self {
            Self::Dpkg => deb_version::compare_versions(a, b),
            Self::Apk => apk::compare(a, b),
            Self::Rpm => rpm::compare(a, b),
            Self::Generic => rpm::parts(a, b),
            Self::Pypi => pypi::compare(a, b),
            Self::Maven => maven::compare(a, b),
            Self::Packagist => packagist::compare(a, b),
            Self::RubyGems => gem::compare(a, b).map_err(|version| self.unplaced(version))?,
            Self::Npm | Self::Go | Self::Cargo => self.semver(Dialect::Plain, a, b)?,
            Self::NuGet => self.semver(Dialect::NuGet, a, b)?,
            Self::Bitnami => {
                let ((core_a, revision_a), (core_b, revision_b)) = (revision(a), revision(b));
                self.semver(Dialect::Plain, core_a, core_b)?
                    .then_with(|| digits::compare(revision_a, revision_b))
            }
            Self::Pub => self.semver(Dialect::Pub, a, b)?,
        })
    }

    fn semver(self, dialect: Dialect, a: &str, b: &str) -> Result<Ordering, VersionError> {
        semver::compare(dialect, a, b).map_err(|version| self.unplaced(version))
    }

    fn usable(self, version: &str) -> Result<(), VersionError> {
        if version.len() > limits::MAX_FIELD_BYTES {
            return Err(VersionError::TooLong { bytes: version.len() });
        }
        // rpm's order is defined over any bytes; the others know ASCII only.
        let legible = version.is_ascii() || matches!(self, Self::Rpm | Self::Generic);
        if version.is_empty() || !legible { Err(self.unplaced(version)) } else { Ok(()) }
    }

    fn unplaced(self, version: &str) -> VersionError {
        VersionError::Unplaced { order: self, version: version.to_owned() }
    }
}

/// `1.25.3-2` is the second build of 1.25.3, not a pre-release of it.
fn revision(version: &str) -> (&str, &str) {
    let split = version.rsplit_once('-').filter(|(_, revision)| digits::is_number(revision));
    split.unwrap_or((version, "0"))
}
