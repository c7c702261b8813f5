//! Shapes that publishers really use, and the packages they must and must not find.

use konzert_packages::{Package, PackageKind};
use serde_json::{Value, json};

use super::{catalogue, osv, package};
use crate::sources::{Item, Reading, parse};
use crate::{Advisory, Database, MatchOptions, find, findings, lookups};

fn affected(ecosystem: &str, name: &str, events: &Value, versions: &Value) -> Advisory {
    osv(&json!({"id": "X-1", "modified": "2026-01-02T03:04:05Z", "affected": [{
        "package": {"ecosystem": ecosystem, "name": name}, "versions": versions,
        "ranges": if events.is_null() { json!([]) } else { json!([{"type": "ECOSYSTEM", "events": events}]) }}]}))
}

fn hits(advisory: Advisory, package: Package) -> usize {
    findings(&Database::new([advisory]), &catalogue(vec![package])).len()
}

#[test]
fn one_version_is_one_version_and_ranges_may_touch() {
    let single = json!([{"introduced": "1.2.3"}, {"last_affected": "1.2.3"}]);
    let touching =
        json!([{"introduced": "0"}, {"last_affected": "1.0.0"}, {"introduced": "1.0.0"}, {"fixed": "2.0.0"}]);
    let empty = json!([{"introduced": "1.0.0"}, {"fixed": "1.0.0"}]);
    let two = json!([{"introduced": "0"}, {"fixed": "1.0.0"}, {"introduced": "1.0.0"}, {"fixed": "2.0.0"}]);
    let rows = [
        (&single, "1.2.2", 0),
        (&single, "1.2.3", 1),
        (&single, "1.2.4", 0),
        (&single, "9.0.0", 0),
        (&touching, "0.5.0", 1),
        (&touching, "1.5.0", 1),
        (&touching, "2.0.0", 0),
        (&empty, "1.0.0", 0),
        (&empty, "1.5.0", 0),
        (&two, "1.0.0", 1),
        (&two, "1.5.0", 1),
    ];
    for (events, version, want) in rows {
        let found =
            hits(affected("npm", "a", events, &json!([])), package(PackageKind::Npm, "npm", "a", version));
        assert_eq!(found, want, "{events} {version}");
    }
}

#[test]
fn listed_versions_are_compared_as_versions() {
    let rows = [
        (PackageKind::Pypi, "PyPI", "1.0", "1.0.0", 1),
        (PackageKind::Composer, "Packagist", "1.2.0", "v1.2.0", 1),
        (PackageKind::Maven, "Maven", "5.0.0.Final", "5.0.0", 1),
        (PackageKind::Pypi, "PyPI", "1.0", "1.0.1", 0),
    ];
    for (kind, ecosystem, listed, installed, want) in rows {
        let advisory = affected(ecosystem, "a", &Value::Null, &json!([listed]));
        assert_eq!(hits(advisory, package(kind, ecosystem, "a", installed)), want, "{listed} {installed}");
    }
}

#[test]
fn ecosystems_with_an_address_or_a_product() {
    let until = json!([{"introduced": "0"}, {"fixed": "2"}]);
    let sles = "SUSE:Linux Enterprise Server 15 SP5";
    let rows = [
        (PackageKind::Composer, "Packagist", "Packagist:https://packages.drupal.org/8", 1),
        (PackageKind::Maven, "Maven", "Maven:https://repo.jenkins-ci.org/releases/", 1),
        (PackageKind::Rpm, sles, "SUSE:Linux Enterprise Module for Basesystem 15 SP5", 1),
        (PackageKind::Rpm, sles, "SUSE:Linux Enterprise Server 15 SP5-LTSS", 1),
        (PackageKind::Rpm, sles, "SUSE:Linux Enterprise Module for Basesystem 15 SP6", 0),
        (PackageKind::Rpm, sles, "SUSE:Linux Enterprise Micro 5.5", 0),
        (
            PackageKind::Rpm,
            "SUSE:Linux Enterprise Server 12 SP5",
            "SUSE:Linux Enterprise Module for Web and Scripting 12",
            1,
        ),
    ];
    for (kind, installed, published, want) in rows {
        let one = package(kind, installed, "a", "1");
        assert_eq!(hits(affected(published, "a", &until, &json!([])), one.clone()), want, "{published}");
        let asked =
            lookups(&one).iter().any(|(ecosystem, _)| *ecosystem == crate::ecosystem::canonical(published));
        assert_eq!(asked, want == 1, "{published}");
    }
}

