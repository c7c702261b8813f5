//! What is installed, and whose it is, in the states that real images are left in.

use super::support::{BOOKWORM, HeaderBuilder, ndb, of, rows};

#[test]
fn a_dpkg_package_is_there_as_soon_as_its_files_are() {
    let status = b"Package: a\nStatus: install ok half-configured\nVersion: 1\n\n\
        Package: b\nStatus: install ok unpacked\nVersion: 1\n\n\
        Package: c\nStatus: install ok triggers-awaited\nVersion: 1\n\n\
        Package: d\nStatus: install ok triggers-pending\nVersion: 1\n\n\
        Package: e\nStatus: install reinstreq half-installed\nVersion: 1\n\n\
        Package: f\nStatus: deinstall ok installed\nVersion: 1\n\n\
        Package: g\nStatus: hold ok installed\nVersion: 1\n\n\
        Package: x\nStatus: deinstall ok config-files\nVersion: 1\n\n\
        Package: y\nStatus: purge ok not-installed\n\n\
        Package: z\nStatus: unknown ok not-installed\n";
    let found = of(&[BOOKWORM, ("var/lib/dpkg/status", status)]);
    assert_eq!(rows(&found), ["a 1", "b 1", "c 1", "d 1", "e 1", "f 1", "g 1"]);
    assert!(found.complete, "{:?}", found.warnings);
}

#[test]
fn of_two_copies_the_one_that_nobody_owns_is_kept() {
    let found = of(&[
        ("etc/os-release", b"ID=alpine\nVERSION_ID=3.20.1\n"),
        (
            "lib/apk/db/installed",
            b"P:py3-idna\nV:3.7-r0\nF:usr/lib/python3.12/site-packages/idna-3.7.dist-info\nR:METADATA\n",
        ),
        ("usr/lib/python3.12/site-packages/idna-3.7.dist-info/METADATA", b"Name: idna\nVersion: 3.7\n"),
        ("usr/local/lib/python3.12/site-packages/idna-3.7.dist-info/METADATA", b"Name: idna\nVersion: 3.7\n"),
    ]);
    assert_eq!(rows(&found), ["idna 3.7", "py3-idna 3.7-r0"]);
    assert_eq!(found.packages[0].owned_by, None);
    assert!(found.packages[0].evidence.starts_with("usr/local/"));
}

#[test]
fn a_manifest_with_a_byte_order_mark_and_equal_keys_is_read_as_npm_does() {
    let found = of(&[
        ("a/node_modules/b/package.json", b"\xef\xbb\xbf{\"name\": \"b\", \"version\": \"1.0.0\"}"),
        (
            "a/node_modules/c/package.json",
            br#"{"name": "c", "version": "1.0.0", "license": "A", "license": "MIT"}"#,
        ),
    ]);
    assert_eq!(rows(&found), ["b 1.0.0", "c 1.0.0"]);
    assert_eq!(found.packages[1].licences, ["MIT"]);
}

#[test]
fn lock_files_inside_of_downloaded_sources_name_nothing_that_is_there() {
    let lock = b"[[package]]\nname = \"a\"\nversion = \"1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    let paths = [
        "usr/local/cargo/registry/src/index.crates.io-1949cf8c6b5b557f/b-1.0.0/Cargo.lock",
        "root/.cargo/git/checkouts/b-0123/abc/Cargo.lock",
    ];
    assert_eq!(of(&paths.map(|path| (path, &lock[..]))).packages.len(), 0);
    assert_eq!(of(&[("app/Cargo.lock", &lock[..])]).packages.len(), 1);
}

#[test]
fn packages_of_epel_are_not_the_distributions() {
    let header = |vendor: &str| {
        let name = vendor.split(' ').next().unwrap();
        HeaderBuilder::default()
            .string(1000, name)
            .string(1001, "1")
            .string(1002, "1")
            .string(1011, vendor)
            .build()
    };
    let database = ndb(&[header("AlmaLinux"), header("Fedora Project")]);
    let third = |os: &[u8]| {
        let found = of(&[("etc/os-release", os), ("usr/lib/sysimage/rpm/Packages.db", &database)]);
        found.packages.iter().map(|p| p.third_party).collect::<Vec<_>>()
    };
    assert_eq!(third(b"ID=almalinux\nVERSION_ID=9.4\n"), [false, true]);
    assert_eq!(third(b"ID=fedora\nVERSION_ID=42\n"), [false, false]);
}
