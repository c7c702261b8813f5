//! Tables for advisories, ranges and the file format; the public Debian data where it is present.

mod delta;
mod files;
mod merging;
mod public_data;
mod published;
mod sources;

use konzert_packages::{Catalogue, Format, Package, PackageKind};
use serde_json::json;

use crate::{Advisory, Database, FindingState, Severity, findings, parse_osv};

fn osv(value: &serde_json::Value) -> Advisory {
    parse_osv(value.to_string().as_bytes(), "test.json").unwrap()
}

fn debian(id: &str, package: &str, events: &serde_json::Value) -> Advisory {
    osv(&json!({
        "id": id, "modified": "2026-01-02T03:04:05Z", "aliases": ["CVE-2026-1"], "related": ["CVE-2026-2"],
        "affected": [{"package": {"ecosystem": "Debian:12", "name": package},
            "ranges": [{"type": "ECOSYSTEM", "events": events}]}],
    }))
}

fn package(kind: PackageKind, ecosystem: &str, name: &str, version: &str) -> Package {
    let mut package = Package::new(kind, Format::Dpkg, name, version);
    ecosystem.clone_into(&mut package.ecosystem);
    package.evidence = "var/lib/dpkg/status".into();
    package
}

fn catalogue(packages: Vec<Package>) -> Catalogue {
    Catalogue { packages, complete: true, ..Catalogue::default() }
}

fn image(name: &str, source: &str, version: &str) -> Catalogue {
    let mut one = package(PackageKind::Deb, "Debian:12", name, version);
    source.clone_into(&mut one.source_name);
    catalogue(vec![one])
}

#[test]
fn ranges_follow_the_osv_evaluation() {
    let from_start = json!([{"introduced": "0"}, {"fixed": "3.0.2-1"}]);
    let two = json!([{"fixed": "3.0-1"}, {"introduced": "2.0-1"}, {"introduced": "0"}, {"fixed": "1.0-1"}]);
    let last = json!([{"introduced": "1.0"}, {"last_affected": "2.0"}]);
    let open = json!([{"introduced": "0"}]);
    let rows = [
        (&from_start, "3.0.1-1", Some(Some("3.0.2-1"))),
        (&from_start, "3.0.2-1", None),
        (&from_start, "1:1.0", None),
        (&two, "0.5-1", Some(Some("1.0-1"))),
        (&two, "1.5-1", None),
        (&two, "2.5-1", Some(Some("3.0-1"))),
        (&last, "2.0", Some(None)),
        (&last, "2.0-1", None),
        (&open, "99", Some(None)),
    ];
    for (events, installed, want) in rows {
        let db = Database::new([debian("DSA-1", "openssl", events)]);
        let found = findings(&db, &image("libssl3", "openssl", installed));
        assert_eq!(found.first().map(|f| f.fixed.as_deref()), want, "{events} {installed}");
    }
}

#[test]
fn matching_is_by_source_package_and_release() {
    let db = Database::new([debian("DSA-1", "openssl", &json!([{"introduced": "0"}]))]);
    assert_eq!(findings(&db, &image("libssl3", "openssl", "1")).len(), 1);
    assert!(findings(&db, &image("openssl", "other", "1")).is_empty());
    let mut other_release = image("libssl3", "openssl", "1");
    other_release.packages[0].ecosystem = "Debian:11".into();
    assert!(findings(&db, &other_release).is_empty());
    assert!(db.covers("Debian:12").is_some() && db.covers("Debian:11").is_none());
}

#[test]
fn withdrawn_advisories_do_not_match_and_zero_as_fixed_means_never_affected() {
    let mut gone = debian("DSA-1", "openssl", &json!([{"introduced": "0"}]));
    gone.withdrawn = true;
    assert!(findings(&Database::new([gone]), &image("a", "openssl", "1")).is_empty());
    let never = debian("DSA-2", "openssl", &json!([{"introduced": "0"}, {"fixed": "0"}]));
    assert!(findings(&Database::new([never]), &image("a", "openssl", "1")).is_empty());
}

#[test]
fn a_version_without_place_in_the_order_is_unknown_not_clean() {
    let db = Database::new([debian("DSA-1", "openssl", &json!([{"introduced": "0"}, {"fixed": "2"}]))]);
    let found = findings(&db, &image("a", "openssl", "vérsion"));
    assert_eq!(found[0].state, FindingState::Unknown);
}

#[test]
fn ids_join_aliases_and_related() {
    let db = Database::new([debian("DSA-1", "openssl", &json!([{"introduced": "0"}]))]);
    for id in ["DSA-1", "CVE-2026-1", "cve-2026-2"] {
        assert_eq!(db.ids(id).into_iter().collect::<Vec<_>>(), ["DSA-1"], "{id}");
    }
    assert!(db.ids("CVE-2026-3").is_empty());
}

#[test]
fn severity_is_the_vendors_word_before_cvss() {
    let mut value = json!({"id": "X-1", "modified": "2026-01-02T03:04:05Z",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]});
    assert_eq!(osv(&value).severity, Severity::Critical);
    value["database_specific"] = json!({"severity": "Moderate"});
    assert_eq!(osv(&value).severity, Severity::Medium);
}
