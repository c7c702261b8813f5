//! Pairs of versions that the ecosystems' own tools order so, beyond the public vectors.

use std::cmp::Ordering::{self, Equal, Greater, Less};

use crate::version::VersionOrder;

#[test]
fn the_ecosystems_own_tools_say_so() {
    let rows: [(VersionOrder, &str, Ordering, &str); 18] = [
        // composer/semver normalises before it compares.
        (VersionOrder::Packagist, "v2.0", Equal, "2.0.0"),
        (VersionOrder::Packagist, "1.10", Less, "1.10.0.1"),
        (VersionOrder::Packagist, "1.0.0-BETA2", Less, "1.0.0"),
        (VersionOrder::Packagist, "1.0.0-BETA2", Equal, "1.0.0-beta2"),
        (VersionOrder::Packagist, "2.2.0+build9", Equal, "2.2"),
        (VersionOrder::Packagist, "1.0-stable", Equal, "1.0.0"),
        (VersionOrder::Packagist, "1.0-dev", Less, "1.0.0-alpha1"),
        (VersionOrder::Packagist, "1.0.0-p1", Greater, "1.0"),
        // packaging
        (VersionOrder::Pypi, "1.0a-", Less, "1.0a1"),
        (VersionOrder::Pypi, "2.0rc.", Greater, "1.0"),
        (VersionOrder::Pypi, "1.0a-.post2", Greater, "1.0a0"),
        // Bitnami's vulnerability database
        (VersionOrder::Bitnami, "1.25.3-2", Greater, "1.25.3"),
        (VersionOrder::Bitnami, "1.25.3-2", Less, "1.25.4"),
        (VersionOrder::Bitnami, "1.25.3-10", Greater, "1.25.3-2"),
        (VersionOrder::Bitnami, "2.0.0-rc1", Less, "2.0.0"),
        // maven-artifact 3.9
        (VersionOrder::Maven, "10.2.0.Alpha1", Less, "10.2.0-rc1"),
        (VersionOrder::Maven, "1.0.0.RC1", Equal, "1.0-RC1"),
        (VersionOrder::Maven, "5.0.0.Final", Equal, "5"),
    ];
    for (order, a, want, b) in rows {
        assert_eq!(order.compare(a, b), Ok(want), "{order:?}: {a} {b}");
        assert_eq!(order.compare(b, a), Ok(want.reverse()), "{order:?}: {b} {a}");
    }
}
