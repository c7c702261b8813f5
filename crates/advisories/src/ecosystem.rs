//! Names of ecosystems, releases and packages, in the one form that the database and its lookups use.
//!
//! OSV writes a release as `Debian:12`, `Ubuntu:22.04:LTS`, `Ubuntu:Pro:22.04:LTS`, `Alpine:v3.20`, `AlmaLinux:9`; feeds differ in
//! minor releases and code names. Does not know which distribution an image is.

use std::borrow::Cow;
use std::cmp::Ordering;

use konzert_packages::version::VersionOrder;

/// An order of versions; the one of an ecosystem comes from [`order`].
pub type Order = VersionOrder;

/// Debian's code names and Ubuntu's do not clash, but only Debian's feeds use them.
const DEBIAN_CODENAMES: [(&str, &str); 12] = [
    ("squeeze", "6"),
    ("wheezy", "7"),
    ("jessie", "8"),
    ("stretch", "9"),
    ("buster", "10"),
    ("bullseye", "11"),
    ("bookworm", "12"),
    ("trixie", "13"),
    ("forky", "14"),
    ("duke", "15"),
    ("sid", "unstable"),
    ("unstable", "unstable"),
];

/// Feeds that name source packages, besides dpkg's and apk's.
const RPM_BY_SOURCE: [&str; 4] = ["SUSE", "openSUSE", "Mageia", "openEuler"];

/// The order of an ecosystem's versions.
pub fn order(ecosystem: &str) -> Order {
    VersionOrder::for_ecosystem(ecosystem).unwrap_or(VersionOrder::Generic)
}

/// Compares two versions; `None` when one of them has no place in the order.
pub fn compare(order: Order, a: &str, b: &str) -> Option<Ordering> {
    order.compare(a, b).ok()
}

/// The name before the release.
pub fn base(ecosystem: &str) -> &str {
    ecosystem.split_once(':').map_or(ecosystem, |(base, _)| base)
}

/// Whether an rpm ecosystem's advisories name source packages.
pub(crate) fn rpm_by_source(ecosystem: &str) -> bool {
    RPM_BY_SOURCE.contains(&base(ecosystem))
}

/// The one spelling of an ecosystem and its release.
pub fn canonical(name: &str) -> String {
    let name = name.trim();
    let Some((base, release)) = name.split_once(':') else { return name.to_owned() };
    match base {
        "Debian" => format!("Debian:{}", debian_release(release)),
        "Ubuntu" => format!("Ubuntu:{}", release.trim_end_matches(":LTS")),
        "Alpine" => alpine(release),
        "AlmaLinux" | "Rocky Linux" | "Oracle Linux" | "CentOS" => format!("{base}:{}", parts(release, 1)),
        "Red Hat" => format!("Red Hat:{}", red_hat(release)),
        "SUSE" => suse(release).unwrap_or_else(|| name.to_owned()),
        // The address of another registry: names are the same there, and an installed package does not tell where it is from.
        "Maven" | "Packagist" | "npm" | "PyPI" => base.to_owned(),
        _ => name.to_owned(),
    }
}

fn parts(release: &str, count: usize) -> String {
    release.split('.').take(count).collect::<Vec<_>>().join(".")
}

/// `bookworm`, `12.5` and `12` are one release.
pub(crate) fn debian_release(release: &str) -> String {
    let release = release.to_ascii_lowercase();
    let known = DEBIAN_CODENAMES.iter().find(|(codename, _)| *codename == release);
    known.map_or_else(|| parts(&release, 1), |(_, number)| (*number).to_owned())
}

fn alpine(release: &str) -> String {
    let number = release.trim_start_matches('v');
    if number.starts_with(|c: char| c.is_ascii_digit()) {
        format!("Alpine:v{}", parts(number, 2))
    } else {
        format!("Alpine:{release}")
    }
}

/// `enterprise_linux:9::baseos` is release 9 whatever the repository; the extended streams stay apart.
fn red_hat(release: &str) -> String {
    let mut fields = release.split(':');
    match (fields.next(), fields.next()) {
        (Some("enterprise_linux"), Some(number)) => parts(number, 1),
        (Some(stream), Some(number)) if !number.is_empty() => format!("{stream}:{number}"),
        _ => release.to_owned(),
    }
}

