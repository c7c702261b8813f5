//! Several advisories about one vulnerability, and what the rules of each distribution ask for.

use konzert_packages::PackageKind;
use serde_json::{Value, json};

use super::{catalogue, debian, image, osv, package};
use crate::sources::{Reading, parse};
use crate::{
    Builder, Database, Finding, FindingState, KernelPackages, MatchOptions, MissingEpoch, Severity, find,
    findings,
};

fn advisory(id: &str, ecosystem: &str, name: &str, events: &Value, more: &Value) -> crate::Advisory {
    let mut value = json!({"id": id, "modified": "2026-01-02T03:04:05Z", "affected": [
        {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]});
    value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    osv(&value)
}

fn until(fixed: &str) -> Value {
    json!([{"introduced": "0"}, {"fixed": fixed}])
}

fn one(db: &Database, kind: PackageKind, ecosystem: &str, name: &str, version: &str) -> Vec<Finding> {
    findings(db, &catalogue(vec![package(kind, ecosystem, name, version)]))
}

#[test]
fn aliases_make_one_finding_with_the_vendors_id_even_in_a_circle() {
    let db = Database::new([
        advisory(
            "GHSA-1",
            "PyPI",
            "A_b",
            &until("2"),
            &json!({"aliases": ["CVE-2026-1"], "database_specific": {"severity": "HIGH"}}),
        ),
        advisory("PYSEC-1", "PyPI", "a-b", &until("3"), &json!({"aliases": ["GHSA-1"]})),
        advisory("CVE-2026-1", "PyPI", "a.b", &until("2"), &json!({"aliases": ["PYSEC-1"]})),
    ]);
    let found = one(&db, PackageKind::Pypi, "PyPI", "a-b", "1");
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].advisory.as_str(), found[0].aliases.join(",")),
        ("PYSEC-1", "CVE-2026-1,GHSA-1".to_owned())
    );
    assert_eq!((found[0].fixed.as_deref(), found[0].severity), (Some("3"), Severity::High));
    assert_eq!(db.ids("cve-2026-1").len(), 3);
}

#[test]
fn a_notice_about_several_vulnerabilities_joins_none_of_them() {
    let related = json!({"related": ["CVE-2026-1", "CVE-2026-2"]});
    let db = Database::new([
        advisory("ALSA-1", "AlmaLinux:9", "a", &until("2-1"), &related),
        advisory("X-1", "PyPI", "x", &until("2"), &json!({"aliases": ["CVE-2026-1"]})),
        advisory("X-2", "PyPI", "x", &until("2"), &json!({"aliases": ["CVE-2026-2"]})),
    ]);
    assert_eq!(one(&db, PackageKind::Pypi, "PyPI", "x", "1").len(), 2);
    assert_eq!(one(&db, PackageKind::Rpm, "AlmaLinux:9", "a", "1-1").len(), 1);
    assert_eq!(db.ids("CVE-2026-1").into_iter().collect::<Vec<_>>(), ["ALSA-1", "X-1"]);
}

#[test]
fn of_several_notices_the_highest_fix_holds_and_a_superseded_one_is_not_repeated() {
    let ids = |all: &[&str]| json!({"related": all});
    let db = Database::new([
        advisory("ALSA-1", "AlmaLinux:9", "a", &until("2-1"), &ids(&["CVE-2026-1", "CVE-2026-2"])),
        advisory(
            "ALSA-2",
            "AlmaLinux:9",
            "a",
            &until("3-1"),
            &ids(&["CVE-2026-1", "CVE-2026-2", "CVE-2026-3"]),
        ),
        advisory("ALSA-3", "AlmaLinux:9", "a", &until("2-2"), &ids(&["CVE-2026-3", "CVE-2026-4"])),
    ]);
    let found = one(&db, PackageKind::Rpm, "AlmaLinux:9", "a", "1-1");
    let said: Vec<_> = found.iter().map(|f| (f.advisory.as_str(), f.fixed.as_deref().unwrap())).collect();
    assert_eq!(said, [("ALSA-2", "3-1"), ("ALSA-3", "3-1")]);
    assert_eq!(one(&db, PackageKind::Rpm, "AlmaLinux:9", "a", "2-3").len(), 1);
    assert!(one(&db, PackageKind::Rpm, "AlmaLinux:9", "a", "3-1").is_empty());
    assert!(one(&db, PackageKind::Rpm, "AlmaLinux:10", "a", "1-1").is_empty(), "releases are apart");
}

#[test]
fn notices_whose_vulnerabilities_are_found_by_themselves_are_not_repeated() {
    let db = Database::new([
        advisory("DSA-1", "Debian:12", "a", &until("2"), &json!({"upstream": ["CVE-2026-1", "CVE-2026-2"]})),
        advisory("DEBIAN-CVE-2026-1", "Debian:12", "a", &until("2"), &json!({"upstream": ["CVE-2026-1"]})),
        advisory("DEBIAN-CVE-2026-2", "Debian:12", "a", &until("2"), &json!({"upstream": ["CVE-2026-2"]})),
    ]);
    let found: Vec<_> = findings(&db, &image("a", "a", "1")).into_iter().map(|f| f.advisory).collect();
    assert_eq!(found, ["DEBIAN-CVE-2026-1", "DEBIAN-CVE-2026-2"]);
}

