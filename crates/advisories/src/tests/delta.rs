//! A delta names every image whose findings change.

use konzert_packages::{Package, PackageKind};
use proptest::prelude::*;
use serde_json::json;

use super::files::advisory;
use super::{catalogue, debian, package};
use crate::{Database, Delta, Inverted, findings, lookups};

#[test]
fn only_images_with_the_package_are_touched() {
    let old = Database::new([debian("DSA-1", "zlib", &json!([{"introduced": "0"}]))]);
    let new = Database::new([
        debian("DSA-1", "zlib", &json!([{"introduced": "0"}])),
        debian("DSA-2", "openssl", &json!([{"introduced": "0"}])),
    ]);
    let mut images = Inverted::default();
    let with = |name: &str| vec![package(PackageKind::Deb, "Debian:12", name, "1")];
    images.insert(&"ssl", &with("openssl"));
    images.insert(&"z", &with("zlib"));
    images.insert(&"other", &with("bash"));
    let delta = Delta::between(&old, &new);
    assert_eq!(delta.advisories(), 1);
    // The two notices cover one vulnerability, so that the other package's finding changes too.
    assert_eq!(images.touched(&delta).into_iter().collect::<Vec<_>>(), ["ssl", "z"]);
    images.remove(&"ssl");
    images.insert(&"z", &with("bash"));
    assert!(images.touched(&delta).is_empty());
    assert_eq!(images.len(), 2);
    assert!(Delta::between(&new, &new.clone()).is_empty());
    assert_eq!(Delta::between_up_to(&old, &new, 1), Some(delta));
    assert_eq!(Delta::between_up_to(&old, &new, 0), None);
}

#[test]
fn an_index_through_which_many_packages_go_stays_small() {
    let mut images = Inverted::default();
    for number in 0..20_000 {
        let name = format!("package-{number}");
        images.insert(&(number % 3), &[package(PackageKind::Deb, "Debian:12", &name, "1")]);
    }
    assert_eq!(images.len(), 3);
    let shown = format!("{images:?}");
    assert!(shown.matches("package-").count() < 5000, "names of packages that are gone are kept");
    let delta = Delta::between(
        &Database::default(),
        &Database::new([debian("DSA-1", "package-19999", &json!([{"introduced": "0"}]))]),
    );
    assert_eq!(images.touched(&delta), (0..3).collect(), "the ecosystem came to be covered");
}

#[test]
fn a_question_about_one_vulnerability_concerns_the_images_that_may_have_it() {
    let database = Database::new([
        debian("DSA-1", "zlib", &json!([{"introduced": "0"}])),
        debian("DSA-2", "openssl", &json!([{"introduced": "0"}])),
    ]);
    let mut images = Inverted::default();
    for name in ["zlib", "openssl", "bash"] {
        images.insert(&name, &[package(PackageKind::Deb, "Debian:12", name, "1")]);
    }
    let about = |id: &str| images.touched(&Delta::about(&database, &database.ids(id)));
    assert!(about("DSA-1").contains("zlib") && !about("DSA-1").contains("bash"));
    assert!(about("DSA-9").is_empty());
}

#[test]
fn an_ecosystem_that_comes_to_be_covered_touches_all_its_images() {
    let new = Database::new([debian("DSA-1", "zlib", &json!([{"introduced": "0"}]))]);
    let mut images = Inverted::default();
    images.insert(&1, &[package(PackageKind::Deb, "Debian:12", "bash", "1")]);
    images.insert(&2, &[package(PackageKind::Deb, "Debian:11", "bash", "1")]);
    let delta = Delta::between(&Database::default(), &new);
    assert_eq!(images.touched(&delta).into_iter().collect::<Vec<_>>(), [1]);
}

fn installed() -> impl Strategy<Value = Package> {
    let ecosystem = prop::sample::select(vec![
        (PackageKind::Deb, "Debian:12"),
        (PackageKind::Pypi, "PyPI"),
        (PackageKind::Rpm, "AlmaLinux:9"),
        (PackageKind::Apk, "Alpine:v3.20"),
    ]);
    (ecosystem, "[ab]", "[0-3]")
        .prop_map(|((kind, ecosystem), name, version)| package(kind, ecosystem, &name, &version))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn matching_by_delta_is_matching_in_full(
        mut before in prop::collection::vec(advisory(), 0..8),
        mut after in prop::collection::vec(advisory(), 0..4),
        kept in 0..8usize,
        images in prop::collection::vec(prop::collection::vec(installed(), 0..4), 1..5),
    ) {
        // Few names, so that advisories and packages meet.
        for (number, affected) in before.iter_mut().chain(&mut after).flat_map(|a| &mut a.affected).enumerate() {
            affected.package = ["a", "b"][number % 2].into();
        }
        after.extend(before.iter().take(kept).cloned());
        let (old, new) = (Database::new(before), Database::new(after));
        let delta = Delta::between(&old, &new);
        let mut inverted = Inverted::default();
        for (number, packages) in images.iter().enumerate() {
            inverted.insert(&number, packages);
        }
        let touched = inverted.touched(&delta);
        for (number, packages) in images.into_iter().enumerate() {
            let image = catalogue(packages);
            if !touched.contains(&number) {
                prop_assert_eq!(findings(&old, &image), findings(&new, &image));
            }
        }
    }

    #[test]
    fn lookups_name_the_packages_own_ecosystem_first(one in installed()) {
        prop_assert_eq!(&lookups(&one)[0].0, &one.ecosystem);
    }

    /// The ceiling is a short cut: the other epoch option goes without it, and these ecosystems' versions have no epochs.
    #[test]
    fn ceilings_hide_nothing(
        mut all in prop::collection::vec(advisory(), 0..6),
        packages in prop::collection::vec(installed(), 0..6),
    ) {
        for affected in all.iter_mut().flat_map(|a| &mut a.affected) {
            affected.package = "a".into();
            // Most real ranges end with a fix.
            for range in affected.ranges.iter_mut().filter(|range| !range.is_empty()) {
                range.push(crate::Bound::Fixed("2".into()));
            }
        }
        let (db, image) = (Database::new(all), catalogue(packages));
        let slow = crate::MatchOptions { missing_epoch: crate::MissingEpoch::OfAdvisory, ..crate::MatchOptions::default() };
        prop_assert_eq!(findings(&db, &image), crate::find(&db, &image, &slow).findings);
    }
}
