//! Which distribution and release an image is: os-release(5), else the files older or odder distributions have, and the OSV
//! ecosystem of it.
//!
//! Invariant: an ecosystem is named also where OSV has none (Amazon, Oracle, Fedora, Photon, `CentOS`), so that "no source
//! covers it" can be told from "unknown distribution".

mod support;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::limits;
pub use support::Support;

/// In the order in which os-release(5) says to look.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
const ALPINE_RELEASE: &str = "etc/alpine-release";
const DEBIAN_VERSION: &str = "etc/debian_version";
const LSB_RELEASE: &str = "etc/lsb-release";
const RPM_RELEASE: [&str; 5] = [
    "etc/redhat-release",
    "etc/centos-release",
    "etc/oracle-release",
    "etc/system-release",
    "etc/fedora-release",
];
const APK_REPOSITORIES: &str = "etc/apk/repositories";
const APT_SOURCES: &str = "etc/apt/sources.list";
const APT_SOURCES_DIR: &str = "etc/apt/sources.list.d/";
/// Longest file that names a distribution or a repository.
pub(crate) const MAX_TEXT_BYTES: u64 = 64 << 10;

/// Codenames of Debian, for testing images that have no `VERSION_ID`.
const DEBIAN_CODENAMES: [(&str, &str); 11] = [
    ("duke", "15"),
    ("forky", "14"),
    ("trixie", "13"),
    ("bookworm", "12"),
    ("bullseye", "11"),
    ("buster", "10"),
    ("stretch", "9"),
    ("jessie", "8"),
    ("wheezy", "7"),
    ("squeeze", "6"),
    ("lenny", "5"),
];
/// Beginnings of release lines such as `CentOS Linux release 7.9.2009 (Core)`.
const RELEASE_LINES: [(&str, &str); 10] = [
    ("Red Hat Enterprise Linux", "rhel"),
    ("CentOS Stream", "centos"),
    ("CentOS", "centos"),
    ("AlmaLinux", "almalinux"),
    ("Rocky Linux", "rocky"),
    ("Oracle Linux", "ol"),
    ("Fedora", "fedora"),
    ("Amazon Linux", "amzn"),
    ("VMware Photon", "photon"),
    ("CBL-Mariner", "mariner"),
];
/// Distributions without releases.
const ROLLING: [&str; 7] =
    ["wolfi", "chainguard", "minimos", "opensuse-tumbleweed", "arch", "gentoo", "opensuse-slowroll"];

/// How far a release is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Released.
    #[default]
    Stable,
    /// Debian testing: the next release, named by its codename.
    Testing,
    /// Debian unstable, Alpine edge.
    Unstable,
}

/// A distribution and its release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Distribution {
    /// `ID`: `debian`, `alpine`.
    pub id: String,
    /// `VERSION_ID`: `12`, `3.20.3`; empty for rolling releases. On Debian testing the number that the release will get.
    pub version: String,
    /// `VERSION_CODENAME`: `bookworm`.
    pub codename: String,
    /// `PRETTY_NAME`.
    pub pretty: String,
    /// How far the release is.
    pub stage: Stage,
    /// Release of the configured Alpine repositories when it differs from the installed one (`3.19`, `edge`): packages come
    /// from there.
    pub repository: Option<String>,
}

