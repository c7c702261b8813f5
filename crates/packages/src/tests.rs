//! Tables for the parsers, layer rules and version orders; the public vectors where they are present.

use std::cmp::Ordering;
use std::io::Read as _;
use std::path::PathBuf;

use crate::version::VersionOrder as Order;
use crate::{Format, LayerFiles, catalogue, wanted};

fn layer(files: &[(&str, &str)]) -> LayerFiles {
    LayerFiles {
        diff_id: "sha256:0".into(),
        files: files.iter().map(|(p, c)| ((*p).to_owned(), c.as_bytes().to_vec())).collect(),
        ..LayerFiles::default()
    }
}

const BOOKWORM: (&str, &str) =
    ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n");

#[test]
fn dpkg_status_gives_source_names_and_skips_what_is_not_installed() {
    let status = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl (3.0.1-1)\n\
        Version: 3.0.1-1+b1\nDescription: x\n Version: 9\n\n\
        Package: old\nStatus: deinstall ok config-files\nVersion: 1\n\n\
        Package: base\nStatus: install ok installed\nVersion: 1:2\nArchitecture: all\n";
    let found = catalogue(&[layer(&[BOOKWORM, ("var/lib/dpkg/status", status)])]);
    let rows: Vec<_> = found
        .packages
        .iter()
        .map(|p| {
            (
                p.name.as_str(),
                p.version.as_str(),
                p.source_name.as_str(),
                p.source_version.as_str(),
                p.ecosystem.as_str(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("base", "1:2", "base", "1:2", "Debian:12"),
            ("libssl3", "3.0.1-1+b1", "openssl", "3.0.1-1", "Debian:12")
        ]
    );
    assert!(found.complete);
    assert_eq!(found.packages[1].purl(), "pkg:deb/debian/libssl3@3.0.1-1%2Bb1?arch=amd64");
}

#[test]
fn status_d_is_read_without_status_fields_and_md5sums_are_not_databases() {
    assert!(wanted("var/lib/dpkg/status.d/tzdata"));
    assert!(!wanted("var/lib/dpkg/status.d/tzdata.md5sums"));
    assert!(!wanted("var/lib/dpkg/status.d/a/b"));
    let found = catalogue(&[layer(&[(
        "var/lib/dpkg/status.d/tzdata",
        "Package: tzdata\nVersion: 2024a-0\nArchitecture: all\n",
    )])]);
    assert_eq!(found.packages.len(), 1);
    assert_eq!(found.packages[0].ecosystem, "");
}

#[test]
fn apk_installed_gives_origins() {
    let db = "C:Q1abc=\nP:libcrypto3\nV:3.3.1-r0\nA:x86_64\no:openssl\nF:lib\nR:libcrypto.so.3\n\nP:musl\nV:1.2.5-r0\nA:x86_64\n\n";
    let os = ("usr/lib/os-release", "ID=alpine\nVERSION_ID=3.20.3\n");
    let found = catalogue(&[layer(&[os, ("lib/apk/db/installed", db)])]);
    assert_eq!(found.packages[0].source_name, "openssl");
    assert_eq!(found.packages[0].format, Format::Apk);
    assert_eq!(found.packages[1].ecosystem, "Alpine:v3.20");
}

#[test]
fn a_cut_off_database_makes_the_catalogue_incomplete() {
    let found = catalogue(&[layer(&[("var/lib/dpkg/status", "Package: a\nVersion: 1\n\nPackage: b\nStat")])]);
    assert_eq!(found.packages.len(), 1);
    assert!(!found.complete);
    assert!(found.warnings[0].contains("var/lib/dpkg/status: b"), "{:?}", found.warnings);
}

#[test]
fn control_characters_never_leave_a_database() {
    let found = catalogue(&[layer(&[("var/lib/dpkg/status", "Package: a\u{1b}[31m\nVersion: 1\n")])]);
    assert!(found.packages.is_empty() && !found.complete);
}

#[test]
fn the_top_database_wins_and_packages_know_their_layer() {
    let base =
        layer(&[BOOKWORM, ("var/lib/dpkg/status", "Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\n")]);
    let app = layer(&[("var/lib/dpkg/status", "Package: a\nVersion: 1\n\nPackage: b\nVersion: 2\n")]);
    let found = catalogue(&[base, app]);
    let rows: Vec<_> =
        found.packages.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.layer)).collect();
    assert_eq!(rows, [("a", "1", 0), ("b", "2", 1)]);
}