#[test]
fn modules_architectures_and_epochs_of_rpm() {
    let modular = "16.1-1.module_el9.4.0+1+abc";
    let arch = json!({"affected": [{"package": {"ecosystem": "AlmaLinux:9", "name": "b"}, "ecosystem_specific": {"arch": ["s390x"]},
        "ranges": [{"type": "ECOSYSTEM", "events": until("2-1")}]}]});
    let db = Database::new([
        advisory("ALSA-1", "AlmaLinux:9", "nodejs", &until(modular), &json!({})),
        advisory("ALSA-2", "AlmaLinux:9", "a", &until("1:2-1"), &json!({})),
        advisory("ALSA-3", "AlmaLinux:9", "b", &until("2-1"), &arch),
    ]);
    assert!(
        one(&db, PackageKind::Rpm, "AlmaLinux:9", "nodejs", "1:14-1.el9").is_empty(),
        "not of the module"
    );
    let mut node = package(PackageKind::Rpm, "AlmaLinux:9", "nodejs", "16.0-1.module_el9.3.0+1+abc");
    node.module = "nodejs:16:9030:abc".into();
    assert_eq!(findings(&db, &catalogue(vec![node])).len(), 1);
    assert_eq!(one(&db, PackageKind::Rpm, "AlmaLinux:9", "a", "3-1").len(), 1, "a missing epoch is 0");
    let lost = MatchOptions { missing_epoch: MissingEpoch::OfAdvisory, ..MatchOptions::default() };
    let image = catalogue(vec![package(PackageKind::Rpm, "AlmaLinux:9", "a", "3-1")]);
    assert!(find(&db, &image, &lost).findings.is_empty());
    for (arch, count) in [("x86_64", 0), ("s390x", 1), ("noarch", 1)] {
        let mut b = package(PackageKind::Rpm, "AlmaLinux:9", "b", "1-1");
        b.arch = arch.into();
        assert_eq!(findings(&db, &catalogue(vec![b])).len(), count, "{arch}");
    }
}

#[test]
fn ubuntus_paid_fixes_count_for_those_who_have_them() {
    let db = Database::new([
        advisory("UBUNTU-CVE-2026-1", "Ubuntu:22.04:LTS", "a", &json!([{"introduced": "0"}]), &json!({})),
        osv(
            &json!({"id": "USN-1-1", "modified": "2026-01-02T03:04:05Z", "upstream": ["UBUNTU-CVE-2026-1"], "affected": [
            {"package": {"ecosystem": "Ubuntu:Pro:22.04:LTS", "name": "a"}, "ranges": [{"type": "ECOSYSTEM", "events": until("1.0-1ubuntu1+esm2")}]}]}),
        ),
    ]);
    let found = |version: &str| one(&db, PackageKind::Deb, "Ubuntu:22.04", "a", version);
    assert_eq!(found("1.0-1ubuntu1")[0].fixed, None);
    assert_eq!(found("1.0-1ubuntu1+esm1")[0].fixed.as_deref(), Some("1.0-1ubuntu1+esm2"));
    assert!(found("1.0-1ubuntu1+esm2").is_empty());
}

#[test]
fn a_vendors_not_affected_overrules_a_foreign_claim() {
    let mut denied =
        advisory("DEBIAN-CVE-2026-1", "Debian:12", "a", &until("1"), &json!({"upstream": ["CVE-2026-1"]}));
    denied.affected[0].state = crate::State::NotAffected;
    let claim = advisory("CVE-2026-1", "Debian:12", "a", &json!([{"introduced": "0"}]), &json!({}));
    assert!(findings(&Database::new([denied.clone(), claim.clone()]), &image("a", "a", "1")).is_empty());
    assert_eq!(findings(&Database::new([claim]), &image("a", "a", "1")).len(), 1);
    assert!(findings(&Database::new([denied]), &image("a", "a", "1")).is_empty());
}

#[test]
fn kernel_packages_are_counted_and_shown_on_demand() {
    let db = Database::new([debian("DSA-1", "linux", &json!([{"introduced": "0"}]))]);
    let image = image("linux-libc-dev", "linux", "6.1");
    let usual = find(&db, &image, &MatchOptions::default());
    assert_eq!((usual.findings.len(), usual.kernel_dropped), (0, 1));
    let all = find(&db, &image, &MatchOptions { kernel: KernelPackages::Keep, ..MatchOptions::default() });
    assert_eq!((all.findings.len(), all.kernel_dropped), (1, 0));
}