impl Distribution {
    /// The OSV ecosystem with release; empty when the distribution is not known to konzert or its release is missing.
    ///
    /// Red Hat's ecosystems go on with a CPE part (`Red Hat:enterprise_linux:9::appstream`): this is their beginning.
    pub fn ecosystem(&self) -> String {
        let fixed = match self.id.as_str() {
            "wolfi" => "Wolfi",
            "chainguard" => "Chainguard",
            "minimos" => "MinimOS",
            "opensuse-tumbleweed" => "openSUSE:Tumbleweed",
            _ => "",
        };
        if !fixed.is_empty() || self.version.is_empty() && self.repository.is_none() {
            return fixed.to_owned();
        }
        let release = self.release();
        match self.id.as_str() {
            "debian" if self.stage == Stage::Unstable => "Debian:unstable".to_owned(),
            "debian" => format!("Debian:{release}"),
            "ubuntu" => format!("Ubuntu:{release}{}", if long_term(&release) { ":LTS" } else { "" }),
            "alpine" if release == "edge" => "Alpine:edge".to_owned(),
            "alpine" => format!("Alpine:v{release}"),
            "alpaquita" => format!("Alpaquita:{release}"),
            "almalinux" => format!("AlmaLinux:{release}"),
            "rocky" => format!("Rocky Linux:{release}"),
            "rhel" => format!("Red Hat:enterprise_linux:{release}"),
            "centos" | "centos-stream" => format!("CentOS:{release}"),
            "fedora" => format!("Fedora:{release}"),
            "amzn" => format!("Amazon Linux:{release}"),
            "ol" => format!("Oracle Linux:{release}"),
            "photon" => format!("Photon OS:{release}"),
            "azurelinux" | "mariner" => format!("Azure Linux:{}", first_parts(&release, 1)),
            "mageia" => format!("Mageia:{release}"),
            "opensuse-leap" => format!("openSUSE:Leap {release}"),
            "opensuse-leap-micro" => format!("openSUSE:Leap Micro {}", self.version),
            "sle-micro" => format!("SUSE:Linux Enterprise Micro {}", self.version),
            "sl-micro" => format!("SUSE:Linux Micro {}", self.version),
            "openeuler" => format!("openEuler:{}", self.open_euler()),
            "sles" | "sled" | "sle-hpc" | "sles_sap" => self.suse(),
            _ => String::new(),
        }
    }

    /// The release as advisories count: `12`, `22.04`, `3.20`, `9`, `15.5`.
    pub fn release(&self) -> String {
        if let Some(repository) = &self.repository {
            return repository.clone();
        }
        let parts = match self.id.as_str() {
            "ubuntu" | "alpine" | "photon" | "opensuse-leap" | "sles" | "sled" | "azurelinux" | "mariner" => {
                2
            }
            "amzn" if self.version.starts_with("201") => 2,
            _ => 1,
        };
        first_parts(&self.version, parts)
    }

    /// True for distributions without releases, Debian testing and unstable, and Alpine edge.
    pub fn is_rolling(&self) -> bool {
        self.stage != Stage::Stable
            || ROLLING.contains(&self.id.as_str())
            || self.repository.as_deref() == Some("edge")
    }

    /// Whether the release gets security fixes at this time.
    pub fn support(&self, now: Timestamp) -> Support {
        support::support(self, now)
    }

    /// Whether the distribution's advisories also name what is not fixed yet, so that they can stand for the advisories of
    /// a language about what the distribution packages.
    pub fn feed_covers_unfixed(&self) -> bool {
        lists_unfixed(&self.ecosystem())
    }

    /// The `distro` qualifier of purls: `debian-12`, `wolfi`.
    pub fn purl_qualifier(&self) -> String {
        if self.version.is_empty() { self.id.clone() } else { format!("{}-{}", self.id, self.version) }
    }