#[test]
fn where_a_feed_names_only_fixes_a_language_is_asked_itself() {
    let python = |owner: &str| Package {
        owned_by: Some(owner.into()),
        ..package(PackageKind::Pypi, "PyPI", "idna", "3")
    };
    for (ecosystem, kind, want) in [
        ("Alpine:v3.20", PackageKind::Apk, 1),
        ("Wolfi", PackageKind::Apk, 1),
        ("Debian:12", PackageKind::Deb, 0),
    ] {
        let until = json!([{"introduced": "0"}, {"fixed": "1"}]);
        let mut of_feed = affected(ecosystem, "bash", &until, &json!([]));
        of_feed.id = "FEED-1".into();
        let db =
            Database::new([of_feed, affected("PyPI", "idna", &json!([{"introduced": "0"}]), &json!([]))]);
        let image = catalogue(vec![package(kind, ecosystem, "py3-idna", "3"), python("py3-idna")]);
        assert_eq!(find(&db, &image, &MatchOptions::default()).findings.len(), want, "{ecosystem}");
    }
}

#[test]
fn a_line_of_secdb_is_words_and_one_or_several_vulnerabilities() {
    let text = json!({"apkurl": "x", "distroversion": "v3.20", "reponame": "main", "packages": [{"pkg": {"name": "a", "secfixes": {
        "1-r0": ["CVE-2017-2616 (+ regression fix)", "XSA-295 CVE-2019-17349"],
        "2-r0": ["CVE-2018-12126 CVE-2018-12127 XSA-297", "CVE_2019-2426", "CVE-2020-????"],
        "3-r0": ["CVE-2026-1 (+ regression fix)"]}}}]});
    let mut found: Vec<String> = Vec::new();
    let mut sink = |item: Item| {
        if let Item::Advisory(advisory) = item {
            found.push(format!("{}={}", advisory.id, advisory.aliases.join(",")));
        }
    };
    parse(text.to_string().as_bytes(), &mut Reading { name: "main.json", sink: &mut sink }).unwrap();
    let want = [
        "CVE-2017-2616=",
        "CVE-2018-12126=",
        "CVE-2018-12127=",
        "CVE-2019-17349=XSA-295",
        "CVE-2019-2426=",
        "CVE-2020-????=",
        "CVE-2026-1=",
    ];
    assert_eq!(found, want);
}

#[test]
fn every_name_that_an_archive_may_have_is_asked_for() {
    let until = json!([{"introduced": "0"}, {"fixed": "5.3.18"}]);
    let spring = Package {
        also: vec!["org.springframework:spring-webmvc".into()],
        ..package(PackageKind::Maven, "Maven", "spring.webmvc:spring-webmvc", "5.3.17")
    };
    let advisory = || affected("Maven", "org.springframework:spring-webmvc", &until, &json!([]));
    assert_eq!(hits(advisory(), spring.clone()), 1);
    assert_eq!(hits(advisory(), Package { version: "5.3.18".into(), ..spring.clone() }), 0);
    assert!(lookups(&spring).contains(&("Maven".into(), "org.springframework:spring-webmvc".into())));
}

#[test]
fn a_vendor_denies_what_it_names_and_not_its_aliases() {
    let of_tracker = |id: &str, fixed: &str| {
        let text = json!({"openssl": {id: {"releases": {"bookworm": {"status": "resolved", "fixed_version": fixed}}}}});
        let mut found = None;
        let mut sink = |item: Item| {
            if let Item::Advisory(advisory) = item {
                found = Some(*advisory);
            }
        };
        parse(text.to_string().as_bytes(), &mut Reading { name: "x.json", sink: &mut sink }).unwrap();
        found.unwrap()
    };
    let mut joined = affected("npm", "openssl", &json!([{"introduced": "0"}]), &json!([]));
    joined.aliases = vec!["CVE-2026-1".into(), "CVE-2026-2".into()];
    let image = catalogue(vec![package(PackageKind::Deb, "Debian:12", "openssl", "1")]);
    let one = Database::new([of_tracker("CVE-2026-1", "0"), of_tracker("CVE-2026-2", "2"), joined.clone()]);
    let found = findings(&one, &image);
    assert_eq!(found.iter().map(|f| f.advisory.as_str()).collect::<Vec<_>>(), ["CVE-2026-2"]);
    let none = Database::new([of_tracker("CVE-2026-1", "0"), of_tracker("CVE-2026-2", "0"), joined]);
    assert!(findings(&none, &image).is_empty());
}
