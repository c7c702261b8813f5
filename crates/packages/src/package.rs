//! One package as found in an image: what it is called, in which order its versions stand, and what proves it.
//!
//! Knows nothing of files or layers; `merge` fills in ecosystem, layer and owner.

use serde::{Deserialize, Serialize};

use crate::formats::Format;
use crate::version::VersionOrder;

/// Who publishes packages of this kind, and so whose advisories and version order count. The names are purl types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageKind {
    /// Debian packages.
    Deb,
    /// Alpine packages.
    Apk,
    /// RPM packages.
    Rpm,
    /// Python distributions.
    Pypi,
    /// Node packages.
    Npm,
    /// Go modules, and the standard library as `stdlib`.
    Golang,
    /// Rust crates.
    Cargo,
    /// Java artifacts, named `group:artifact`.
    Maven,
    /// Ruby gems.
    Gem,
    /// PHP packages, named `vendor/name`.
    Composer,
    /// .NET packages.
    Nuget,
    /// Dart packages.
    Pub,
    /// Anything else: no ecosystem, so nothing is known of it.
    #[default]
    Generic,
}

/// Whether the distribution or a language's registry publishes a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageClass {
    /// Installed by the distribution's package manager.
    Os,
    /// From a language's registry.
    Language,
}

impl PackageKind {
    const ALL: [Self; 13] = [
        Self::Deb,
        Self::Apk,
        Self::Rpm,
        Self::Pypi,
        Self::Npm,
        Self::Golang,
        Self::Cargo,
        Self::Maven,
        Self::Gem,
        Self::Composer,
        Self::Nuget,
        Self::Pub,
        Self::Generic,
    ];

    /// The purl type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
            Self::Rpm => "rpm",
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Golang => "golang",
            Self::Cargo => "cargo",
            Self::Maven => "maven",
            Self::Gem => "gem",
            Self::Composer => "composer",
            Self::Nuget => "nuget",
            Self::Pub => "pub",
            Self::Generic => "generic",
        }
    }

    /// The kind with this purl type.
    pub fn from_purl_type(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Distribution or language.
    pub fn class(self) -> PackageClass {
        match self {
            Self::Deb | Self::Apk | Self::Rpm => PackageClass::Os,
            _ => PackageClass::Language,
        }
    }

    /// The order of its versions.
    pub fn order(self) -> VersionOrder {
        match self {
            Self::Deb => VersionOrder::Dpkg,
            Self::Apk => VersionOrder::Apk,
            Self::Rpm => VersionOrder::Rpm,
            Self::Pypi => VersionOrder::Pypi,
            Self::Npm => VersionOrder::Npm,
            Self::Golang => VersionOrder::Go,
            Self::Cargo => VersionOrder::Cargo,
            Self::Maven => VersionOrder::Maven,
            Self::Gem => VersionOrder::RubyGems,
            Self::Composer => VersionOrder::Packagist,
            Self::Nuget => VersionOrder::NuGet,
            Self::Pub => VersionOrder::Pub,
            Self::Generic => VersionOrder::Generic,
        }
    }

    /// The OSV ecosystem of a language; empty for distributions, whose release decides, and for generic packages.
    pub fn language_ecosystem(self) -> &'static str {
        match self {
            Self::Deb | Self::Apk | Self::Rpm | Self::Generic => "",
            Self::Pypi => "PyPI",
            Self::Npm => "npm",
            Self::Golang => "Go",
            Self::Cargo => "crates.io",
            Self::Maven => "Maven",
            Self::Gem => "RubyGems",
            Self::Composer => "Packagist",
            Self::Nuget => "NuGet",
            Self::Pub => "Pub",
        }
    }
}

/// One installed package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Package {
    /// Installed (binary) name, in the form that the ecosystem's advisories use: PEP 503 for Python, `group:artifact`
    /// for Maven, the module path for Go.
    pub name: String,
    /// Other names that it may have, where what was found does not say its name in full: advisories about them count too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// Installed version in the order of its kind. dpkg and rpm: with `epoch:` when there is one that is not zero.
    pub version: String,
    /// The epoch when the database states one (rpm, dpkg), zero included.
    pub epoch: Option<u32>,
    /// Name of the source package; the binary name when the database names none.
    pub source_name: String,
    /// Version of the source package (with epoch); the binary version when the database names none.
    pub source_version: String,
    /// Architecture as the database writes it; empty for languages.
    pub arch: String,
    /// Whose advisories and version order count.
    pub kind: PackageKind,
    /// The format of the file it was found in.
    pub format: Format,
    /// OSV ecosystem with release: `Debian:12`, `Alpine:v3.20`, `AlmaLinux:9`, `PyPI`; empty when the distribution is
    /// unknown.
    pub ecosystem: String,
    /// `ID-VERSION_ID` of the distribution, for the purl's qualifier; empty for languages.
    pub distro: String,
    /// rpm module label, `name:stream:version:context`; empty outside modules.
    pub module: String,
    /// Maintainer (dpkg, apk) or vendor (rpm) as the database writes it.
    pub vendor: String,
    /// Installed by the distribution's package manager, but known to come from somebody else's repository: the
    /// distribution's advisories say nothing about it.
    pub third_party: bool,
    /// Licences as the database or metadata states them.
    pub licences: Vec<String>,
    /// Index of the layer in which this package and version first appear.
    pub layer: usize,
    /// The file that proves it, without leading slash; of a nested archive `outer.jar!/inner.jar`.
    pub evidence: String,
    /// The distribution's package that owns the evidence of a language package.
    pub owned_by: Option<String>,
}

impl Package {
    /// A package without a source package of another name.
    pub fn new(kind: PackageKind, format: Format, name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            source_name: name.to_owned(),
            source_version: version.to_owned(),
            kind,
            format,
            ecosystem: kind.language_ecosystem().to_owned(),
            ..Self::default()
        }
    }

    /// The order of its versions.
    pub fn order(&self) -> VersionOrder {
        self.kind.order()
    }

    /// Distribution or language.
    pub fn class(&self) -> PackageClass {
        self.kind.class()
    }

    /// The module as advisories name it, `name:stream`; empty outside modules.
    pub fn module_stream(&self) -> String {
        self.module.splitn(3, ':').take(2).collect::<Vec<_>>().join(":")
    }
}