    /// The distribution of a `distro` qualifier, see [`Self::purl_qualifier`].
    pub fn from_qualifier(text: &str) -> Self {
        let (id, version) = match text.rsplit_once('-') {
            Some((id, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => (id, version),
            _ => (text, ""),
        };
        Self { id: id.to_ascii_lowercase(), version: version.to_owned(), ..Self::default() }
    }

    fn suse(&self) -> String {
        let mut parts = self.version.split('.');
        let major = parts.next().unwrap_or_default();
        match parts.next() {
            Some(minor) if major.parse::<u32>().is_ok_and(|m| m >= 16) => {
                format!("SUSE:Linux Enterprise Server {major}.{minor}")
            }
            Some("0") | None => format!("SUSE:Linux Enterprise Server {major}"),
            Some(pack) => format!("SUSE:Linux Enterprise Server {major} SP{pack}"),
        }
    }

    /// `VERSION="22.03 (LTS-SP3)"` is `22.03-LTS-SP3` at OSV; only the pretty name has it.
    fn open_euler(&self) -> String {
        let inner =
            self.pretty.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map(|(word, _)| word);
        match inner {
            Some(word) => format!("{}-{word}", self.version),
            None => self.version.clone(),
        }
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.stage, self.version.is_empty()) {
            (Stage::Testing, _) => write!(f, "{} testing ({})", self.id, self.codename),
            (Stage::Unstable, _) => write!(f, "{} unstable", self.id),
            (Stage::Stable, true) => f.write_str(&self.id),
            (Stage::Stable, false) => write!(f, "{} {}", self.id, self.version),
        }
    }
}

/// Distributions whose published advisories, in the forms that konzert reads (OSV, Debian's tracker, Alpine's secdb), also
/// name what has no fix: Debian's tracker and CVE records, Ubuntu's CVE records, Azure Linux's records from OVAL.
///
/// The others publish notices of what was fixed: Alpine, Wolfi and Chainguard (secdb), `AlmaLinux`, Rocky, Oracle, Red Hat
/// (its OSV records are errata; what is unfixed is in its VEX files only), SUSE and openSUSE, Amazon, Photon, Fedora, Mageia,
/// openEuler, Alpaquita, `MinimOS`. Their silence about a vulnerability without a fix says nothing.
const LISTS_UNFIXED: [&str; 3] = ["Debian", "Ubuntu", "Azure Linux"];

/// Whether an ecosystem's advisories also name what is not fixed yet; false for what is no distribution.
pub fn lists_unfixed(ecosystem: &str) -> bool {
    LISTS_UNFIXED.contains(&ecosystem.split(':').next().unwrap_or_default())
}

/// Ubuntu's releases of April in even years.
fn long_term(release: &str) -> bool {
    let year = release.strip_suffix(".04").and_then(|y| y.parse::<u32>().ok());
    year.is_some_and(|y| y % 2 == 0)
}

fn first_parts(version: &str, parts: usize) -> String {
    version.split('.').take(parts).collect::<Vec<_>>().join(".")
}

pub(crate) fn owns(path: &str) -> bool {
    OS_RELEASE.contains(&path)
        || [ALPINE_RELEASE, DEBIAN_VERSION, LSB_RELEASE, APK_REPOSITORIES, APT_SOURCES].contains(&path)
        || RPM_RELEASE.contains(&path)
        || path.strip_prefix(APT_SOURCES_DIR).is_some_and(|name| !name.contains('/'))
}

/// The distribution that the files of the image name.
pub(crate) fn detect(files: &BTreeMap<&str, &str>) -> Option<Distribution> {
    let mut found = OS_RELEASE
        .iter()
        .filter_map(|path| files.get(path))
        .find_map(|text| os_release(text))
        .or_else(|| files.get(LSB_RELEASE).and_then(|text| lsb_release(text)))
        .or_else(|| RPM_RELEASE.iter().filter_map(|path| files.get(path)).find_map(|text| release_line(text)))
        .or_else(|| files.get(ALPINE_RELEASE).and_then(|text| bare("alpine", text)))
        .or_else(|| files.get(DEBIAN_VERSION).and_then(|text| bare("debian", text)))?;
    match found.id.as_str() {
        "debian" => debian(&mut found, files),
        "alpine" => alpine(&mut found, files),
        _ => {}
    }
    Some(found)
}

fn os_release(text: &str) -> Option<Distribution> {
    let mut found = Distribution::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = unquote(value.trim());
        match key.trim() {
            "ID" => found.id = value.to_ascii_lowercase(),
            "VERSION_ID" => found.version = value,
            "VERSION_CODENAME" => found.codename = value,
            "PRETTY_NAME" => found.pretty = value,
            _ => {}
        }
    }
    (!found.id.is_empty()).then_some(found)
}

fn lsb_release(text: &str) -> Option<Distribution> {
    let mut found = Distribution::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = unquote(value.trim());
        match key.trim() {
            "DISTRIB_ID" => found.id = value.to_ascii_lowercase(),
            "DISTRIB_RELEASE" => found.version = value,
            "DISTRIB_CODENAME" => found.codename = value,
            "DISTRIB_DESCRIPTION" => found.pretty = value,
            _ => {}
        }
    }
    (!found.id.is_empty()).then_some(found)
}