/// The service pack counts, not the product: SLES has its base packages in modules (`Linux Enterprise Module for Basesystem 15
/// SP5`), and long-term support in products of its own (`Linux Enterprise Server 15 SP3-LTSS`). Micro counts otherwise.
fn suse(release: &str) -> Option<String> {
    let product = release.strip_prefix("Linux Enterprise ").filter(|p| !p.starts_with("Micro "))?;
    let mut words = product.split([' ', '-']);
    let number = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let pack = words.find(|word| word.strip_prefix("SP").is_some_and(|n| n.parse::<u8>().is_ok()));
    let pack = pack.map(|pack| format!(" {pack}")).unwrap_or_default();
    Some(format!("SUSE:Linux Enterprise {number}{pack}"))
}

/// The release whose modules a service pack shares (`Linux Enterprise Module for Web and Scripting 12`).
pub(crate) fn without_service_pack(canonical: &str) -> Option<&str> {
    canonical.strip_prefix("SUSE:Linux Enterprise ")?;
    canonical.rsplit_once(" SP").map(|(release, _)| release)
}

/// The one spelling of a package name in an ecosystem.
pub fn package_name<'a>(ecosystem: &str, name: &'a str) -> Cow<'a, str> {
    match base(ecosystem) {
        "PyPI" => pep_503(name),
        "crates.io" if name.contains('_') => Cow::Owned(name.replace('_', "-")),
        "NuGet" | "Packagist" if name.bytes().any(|b| b.is_ascii_uppercase()) => {
            Cow::Owned(name.to_ascii_lowercase())
        }
        _ => Cow::Borrowed(name),
    }
}

/// PEP 503: lower case, and runs of `-`, `_` and `.` are one `-`.
fn pep_503(name: &str) -> Cow<'_, str> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let single = name.as_bytes().windows(2).all(|pair| pair != b"--");
    if single && name.bytes().all(|b| plain(b) || b == b'-') {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if out.ends_with('-') => {}
            '-' | '_' | '.' => out.push('-'),
            c => out.extend(c.to_lowercase()),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_release_has_one_name() {
        let rows = [
            ("Debian:bookworm", "Debian:12"),
            ("Debian:12.5", "Debian:12"),
            ("Debian:sid", "Debian:unstable"),
            ("Ubuntu:22.04:LTS", "Ubuntu:22.04"),
            ("Ubuntu:Pro:22.04:LTS", "Ubuntu:Pro:22.04"),
            ("Ubuntu:24.10", "Ubuntu:24.10"),
            ("Alpine:3.20.3", "Alpine:v3.20"),
            ("Alpine:v3.20", "Alpine:v3.20"),
            ("Alpine:edge", "Alpine:edge"),
            ("AlmaLinux:9.4", "AlmaLinux:9"),
            ("AlmaLinux:10", "AlmaLinux:10"),
            ("Red Hat:enterprise_linux:9::baseos", "Red Hat:9"),
            ("Red Hat:rhel_eus:9.2::appstream", "Red Hat:rhel_eus:9.2"),
            ("SUSE:Linux Enterprise Server 15 SP5", "SUSE:Linux Enterprise 15 SP5"),
            ("SUSE:Linux Enterprise Module for Basesystem 15 SP5", "SUSE:Linux Enterprise 15 SP5"),
            ("SUSE:Linux Enterprise Server 15 SP3-LTSS", "SUSE:Linux Enterprise 15 SP3"),
            ("SUSE:Linux Enterprise Server LTSS Extended Security 12 SP5", "SUSE:Linux Enterprise 12 SP5"),
            ("SUSE:Linux Enterprise Module for Web and Scripting 12", "SUSE:Linux Enterprise 12"),
            ("SUSE:Linux Enterprise Server 16.0", "SUSE:Linux Enterprise 16.0"),
            ("SUSE:Linux Enterprise Micro 5.5", "SUSE:Linux Enterprise Micro 5.5"),
            ("Packagist:https://packages.drupal.org/8", "Packagist"),
            ("PyPI", "PyPI"),
        ];
        for (name, want) in rows {
            assert_eq!(canonical(name), want);
            assert_eq!(canonical(want), want, "canonical is a fixed point");
        }
    }

    #[test]
    fn one_package_has_one_name() {
        let rows = [
            ("PyPI", "Flask_Login", "flask-login"),
            ("PyPI", "zope.interface", "zope-interface"),
            ("PyPI", "a-._b", "a-b"),
            ("crates.io", "serde_json", "serde-json"),
            ("NuGet", "Newtonsoft.Json", "newtonsoft.json"),
            ("npm", "@Scope/Name", "@Scope/Name"),
            ("Go", "github.com/Azure/x", "github.com/Azure/x"),
        ];
        for (ecosystem, name, want) in rows {
            assert_eq!(package_name(ecosystem, name), want);
            assert_eq!(package_name(ecosystem, want), want);
        }
    }
}
