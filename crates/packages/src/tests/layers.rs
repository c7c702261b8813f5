//! Layers over each other.

use super::support::{BOOKWORM, layer, rows};
use crate::{CATALOGUER_VERSION, LayerCataloguer, LayerFacts, Precision, catalogue};

fn of(layers: &[LayerFacts]) -> crate::Catalogue {
    catalogue(layers, Precision::Precise)
}

#[test]
fn the_top_database_wins_and_packages_know_their_layer() {
    let base =
        layer(&[BOOKWORM, ("var/lib/dpkg/status", b"Package: a\nVersion: 1\n\nPackage: b\nVersion: 1\n")]);
    let app = layer(&[("var/lib/dpkg/status", b"Package: a\nVersion: 1\n\nPackage: b\nVersion: 2\n")]);
    let found = of(&[base, app]);
    let rows: Vec<_> =
        found.packages.iter().map(|p| (p.name.as_str(), p.version.as_str(), p.layer)).collect();
    assert_eq!(rows, [("a", "1", 0), ("b", "2", 1)]);
}

#[test]
fn whiteouts_opaque_directories_and_other_files_hide_lower_ones() {
    const PATH: &str = "srv/lib/a.dist-info/METADATA";
    let base = layer(&[(PATH, b"Name: a\nVersion: 1\n")]);
    let with = |act: &dyn Fn(&mut LayerCataloguer)| {
        let mut top = LayerCataloguer::new("sha256:1");
        act(&mut top);
        of(&[base.clone(), top.finish()]).packages.len()
    };
    assert_eq!(with(&|top| top.whiteout(PATH)), 0);
    assert_eq!(with(&|top| top.whiteout("srv/lib")), 0);
    assert_eq!(with(&|top| top.opaque("srv/lib/a.dist-info")), 0);
    assert_eq!(with(&|top| top.opaque("")), 0);
    assert_eq!(with(&|top| top.symlink("srv/lib", "../opt")), 0);
    assert_eq!(with(&|top| top.special("srv")), 0);
    assert_eq!(with(&|top| top.hardlink(PATH, "x")), 0);
    assert_eq!(with(&|top| top.whiteout("srv/lib/a.dist-info/META")), 1);
    assert_eq!(with(&|top| top.opaque("srv/lib/b.dist-info")), 1);
    assert_eq!(with(&|top| top.whiteout("lib/a.dist-info")), 1);
}

#[test]
fn a_warning_counts_only_while_its_file_shows() {
    let base = layer(&[BOOKWORM, ("var/lib/dpkg/status", b"Package: a\n")]);
    assert!(!of(std::slice::from_ref(&base)).complete);
    let app = layer(&[("var/lib/dpkg/status", b"Package: a\nVersion: 1\n")]);
    assert!(of(&[base, app]).complete);
}

#[test]
fn a_program_replaced_by_another_file_is_gone() {
    let go = super::support::elf(&[(".go.buildinfo", &super::support::build_info("go1.22.1", ""))]);
    let base = layer(&[("app/run", &go)]);
    assert_eq!(rows(&of(std::slice::from_ref(&base))), ["stdlib 1.22.1"]);
    assert_eq!(rows(&of(&[base, layer(&[("app/run", b"#!/bin/sh\n")])])), [""; 0]);
}

#[test]
fn a_linked_distribution_file_is_found_at_its_target() {
    let mut cataloguer = LayerCataloguer::new("sha256:0");
    cataloguer.symlink("etc/os-release", "../usr/lib/os-release");
    cataloguer.file("usr/lib/os-release", 3, &mut &b"ID=debian\nVERSION_ID=12\n"[..]).unwrap();
    let found = of(&[cataloguer.finish()]);
    assert!(found.complete, "{:?}", found.warnings);
    assert_eq!(found.distribution.unwrap().ecosystem(), "Debian:12");
}

#[test]
fn a_linked_database_that_is_not_there_is_a_warning() {
    for target in ["/opt/status", "status", "../../../../../etc/passwd"] {
        let mut cataloguer = LayerCataloguer::new("sha256:0");
        cataloguer.symlink("var/lib/dpkg/status", target);
        let found = of(&[cataloguer.finish()]);
        assert_eq!(
            found.warnings,
            [format!("var/lib/dpkg/status was not read: it is a symbolic link to {target}")]
        );
    }
}

#[test]
fn facts_outlive_a_round_trip_and_facts_of_another_version_are_not_trusted() {
    let facts = layer(&[
        BOOKWORM,
        ("var/lib/dpkg/status", b"Package: a\nVersion: 1\n"),
        ("var/lib/dpkg/info/a.list", b"/usr/bin/a\n"),
    ]);
    let mut again: LayerFacts = serde_json::from_slice(&serde_json::to_vec(&facts).unwrap()).unwrap();
    assert_eq!(again, facts);
    again.cataloguer = CATALOGUER_VERSION - 1;
    assert!(!of(&[again]).complete);
}