/// `CentOS Linux release 7.9.2009 (Core)`.
fn release_line(text: &str) -> Option<Distribution> {
    let line = unquote(text.lines().next()?.trim());
    let (_, id) = RELEASE_LINES.iter().find(|(begin, _)| line.starts_with(begin))?;
    let number = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    let version = line.split_whitespace().find(number)?.to_owned();
    Some(Distribution { id: (*id).to_owned(), version, pretty: line, ..Distribution::default() })
}

fn bare(id: &str, text: &str) -> Option<Distribution> {
    let version = unquote(text.lines().next()?.trim());
    (!version.is_empty()).then(|| Distribution { id: id.to_owned(), version, ..Distribution::default() })
}

/// Testing and unstable have no `VERSION_ID`; `debian_version` says `trixie/sid` in both, so the sources decide.
fn debian(found: &mut Distribution, files: &BTreeMap<&str, &str>) {
    let version_file = files.get(DEBIAN_VERSION).map(|t| t.trim()).unwrap_or_default();
    let pending = version_file.strip_suffix("/sid").or_else(|| found.version.strip_suffix("/sid"));
    let next = pending.map(unquote).filter(|_| !version_file.starts_with(|c: char| c.is_ascii_digit()));
    let Some(codename) = next.or_else(|| found.version.is_empty().then(|| found.codename.clone())) else {
        return;
    };
    let number = DEBIAN_CODENAMES.iter().find(|(name, _)| *name == codename).map(|(_, number)| *number);
    number.unwrap_or_default().clone_into(&mut found.version);
    found.stage = if follows_unstable(files) { Stage::Unstable } else { Stage::Testing };
    found.codename = codename;
}

fn follows_unstable(files: &BTreeMap<&str, &str>) -> bool {
    let sources = files.iter().filter(|(path, _)| **path == APT_SOURCES || path.starts_with(APT_SOURCES_DIR));
    let mut lines = sources.flat_map(|(_, text)| text.lines()).map(str::trim);
    lines.any(|line| {
        (line.starts_with("deb ") || line.starts_with("Suites:"))
            && line.split_whitespace().any(|word| word == "sid" || word == "unstable")
    })
}

/// Packages come from the repositories: an image whose repositories name another release has that release's packages.
fn alpine(found: &mut Distribution, files: &BTreeMap<&str, &str>) {
    let Some(text) = files.get(APK_REPOSITORIES) else { return };
    let lines = text.lines().map(str::trim).filter(|l| !l.starts_with('#'));
    let releases = lines.filter_map(|line| {
        let mut parts = line.split('/').rev();
        // …/alpine/v3.20/main, optionally tagged: `@edge http://…/alpine/edge/testing` is opt-in and does not count.
        let release = (!line.starts_with('@')).then(|| parts.nth(1)).flatten()?;
        let number = release.strip_prefix('v').unwrap_or(release);
        let plausible = number == "edge" || number.starts_with(|c: char| c.is_ascii_digit());
        (plausible && number.len() < 16).then(|| number.to_owned())
    });
    let installed = first_parts(&found.version, 2);
    // Several releases: the newest, which apk prefers; edge is newest of all.
    let newest = releases.max_by_key(|release| {
        let mut numbers = release.split('.').map(|n| n.parse::<u32>().unwrap_or(u32::MAX));
        (numbers.next(), numbers.next())
    });
    found.repository = newest.filter(|release| *release != installed);
    if found.repository.as_deref() == Some("edge") {
        found.stage = Stage::Unstable;
    }
}