#[test]
fn what_the_distribution_packages_is_left_to_its_feed() {
    let db = Database::new([
        debian("DSA-1", "bash", &until("1")),
        advisory("PYSEC-1", "PyPI", "idna", &json!([{"introduced": "0"}]), &json!({})),
    ]);
    let os = |ecosystem: &str| package(PackageKind::Deb, ecosystem, "python3-idna", "3");
    let mut python = package(PackageKind::Pypi, "PyPI", "idna", "3");
    python.owned_by = Some("python3-idna".into());
    let covered = find(&db, &catalogue(vec![os("Debian:12"), python.clone()]), &MatchOptions::default());
    assert_eq!((covered.findings.len(), covered.owned_by_distribution), (0, 1));
    // No feed speaks of this release.
    let uncovered = find(&db, &catalogue(vec![os("Debian:11"), python.clone()]), &MatchOptions::default());
    assert_eq!(uncovered.findings.len(), 1);
    python.owned_by = None;
    let pip = find(&db, &catalogue(vec![os("Debian:12"), python.clone()]), &MatchOptions::default());
    assert_eq!(pip.findings.len(), 1);
    python.owned_by = Some("python3-idna".into());
    let npm = find(
        &db,
        &catalogue(vec![
            konzert_packages::Package { third_party: true, ..os("Debian:12") },
            package(PackageKind::Deb, "Debian:12", "bash", "3"),
            python.clone(),
        ]),
        &MatchOptions::default(),
    );
    assert_eq!((npm.findings.len(), npm.owned_by_distribution), (1, 0), "owned by somebody else's package");
    let alpine = Database::new([
        advisory("ALPINE-1", "Alpine:v3.20", "bash", &until("1"), &json!({})),
        advisory("PYSEC-1", "PyPI", "idna", &json!([{"introduced": "0"}]), &json!({})),
    ]);
    let apk = package(PackageKind::Apk, "Alpine:v3.20", "python3-idna", "3");
    let found = find(&alpine, &catalogue(vec![apk, python.clone()]), &MatchOptions::default());
    assert_eq!(
        found.findings.len(),
        1,
        "secdb names only what is fixed: it cannot answer for the language's own"
    );
    let mut foreign = os("Debian:12");
    (foreign.source_name, foreign.source_version, foreign.third_party) = ("bash".into(), "0".into(), true);
    assert!(findings(&db, &catalogue(vec![foreign])).is_empty(), "somebody else's package");
}

#[test]
fn exploited_and_likely_ones_come_first() {
    let old = Database::new([
        advisory(
            "DEBIAN-CVE-2026-0001",
            "Debian:12",
            "a",
            &until("2"),
            &json!({"upstream": ["CVE-2026-0001"]}),
        ),
        advisory(
            "DEBIAN-CVE-2026-0002",
            "Debian:12",
            "a",
            &until("2"),
            &json!({"upstream": ["CVE-2026-0002"]}),
        ),
        advisory(
            "DEBIAN-CVE-2026-0003",
            "Debian:12",
            "a",
            &until("2"),
            &json!({"upstream": ["CVE-2026-0003"]}),
        ),
    ]);
    let mut builder = Builder::new(&old);
    let kev = json!({"catalogVersion": "x", "vulnerabilities": [{"cveID": "CVE-2026-0003", "dateAdded": "2026-02-03"}]}).to_string();
    for text in [kev.as_str(), "cve,epss,percentile\nCVE-2026-0002,0.5,0.9\n"] {
        let mut items = Vec::new();
        let mut sink = |item| items.push(item);
        let (_, facts) = parse(text.as_bytes(), &mut Reading { name: "x", sink: &mut sink }).unwrap();
        for item in items {
            assert!(builder.take(item));
        }
        assert_eq!(builder.settle(&facts), 0);
    }
    let db = Database::from_bytes(builder.finish(&[]).into()).unwrap();
    let found = findings(&db, &image("a", "a", "1"));
    let said: Vec<_> =
        found.iter().map(|f| (f.advisory.as_str(), f.known_exploited.is_some(), f.epss.is_some())).collect();
    assert_eq!(
        said,
        [
            ("DEBIAN-CVE-2026-0003", true, false),
            ("DEBIAN-CVE-2026-0002", false, true),
            ("DEBIAN-CVE-2026-0001", false, false)
        ]
    );
    let touched = crate::Delta::between(&old, &db);
    assert!(touched.packages().contains(&("Debian:12".to_owned(), "a".to_owned())));
    assert_eq!(touched.advisories(), 0);
}

#[test]
fn impossible_ranges_are_unknown_or_empty_but_never_hang() {
    let rows = [
        (json!([{"introduced": "2"}, {"fixed": "1"}]), "3", Some(FindingState::Affected)),
        (json!([{"introduced": "2"}, {"fixed": "1"}]), "1", None),
        (json!([{"introduced": "0"}, {"introduced": "0"}, {"fixed": "0"}]), "1", None),
        (json!([{"introduced": "0"}, {"fixed": "é"}]), "1", Some(FindingState::Unknown)),
        (json!([{"introduced": "0"}, {"limit": "2"}]), "1", Some(FindingState::Affected)),
        (json!([{"introduced": "0"}, {"limit": "2"}]), "2", None),
    ];
    for (events, version, want) in rows {
        let db = Database::new([debian("DSA-1", "a", &events)]);
        let found = findings(&db, &image("a", "a", version));
        assert_eq!(found.first().map(|f| f.state), want, "{events} {version}");
    }
}
