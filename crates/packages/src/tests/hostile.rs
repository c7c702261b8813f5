//! Mutations of every binary format and of every text format: nothing panics, nothing runs on, and what was kept can still be
//! shown. Directories 10,000 deep and links in circles cost what their bytes cost.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::support::{Archive, bdb, build_info, elf, header, jar, layer, ndb, sqlite};
use crate::{LayerCataloguer, Precision, catalogue, fuzz};

/// Real files, one of each format, by path.
static CORPUS: LazyLock<Vec<(&'static str, Vec<u8>)>> = LazyLock::new(corpus);

fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let blobs = [header("nodejs", "18.19.0", 60), header("tiny", "1", 1)];
    let pom = b"version=1\ngroupId=g\nartifactId=a\n";
    let inner = jar(Archive::Streamed, &[("META-INF/maven/g/a/pom.properties", pom)]);
    vec![
        ("var/lib/rpm/rpmdb.sqlite", sqlite(&blobs, 512)),
        ("var/lib/rpm/Packages.db", ndb(&blobs)),
        ("var/lib/rpm/Packages", bdb(&blobs)),
        ("usr/bin/app", elf(&[(".go.buildinfo", &build_info("go1.22.1", "dep\ta.b/c\tv1.0.0\n"))])),
        ("app.jar", jar(Archive::Deflated, &[("x.class", &[3; 300]), ("inner.jar", &inner)])),
        ("streamed.jar", jar(Archive::Streamed, &[("x.class", &[3; 300]), ("inner.jar", &inner)])),
        ("var/lib/dpkg/status", b"Package: a\nVersion: 1\nSource: b (2)\n".to_vec()),
        ("lib/apk/db/installed", b"P:a\nV:1-r0\nF:lib\nR:x\n\n".to_vec()),
        ("node_modules/a/package.json", br#"{"name": "a", "version": "1"}"#.to_vec()),
        ("a/vendor/composer/installed.json", br#"{"packages": [{"name": "a/b", "version": "1"}]}"#.to_vec()),
        ("a/specifications/a-1.gemspec", b"s.name = \"a\"\ns.version = \"1\"\n".to_vec()),
        ("Cargo.lock", b"[[package]]\nname = \"a\"\nversion = \"1\"\nsource = \"registry\"\n".to_vec()),
    ]
}

fn mutated(content: &[u8], edits: &[(usize, u8)], cut: usize) -> Vec<u8> {
    let mut bytes = content.to_vec();
    for (at, value) in edits {
        let at = at % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = *value;
        }
    }
    bytes.truncate(bytes.len().saturating_sub(cut));
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mutations_of_real_files(
        which in 0_usize..12,
        edits in prop::collection::vec((any::<usize>(), any::<u8>()), 0..12),
        cut in prop_oneof![3 => Just(0_usize), 1 => 0_usize..4096],
    ) {
        let (path, content) = &CORPUS[which];
        let facts = fuzz::file(path, &mutated(content, &edits, cut)).unwrap();
        let found = catalogue(&[facts], Precision::Precise);
        for package in &found.packages {
            prop_assert!(package.purl().bytes().all(|b| b.is_ascii_graphic()), "{:?}", package);
        }
        prop_assert!(found.warnings.iter().all(|w| !w.chars().any(char::is_control)));
    }

    #[test]
    fn mutations_of_headers(
        edits in prop::collection::vec((any::<usize>(), any::<u8>()), 0..8),
        cut in 0_usize..200,
    ) {
        fuzz::rpm_header(&mutated(&header("a", "1", 20), &edits, cut));
    }

    #[test]
    fn any_bytes_at_all(input in prop::collection::vec(any::<u8>(), 0..2048)) {
        for fuzz in [fuzz::rpm_header, fuzz::rpm_sqlite, fuzz::rpm_ndb, fuzz::rpm_bdb, fuzz::document] {
            fuzz(&input);
        }
        fuzz::executable(&[&b"\x7fELF\x02\x01"[..], &input].concat());
        fuzz::executable(&[&b"\x7fELF\x01\x02"[..], &input].concat());
        for (path, _) in CORPUS.iter() {
            fuzz::file(path, &input).unwrap();
        }
    }

    #[test]
    fn any_versions_have_an_order_that_agrees_with_itself(
        a in "[0-9a-z.~^+!_-]{1,12}", b in "[0-9a-z.~^+!_-]{1,12}"
    ) {
        use crate::version::VersionOrder::{
            Apk, Cargo, Dpkg, Generic, Go, Maven, Npm, NuGet, Packagist, Pub, Pypi, Rpm, RubyGems,
        };
        for order in [Apk, Cargo, Dpkg, Generic, Go, Maven, Npm, NuGet, Packagist, Pub, Pypi, Rpm, RubyGems] {
            match (order.compare(&a, &b), order.compare(&b, &a)) {
                (Ok(one), Ok(other)) => prop_assert_eq!(one, other.reverse(), "{:?} {} {}", order, a, b),
                (one, other) => prop_assert!(one.is_err() && other.is_err()),
            }
            prop_assert!(order.compare(&a, &a).is_err() || order.compare(&a, &a) == Ok(std::cmp::Ordering::Equal));
        }
    }
}

#[test]
fn a_page_that_leads_to_itself_ends() {
    let mut database = sqlite(&[header("a", "1", 2000), header("b", "1", 2000)], 512);
    // Every overflow page leads to the first.
    for page in database.chunks_mut(512).skip(3) {
        page[..4].copy_from_slice(&4_u32.to_be_bytes());
    }
    fuzz::rpm_sqlite(&database);
    let mut berkeley = bdb(&[header("a", "1", 2000)]);
    for page in berkeley.chunks_mut(4096).skip(2) {
        page[16..20].copy_from_slice(&2_u32.to_le_bytes());
    }
    assert_eq!(fuzz::rpm_bdb(&berkeley), 1);
}

#[test]
fn a_record_that_is_named_ten_thousand_times_is_not_read_so_often() {
    const PAGE: usize = 65_536;
    let mut database = sqlite(&[header("a", "1", 20_000)], 65_536);
    // A leaf whose one cell goes on in overflow pages.
    let leaf = (1..database.len() / PAGE).map(|page| page * PAGE).find(|at| {
        let count = u16::from_be_bytes([database[at + 3], database[at + 4]]);
        database[*at] == 0x0d && count == 1
    });
    let leaf = leaf.unwrap();
    let cell = [database[leaf + 8], database[leaf + 9]];
    database[leaf + 3..leaf + 5].copy_from_slice(&10_000_u16.to_be_bytes());
    for pointer in 0..10_000 {
        database[leaf + 8 + pointer * 2..leaf + 10 + pointer * 2].copy_from_slice(&cell);
    }
    let read = fuzz::rpm_sqlite(&database);
    assert!((1..=2).contains(&read), "{read}");
    let found = layer(&[("var/lib/rpm/rpmdb.sqlite", &database)]);
    assert!(found.files["var/lib/rpm/rpmdb.sqlite"].warnings[0].contains("damaged"));
}

#[test]
fn a_database_of_nothing_but_packages_is_bounded() {
    let status = "Package: a\nVersion: 1\n\n".repeat(crate::limits::MAX_PACKAGES + 1);
    let row = crate::formats::format_of("var/lib/dpkg/status").unwrap();
    let crate::formats::Reading::Whole { parse, .. } = row.reading else {
        panic!("dpkg's status is read whole")
    };
    let found = parse("var/lib/dpkg/status", status.as_bytes());
    assert_eq!((found.packages.len(), found.warnings.len()), (crate::limits::MAX_PACKAGES, 1));
}

#[test]
fn deep_directories_and_links_in_circles() {
    let deep = "a/".repeat(10_000);
    let path = format!("{deep}x.dist-info/METADATA");
    let base = layer(&[(&path, b"Name: x\nVersion: 1\n")]);
    let mut top = LayerCataloguer::new("sha256:1");
    top.symlink("var/lib/dpkg/status", "status2");
    top.symlink("etc/os-release", "../usr/lib/os-release");
    top.symlink("usr/lib/os-release", "../../etc/os-release");
    let found = catalogue(&[&base, &top.finish()], Precision::Precise);
    assert_eq!(found.packages.len(), 1);
    assert_eq!(found.warnings.len(), 3, "{:?}", found.warnings);
}
