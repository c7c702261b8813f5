//! What is installed, and whose it is, in the states that real images are left in.

use super::support::{BOOKWORM, of, rows};

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
