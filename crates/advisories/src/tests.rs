//! Tables for advisories, ranges and the file format; the public Debian data where it is present.

use konzert_packages::{Catalogue, Format, Package, PackageKind};
use serde_json::json;

use crate::{Advisory, Bound, Database, DatabaseError, FindingState, Severity, findings, parse_osv};

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

fn image(name: &str, source: &str, version: &str) -> Catalogue {
    let package = Package {
        name: name.into(),
        version: version.into(),
        source_name: source.into(),
        source_version: version.into(),
        arch: "amd64".into(),
        format: Format::Dpkg,
        ecosystem: "Debian:12".into(),
        layer: 0,
        evidence: "var/lib/dpkg/status".into(),
        kind: PackageKind::Deb,
        ..Package::default()
    };
    Catalogue { packages: vec![package], complete: true, ..Catalogue::default() }
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

#[test]
fn what_is_not_osv_is_named() {
    let rows = [
        ("[1,2]", "not an OSV advisory"),
        ("{}", "field id: missing"),
        (r#"{"id":"a b","modified":"2026-01-02T03:04:05Z"}"#, "field id"),
        (r#"{"id":"X"}"#, "field modified: missing"),
        (
            r#"{"id":"X","modified":"2026-01-02T03:04:05Z","affected":[{"package":{"ecosystem":"a","name":"b"},"ranges":[{"type":"ECOSYSTEM","events":[{"fixed":"1"}]}]}]}"#,
            "affected[0].ranges",
        ),
    ];
    for (text, want) in rows {
        let error = parse_osv(text.as_bytes(), "broken.json").unwrap_err().to_string();
        assert!(error.starts_with("broken.json") && error.contains(want), "{error}");
    }
}

#[test]
fn the_file_round_trips_and_damage_is_found() {
    let db = Database::new([
        debian("DSA-2", "openssl", &json!([{"introduced": "0"}, {"last_affected": "2"}])),
        debian("DSA-1", "zlib", &json!([{"introduced": "0"}])),
    ]);
    let bytes = db.to_bytes();
    let read = Database::from_bytes(&bytes).unwrap();
    assert_eq!(read.revision(), db.revision());
    assert_eq!(read.get("DSA-2"), db.get("DSA-2"));
    assert!(matches!(read.get("DSA-2").unwrap().affected[0].ranges[0][1], Bound::LastAffected(_)));
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert!(matches!(Database::from_bytes(&damaged), Err(DatabaseError::Checksum)));
    assert!(matches!(Database::from_bytes(&bytes[..bytes.len() - 5]), Err(DatabaseError::Checksum)));
    assert!(matches!(Database::from_bytes(b"PK\x03\x04"), Err(DatabaseError::Header)));
}

#[test]
fn merging_counts_changes_and_keeps_the_newest() {
    let old = debian("DSA-1", "openssl", &json!([{"introduced": "0"}]));
    let mut new = old.clone();
    new.modified = "2026-02-01T00:00:00Z".parse().unwrap();
    new.summary = "new".into();
    let (db, changed) = Database::new([old.clone()]).merged([new.clone()]);
    assert_eq!((changed, db.get("DSA-1").unwrap().summary.as_str()), (1, "new"));
    let (db, changed) = db.merged([old, new]);
    assert_eq!((changed, db.get("DSA-1").unwrap().summary.as_str()), (0, "new"));
}

#[test]
fn every_fixed_version_of_the_public_debian_data_is_not_affected() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/advisories/debian-elts.osv.tar.gz");
    let Ok(file) = std::fs::File::open(path) else {
        eprintln!("SKIPPED: the public Debian ELTS advisories are not beside the project");
        return;
    };
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let (mut checked, mut twice, mut refused) = (0, 0, 0);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if bytes.is_empty() {
            continue;
        }
        // A few records of this feed are no OSV (`ranges` is an object); the parser must say so rather than guess.
        let Ok(advisory) = parse_osv(&bytes, "elts") else {
            refused += 1;
            continue;
        };
        for affected in &advisory.affected {
            // Some notices list a package twice with two fixed versions; OSV takes the union, so only the higher one holds.
            let same =
                |a: &&crate::Affected| a.package == affected.package && a.ecosystem == affected.ecosystem;
            if advisory.affected.iter().filter(same).count() > 1 {
                twice += 1;
                continue;
            }
            for bound in affected.ranges.iter().flatten() {
                let Bound::Fixed(fixed) = bound else { continue };
                let mut at = image(&affected.package, &affected.package, fixed);
                at.packages[0].ecosystem.clone_from(&affected.ecosystem);
                let db = Database::new([advisory.clone()]);
                assert!(findings(&db, &at).is_empty(), "{} {fixed}", advisory.id);
                at.packages[0].source_version = format!("{fixed}~");
                assert_eq!(findings(&db, &at).len(), 1, "{} below {fixed}", advisory.id);
                checked += 1;
            }
        }
    }
    assert!(
        checked > 1000 && twice < 20 && refused < 20,
        "{checked} checked, {twice} twice, {refused} refused"
    );
}
