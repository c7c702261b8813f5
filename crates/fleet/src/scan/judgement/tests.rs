//! One row for each rule.

use konzert_packages::{Format, PackageKind};

use super::*;

const NOW: &str = "2026-01-15T00:00:00Z";

fn package(kind: PackageKind, name: &str, ecosystem: &str) -> Package {
    Package { ecosystem: ecosystem.into(), ..Package::new(kind, Format::Dpkg, name, "1") }
}

fn deb(ecosystem: &str) -> Package {
    package(PackageKind::Deb, "lib", ecosystem)
}

fn pypi() -> Package {
    package(PackageKind::Pypi, "web", "PyPI")
}

fn image(id: &str, version: &str, packages: Vec<Package>) -> Catalogue {
    let known = Distribution { id: id.into(), version: version.into(), ..Distribution::default() };
    let distribution = (!id.is_empty()).then_some(known);
    Catalogue { distribution, packages, complete: true, ..Catalogue::default() }
}

/// Sources for Debian 12 and 10, Alpine 3.23 and npm; one that is too old for `PyPI`; none for anything else.
fn trust(ecosystem: &str) -> Trust {
    match ecosystem {
        "Debian:12" | "Debian:10" | "Alpine:v3.23" | "npm" => Trust::Fresh,
        "PyPI" => Trust::Stale { location: "pypa.zip".into(), as_of: Timestamp::UNIX_EPOCH },
        _ => Trust::NotCovered,
    }
}

