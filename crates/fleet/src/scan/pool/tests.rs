//! Packages are shared, found by what advisories name, and go with their last image.

use konzert_advisories::{Database, find_package, parse_osv};
use konzert_packages::{Format, PackageKind};
use serde_json::json;

use super::*;

fn package(name: &str, version: &str) -> Package {
    Package { ecosystem: "Debian:12".into(), ..Package::new(PackageKind::Deb, Format::Dpkg, name, version) }
}

fn digest(number: usize) -> ImageDigest {
    ImageDigest::try_from(format!("sha256:{number:064x}")).unwrap()
}

fn about(packages: &[&str]) -> Database {
    let advisory = |name: &&str| {
        let record = json!({"id": format!("DSA-{name}"), "modified": "2026-01-01T00:00:00Z", "affected": [{
            "package": {"ecosystem": "Debian:12", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]});
        parse_osv(record.to_string().as_bytes(), "test").unwrap()
    };
    Database::new(packages.iter().map(advisory))
}

fn found(database: &Database, shared: &Shared) -> Judged {
    let found = find_package(database, &shared.package, &konzert_advisories::MatchOptions::default());
    Judged::Found(found.into_iter().map(Noted::new).collect())
}

#[test]
fn equal_packages_are_one_and_go_with_their_last_image() {
    let mut pool = Pool::default();
    let (first, bytes) = pool.insert(&digest(1), vec![package("a", "1"), package("b", "1")]);
    assert!(bytes > 0);
    let (second, bytes) = pool.insert(&digest(2), vec![package("a", "1")]);
    assert!(bytes == 0 && Arc::ptr_eq(&first[0], &second[0]));
    let other_owner = Package { owned_by: Some("x".into()), ..package("a", "1") };
    let (third, bytes) = pool.insert(&digest(3), vec![other_owner]);
    assert!(bytes > 0 && !Arc::ptr_eq(&first[0], &third[0]), "equal means equal in every field");
    let delta = Delta::between_up_to(&about(&["c"]), &about(&["a", "c"]), 9).unwrap();
    assert_eq!(pool.touched(&delta), BTreeSet::from([1, 2, 3].map(digest)));
    pool.remove(&digest(1), &first);
    assert_eq!(pool.touched(&delta), BTreeSet::from([2, 3].map(digest)));
    pool.remove(&digest(2), &second);
    pool.remove(&digest(3), &third);
    assert!(pool.known.is_empty() && pool.keys.is_empty() && pool.slots.iter().all(Option::is_none));
    pool.insert(&digest(1), vec![package("z", "1")]);
    assert_eq!((pool.slots.len(), pool.images.len()), (3, 3), "places are used again");
}

#[test]
fn findings_are_forgotten_with_what_they_are_about() {
    let (old, new) = (about(&["a", "b"]), about(&["a", "b", "b2"]));
    let mut pool = Pool::default();
    let (held, _) = pool.insert(&digest(1), vec![package("a", "1"), package("b2", "1")]);
    assert!(pool.is_blank());
    for shared in &held {
        assert!(pool.judge(shared, found(&old, shared)));
    }
    let delta = Delta::between(&old, &new);
    assert_eq!(pool.follow(&delta), BTreeSet::from([digest(1)]));
    assert!(
        matches!(pool.judged(&held[0]), Judged::Found(_)) && matches!(pool.judged(&held[1]), Judged::Not)
    );
    pool.remove(&digest(1), &held);
    assert!(pool.is_blank() && pool.findings_bytes == 0);
    assert!(pool.judge(&held[0], found(&old, &held[0])) && pool.is_blank(), "nobody has it any more");
    let (other, _) = pool.insert(&digest(2), vec![package("c", "1")]);
    assert!(matches!(pool.judged(&held[0]), Judged::Not), "its place is another's");
    assert!(matches!(pool.judged(&other[0]), Judged::Not));
}

#[test]
fn findings_are_bounded() {
    let database = about(&["a", "b", "c", "d"]);
    let mut pool = Pool::new(0);
    let (held, _) = pool.insert(&digest(1), vec![package("a", "1")]);
    let one = judged_bytes(&found(&database, &held[0]));
    pool = Pool::new(2 * one);
    let all = ["a", "b", "c", "d"].map(|name| package(name, "1")).to_vec();
    let (held, _) = pool.insert(&digest(1), all);
    let fits: Vec<bool> = held.iter().map(|shared| pool.judge(shared, found(&database, shared))).collect();
    assert_eq!(fits, [true, true, false, true]);
    assert_eq!((pool.judged, pool.findings_bytes), (2, 2 * one));
    assert!(pool.judge(&held[3], found(&database, &held[3])), "in its own place");
    assert_eq!((pool.judged, pool.findings_bytes), (2, 2 * one));
}