#[test]
fn whiteouts_and_opaque_directories_hide_lower_databases() {
    let base = layer(&[("var/lib/dpkg/status.d/a", "Package: a\nVersion: 1\n")]);
    for hide in [
        LayerFiles { removed: vec!["var/lib/dpkg/status.d/a".into()], ..LayerFiles::default() },
        LayerFiles { removed: vec!["var/lib".into()], ..LayerFiles::default() },
        LayerFiles { opaque: vec!["var/lib/dpkg/status.d".into()], ..LayerFiles::default() },
    ] {
        assert!(catalogue(&[base.clone(), hide]).packages.is_empty());
    }
    let other = LayerFiles { removed: vec!["var/lib/dpkg/status.d/ab".into()], ..LayerFiles::default() };
    assert_eq!(catalogue(&[base, other]).packages.len(), 1);
}

#[test]
fn version_orders() {
    let rows = [
        (Order::Dpkg, "1:1.0", "2.0", Ordering::Greater),
        (Order::Dpkg, "1.0~rc1", "1.0", Ordering::Less),
        (Order::Dpkg, "1.0-1", "1.0-1+deb12u1", Ordering::Less),
        (Order::Apk, "1.2.3-r0", "1.2.3-r1", Ordering::Less),
        (Order::Apk, "1.2_rc1", "1.2", Ordering::Less),
        (Order::Apk, "1.2_p1", "1.2", Ordering::Greater),
        (Order::Apk, "1.10", "1.9", Ordering::Greater),
        (Order::Apk, "1.2b", "1.2a", Ordering::Greater),
        (Order::Apk, "1.2.1", "1.2a", Ordering::Greater),
    ];
    for (order, a, b, want) in rows {
        assert_eq!(order.compare(a, b).ok(), Some(want), "{a} and {b}");
        assert_eq!(order.compare(b, a).ok(), Some(want.reverse()), "{b} and {a}");
    }
    assert_eq!(Order::Dpkg.compare("", "1").ok(), None);
}

/// The vectors stand beside the project on some machines; without them the test says so.
fn vectors(name: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/versions").join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("SKIPPED: {name}: public version vectors are not beside the project");
        return None;
    };
    if std::path::Path::new(name).extension().is_none_or(|e| e != "gz") {
        return Some(String::from_utf8(bytes).unwrap());
    }
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    Some(text)
}

fn failures(order: Order, text: &str) -> (usize, Vec<String>) {
    let mut failed = Vec::new();
    let mut total = 0;
    for line in text.lines().filter(|l| !l.trim().is_empty() && !l.starts_with('#')) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [a, sign, b] = words[..] else { panic!("not a vector: {line}") };
        let want = match sign {
            "<" => Ordering::Less,
            "=" => Ordering::Equal,
            _ => Ordering::Greater,
        };
        total += 1;
        if order.compare(a, b).ok() != Some(want) {
            failed.push(line.to_owned());
        }
    }
    (total, failed)
}

#[test]
fn public_vectors() {
    let rows = [
        (Order::Dpkg, "debian.txt"),
        (Order::Dpkg, "debian-generated.txt.gz"),
        (Order::Apk, "alpine-generated.txt.gz"),
    ];
    for (order, name) in rows {
        let Some(text) = vectors(name) else { continue };
        let (total, failed) = failures(order, &text);
        assert!(total > 10 && failed.is_empty(), "{name}: {} of {total} failed: {failed:?}", failed.len());
    }
}