fn judged(catalogue: &Catalogue) -> (ReportState, String) {
    let known = Known { any_advisories: true, trust: &trust, now: NOW.parse().unwrap() };
    let (state, reasons) = judge(&Subject::of(catalogue), known);
    (state, reasons.join("; "))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table with a row for each rule")]
fn silence_is_judged_by_these_rules() {
    use ReportState::{Complete, Partial, Unknown};
    let npm = || package(PackageKind::Npm, "left", "npm");
    let owned = || Package { owned_by: Some("python3-web".into()), ..pypi() };
    let python_web = || package(PackageKind::Deb, "python3-web", "Debian:12");
    let vendor = || Package { third_party: true, ..package(PackageKind::Deb, "docker-ce", "Debian:12") };
    let generic = || package(PackageKind::Generic, "blob", "");
    let stale = "the advisories for PyPI are too old: pypa.zip speaks as of 1970-01-01T00:00:00Z";
    let partly = |warning: &str, packages| Catalogue {
        warnings: vec![warning.into()],
        complete: false,
        ..image("debian", "12", packages)
    };
    let rows: Vec<(&str, Catalogue, ReportState, &str)> = vec![
        ("covered", image("debian", "12", vec![deb("Debian:12")]), Complete, ""),
        (
            "no source",
            image("debian", "13", vec![deb("Debian:13")]),
            Unknown,
            "no advisory source covers Debian:13",
        ),
        (
            "past its end of life, though a source covers it",
            image("debian", "10", vec![deb("Debian:10")]),
            Unknown,
            "debian 10 has had no security fixes since 2022-09-10",
        ),
        ("unknown distribution", image("", "", vec![deb("")]), Unknown, "the distribution is not known"),
        (
            "a distribution that OSV does not know",
            image("arch", "", vec![deb("")]),
            Unknown,
            "no advisories are known for arch",
        ),
        ("languages alone, covered", image("", "", vec![npm()]), Complete, ""),
        (
            "a program of the image's own",
            image("", "", vec![npm(), package(PackageKind::Cargo, "app", "")]),
            Complete,
            "",
        ),
        ("languages alone, source too old", image("", "", vec![npm(), pypi()]), Unknown, stale),
        (
            "a language without source beside a covered distribution",
            image("debian", "12", vec![deb("Debian:12"), package(PackageKind::Gem, "rake", "RubyGems")]),
            Unknown,
            "no advisory source covers RubyGems",
        ),
        (
            "a language package of the distribution",
            image("debian", "12", vec![deb("Debian:12"), python_web(), owned()]),
            Complete,
            "",
        ),
        (
            "a language package of somebody else's package",
            image(
                "debian",
                "12",
                vec![deb("Debian:12"), Package { third_party: true, ..python_web() }, owned()],
            ),
            Unknown,
            &format!("{stale}; not from the distribution, whose advisories do not speak of it: python3-web"),
        ),
        (
            "a language package of a distribution whose feed names only what is fixed",
            image(
                "alpine",
                "3.23.1",
                vec![package(PackageKind::Apk, "python3-web", "Alpine:v3.23"), owned()],
            ),
            Unknown,
            stale,
        ),
        ("an owned one where the owner's feed is not known", image("", "", vec![owned()]), Unknown, stale),
        (
            "a distribution without its database",
            image("debian", "12", vec![npm()]),
            Partial,
            "the package database of debian 12 was not found in the image",
        ),
        (
            "somebody else's package",
            image("debian", "12", vec![deb("Debian:12"), vendor()]),
            Partial,
            "not from the distribution, whose advisories do not speak of it: docker-ce",
        ),
        (
            "packages of no ecosystem",
            image("", "", vec![npm(), generic(), generic(), generic(), generic()]),
            Partial,
            "of no ecosystem that advisories speak of: blob, blob, blob and 1 more",
        ),
        ("a partial read", partly("a.jar: cut", vec![deb("Debian:12")]), Partial, "a.jar: cut"),
        (
            "a partial read of an image without source",
            Catalogue { distribution: None, ..partly("a.jar: cut", vec![pypi()]) },
            Unknown,
            &format!("{stale}; a.jar: cut"),
        ),
        ("nothing read", partly("status: damaged", vec![]), Unknown, "status: damaged"),
        ("nothing there", image("", "", vec![]), Unknown, "no package database was found in the image"),
    ]
    .into_iter()
    .map(|(what, image, state, reasons)| (what, image, state, &*reasons.to_owned().leak()))
    .collect();
    for (what, image, state, reasons) in rows {
        assert_eq!(judged(&image), (state, reasons.to_owned()), "{what}");
    }
}

/// A row for each kind of package: `id` and `version` of the distribution, empty for a language alone.
const KINDS: [(&str, &str, PackageKind, &str); 19] = [
    ("debian", "12", PackageKind::Deb, "Debian:12"),
    ("ubuntu", "24.04", PackageKind::Deb, "Ubuntu:24.04:LTS"),
    ("alpine", "3.23.1", PackageKind::Apk, "Alpine:v3.23"),
    ("wolfi", "", PackageKind::Apk, "Wolfi"),
    ("chainguard", "", PackageKind::Apk, "Chainguard"),
    ("almalinux", "9.4", PackageKind::Rpm, "AlmaLinux:9"),
    ("rocky", "9.4", PackageKind::Rpm, "Rocky Linux:9"),
    ("rhel", "9.4", PackageKind::Rpm, "Red Hat:enterprise_linux:9"),
    ("ol", "9.4", PackageKind::Rpm, "Oracle Linux:9"),
    ("amzn", "2023", PackageKind::Rpm, "Amazon Linux:2023"),
    ("azurelinux", "3.0", PackageKind::Rpm, "Azure Linux:3"),
    ("", "", PackageKind::Pypi, "PyPI"),
    ("", "", PackageKind::Npm, "npm"),
    ("", "", PackageKind::Golang, "Go"),
    ("", "", PackageKind::Cargo, "crates.io"),
    ("", "", PackageKind::Maven, "Maven"),
    ("", "", PackageKind::Gem, "RubyGems"),
    ("", "", PackageKind::Nuget, "NuGet"),
    ("", "", PackageKind::Composer, "Packagist"),
];

#[test]
fn a_source_that_is_stale_missing_or_of_something_else_makes_every_kind_unknown() {
    for (id, version, kind, name) in KINDS {
        let image = image(id, version, vec![package(kind, "lib", name)]);
        let state = |trust: &(dyn Fn(&str) -> Trust + Sync)| {
            let known = Known { any_advisories: true, trust, now: NOW.parse().unwrap() };
            let (state, reasons) = judge(&Subject::of(&image), known);
            (state, reasons.join("; "))
        };
        assert_eq!(state(&|_| Trust::Fresh), (ReportState::Complete, String::new()), "{name}");
        let missing = (ReportState::Unknown, format!("no advisory source covers {name}"));
        assert_eq!(state(&|_| Trust::NotCovered), missing);
        // Sources for everything but this one.
        let others = |asked: &str| if asked == name { Trust::NotCovered } else { Trust::Fresh };
        assert_eq!(state(&others), missing);
        let stale = |_: &str| Trust::Stale { location: "all.zip".into(), as_of: Timestamp::UNIX_EPOCH };
        let reason =
            format!("the advisories for {name} are too old: all.zip speaks as of 1970-01-01T00:00:00Z");
        assert_eq!(state(&stale), (ReportState::Unknown, reason));
        let partial = Catalogue { complete: false, warnings: vec!["cut".into()], ..image.clone() };
        let known = Known { any_advisories: true, trust: &|_| Trust::Fresh, now: NOW.parse().unwrap() };
        let read = judge(&Subject::of(&partial), known);
        assert_eq!(read, (ReportState::Partial, vec!["cut".to_owned()]), "{name}");
    }
}

#[test]
fn without_advisories_nothing_is_known() {
    let known = Known { any_advisories: false, trust: &trust, now: NOW.parse().unwrap() };
    let (state, reasons) = judge(&Subject::of(&image("", "", vec![pypi()])), known);
    assert_eq!((state, reasons[0].as_str()), (ReportState::Unknown, "no advisories were imported"));
}

#[test]
fn reasons_are_bounded() {
    let warnings = (0..200).map(|n| format!("file {n}")).collect();
    let many =
        Catalogue { warnings, complete: false, ..image("debian", "12", vec![deb("Debian:12"), pypi()]) };
    let known = Known { any_advisories: true, trust: &trust, now: NOW.parse().unwrap() };
    let (_, reasons) = judge(&Subject::of(&many), known);
    assert_eq!((reasons.len(), reasons[19].as_str()), (20, "and 2 more reasons"));
}

#[test]
fn time_alone_changes_the_judgement_at_known_moments() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let subject = Subject::of(&image("debian", "12", vec![deb("Debian:12")]));
    assert_eq!(subject.next_change(at(NOW)), Some(at("2026-07-12T00:00:00Z")));
    assert_eq!(subject.next_change(at("2026-08-01T00:00:00Z")), Some(at("2028-07-01T00:00:00Z")));
    assert_eq!(subject.next_change(at("2029-01-01T00:00:00Z")), None);
    let source = |as_of: &str| Source {
        location: "x".into(),
        kinds: Vec::new(),
        etag: None,
        imported_at: at(NOW),
        as_of: at(as_of),
        newest: None,
        records: 1,
        ecosystems: BTreeMap::new(),
    };
    let sources =
        [source("2026-01-14T00:00:00Z"), source("2026-01-10T00:00:00Z"), source("2020-01-01T00:00:00Z")];
    let week = SignedDuration::from_hours(7 * 24);
    assert_eq!(next_stale(&sources, week, at(NOW)), Some(at("2026-01-17T00:00:01Z")));
    assert_eq!(next_stale(&sources[2..], week, at(NOW)), None);
}