/// Removes shell quotes as far as os-release(5) allows them, and what a terminal could take amiss.
fn unquote(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
    inner.chars().filter(|c| *c != '\\' && !c.is_control()).take(limits::MAX_FIELD_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(files: &[(&str, &str)]) -> (String, String, Stage) {
        let found = detect(&files.iter().copied().collect()).unwrap();
        (found.to_string(), found.ecosystem(), found.stage)
    }

    #[test]
    fn os_release_gives_the_ecosystem() {
        let rows = [
            ("ID=debian\nVERSION_ID=\"12\"", "Debian:12"),
            ("ID=ubuntu\nVERSION_ID=\"22.04\"", "Ubuntu:22.04:LTS"),
            ("ID=ubuntu\nVERSION_ID=\"24.10\"", "Ubuntu:24.10"),
            ("ID=alpine\nVERSION_ID=3.20.3", "Alpine:v3.20"),
            ("ID=wolfi\nVERSION_ID=20230201", "Wolfi"),
            ("ID=chainguard\nVERSION_ID=20230214", "Chainguard"),
            ("ID=\"almalinux\"\nVERSION_ID=\"9.4\"", "AlmaLinux:9"),
            ("ID=\"rocky\"\nVERSION_ID=\"8.9\"", "Rocky Linux:8"),
            ("ID=\"rhel\"\nVERSION_ID=\"9.3\"", "Red Hat:enterprise_linux:9"),
            ("ID=\"sles\"\nVERSION_ID=\"15.5\"", "SUSE:Linux Enterprise Server 15 SP5"),
            ("ID=\"sles\"\nVERSION_ID=\"16.0\"", "SUSE:Linux Enterprise Server 16.0"),
            ("ID=\"sle-micro\"\nVERSION_ID=\"5.5\"", "SUSE:Linux Enterprise Micro 5.5"),
            ("ID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"", "openSUSE:Leap 15.6"),
            ("ID=azurelinux\nVERSION_ID=\"3.0\"", "Azure Linux:3"),
            ("ID=amzn\nVERSION_ID=\"2023\"", "Amazon Linux:2023"),
            (
                "ID=\"openEuler\"\nVERSION_ID=\"22.03\"\nPRETTY_NAME=\"openEuler 22.03 (LTS-SP3)\"",
                "openEuler:22.03-LTS-SP3",
            ),
            ("ID=unheard\nVERSION_ID=1", ""),
        ];
        for (text, want) in rows {
            assert_eq!(named(&[("usr/lib/os-release", text)]).1, want, "{text}");
        }
    }

    #[test]
    fn debian_testing_and_unstable_are_told_apart_by_their_sources() {
        let os = (
            "etc/os-release",
            "ID=debian\nVERSION_CODENAME=forky\nPRETTY_NAME=\"Debian GNU/Linux forky/sid\"",
        );
        let version = (DEBIAN_VERSION, "forky/sid\n");
        assert_eq!(
            named(&[os, version]),
            ("debian testing (forky)".into(), "Debian:14".into(), Stage::Testing)
        );
        let sources = (APT_SOURCES, "# sid\ndeb http://deb.debian.org/debian sid main\n");
        let unstable = named(&[os, version, sources]);
        assert_eq!((unstable.1.as_str(), unstable.2), ("Debian:unstable", Stage::Unstable));
        assert_eq!(named(&[(DEBIAN_VERSION, "12.5\n")]).1, "Debian:12");
    }

    #[test]
    fn alpine_repositories_decide_the_release() {
        let os = ("etc/os-release", "ID=alpine\nVERSION_ID=3.18.4");
        let repositories = |text| named(&[os, (APK_REPOSITORIES, text)]).1;
        assert_eq!(repositories("https://dl-cdn.alpinelinux.org/alpine/v3.18/main\n"), "Alpine:v3.18");
        assert_eq!(
            repositories("https://x/alpine/v3.9/main\nhttps://x/alpine/v3.19/community\n"),
            "Alpine:v3.19"
        );
        assert_eq!(repositories("https://x/alpine/edge/main\n"), "Alpine:edge");
        assert_eq!(repositories("@edge https://x/alpine/edge/testing\n"), "Alpine:v3.18");
    }

    #[test]
    fn older_files_name_older_distributions() {
        assert_eq!(named(&[("etc/redhat-release", "CentOS Linux release 7.9.2009 (Core)\n")]).1, "CentOS:7");
        assert_eq!(named(&[("etc/system-release", "Amazon Linux release 2 (Karoo)\n")]).1, "Amazon Linux:2");
        assert_eq!(
            named(&[(LSB_RELEASE, "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=14.04\n")]).1,
            "Ubuntu:14.04:LTS"
        );
        assert_eq!(named(&[(ALPINE_RELEASE, "3.4.6\n")]).1, "Alpine:v3.4");
    }
}
