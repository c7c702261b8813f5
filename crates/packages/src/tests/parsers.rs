//! One table or two for each text format.

use super::support::{BOOKWORM, layer, of, rows};
use crate::formats::format_of;
use crate::{Format, PackageKind, Precision, catalogue};

#[test]
fn dpkg_status_gives_source_names_and_skips_what_is_not_installed() {
    let status = "Package: libssl3\nStatus: install ok installed\nArchitecture: amd64\nSource: openssl (3.0.1-1)\n\
        Version: 3.0.1-1+b1\nDescription: x\n Version: 9\n\n\
        Package: old\nStatus: deinstall ok config-files\nVersion: 1\n\n\
        Package: docker-ce\nStatus: install ok installed\nVersion: 5:27.1\nMaintainer: Docker <support@docker.com>\n\n\
        Package: base\nStatus: install ok installed\nVersion: 1:2\nArchitecture: all\n";
    let found = of(&[BOOKWORM, ("var/lib/dpkg/status", status.as_bytes())]);
    let rows: Vec<_> = found
        .packages
        .iter()
        .map(|p| {
            (p.name.as_str(), p.version.as_str(), p.source_name.as_str(), p.source_version.as_str(), p.epoch)
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("base", "1:2", "base", "1:2", Some(1)),
            ("docker-ce", "5:27.1", "docker-ce", "5:27.1", Some(5)),
            ("libssl3", "3.0.1-1+b1", "openssl", "3.0.1-1", None)
        ]
    );
    assert!(found.complete && found.packages.iter().all(|p| p.ecosystem == "Debian:12"));
    assert!(found.packages[1].third_party && !found.packages[0].third_party);
    let purl = found.packages[2].purl();
    assert_eq!(purl, "pkg:deb/debian/libssl3@3.0.1-1%2Bb1?arch=amd64&distro=debian-12");
}

#[test]
fn status_d_is_read_without_status_fields_and_md5sums_are_not_databases() {
    let found = of(&[
        ("var/lib/dpkg/status.d/tzdata", b"Package: tzdata\nVersion: 2024a-0\nArchitecture: all\n"),
        (
            "var/lib/dpkg/status.d/tzdata.md5sums",
            b"d41d8cd98f00b204e9800998ecf8427e  usr/share/zoneinfo/UTC\n",
        ),
        ("var/lib/dpkg/status.d/a/b", b"Package: b\nVersion: 1\n"),
    ]);
    assert_eq!(rows(&found), ["tzdata 2024a-0"]);
    assert_eq!(found.packages[0].ecosystem, "");
}

#[test]
fn apk_installed_gives_origins_and_licences() {
    let db =
        b"C:Q1abc=\nP:libcrypto3\nV:3.3.1-r0\nA:x86_64\no:openssl\nL:Apache-2.0\nF:lib\nR:libcrypto.so.3\n\n\
        P:musl\nV:1.2.5-r0\nA:x86_64\n\n";
    let os = ("usr/lib/os-release", &b"ID=alpine\nVERSION_ID=3.20.3\n"[..]);
    for path in ["lib/apk/db/installed", "usr/lib/apk/db/installed"] {
        let found = of(&[os, (path, db)]);
        assert_eq!(found.packages[0].source_name, "openssl");
        assert_eq!(found.packages[0].licences, ["Apache-2.0"]);
        assert_eq!((found.packages[0].format, found.packages[0].kind), (Format::Apk, PackageKind::Apk));
        assert_eq!(found.packages[1].ecosystem, "Alpine:v3.20");
    }
}

#[test]
fn a_cut_off_database_makes_the_catalogue_incomplete() {
    let found = of(&[("var/lib/dpkg/status", b"Package: a\nVersion: 1\n\nPackage: b\nStat")]);
    assert_eq!(found.packages.len(), 1);
    assert!(!found.complete);
    assert!(found.warnings[0].contains("var/lib/dpkg/status: b"), "{:?}", found.warnings);
}

#[test]
fn control_characters_never_leave_a_file() {
    let found = of(&[
        ("var/lib/dpkg/status", b"Package: a\x1b[31m\nVersion: 1\n"),
        ("node_modules/x/package.json", b"{\"name\": \"\x1b\"}"),
    ]);
    assert!(found.packages.is_empty() && !found.complete);
    assert!(found.warnings.iter().all(|w| !w.contains('\u{1b}')), "{:?}", found.warnings);
}

#[test]
fn languages() {
    let gemspec = "Gem::Specification.new do |s|\n  s.name = \"rack\".freeze\n  s.version = \"2.2.8\"\n  s.licenses = [\"MIT\".freeze]\n";
    let computed = "Gem::Specification.new do |s|\n  s.name = NAME\n  s.version = Foo::VERSION\n";
    let lock = "version = 3\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"serde\"\n\
        version = \"1.0.1\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
    let deps = r#"{"libraries": {"App/1.0.0": {"type": "project"}, "Newtonsoft.Json/13.0.1": {"type": "package"},
        "runtimepack.Microsoft.NETCore.App.Runtime.linux-x64/8.0.1": {"type": "runtimepack"}}}"#;
    let table: [(&str, &str, &[&str], PackageKind); 13] = [
        (
            "usr/lib/python3/dist-packages/Foo_Bar-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: Foo_.Bar\nVersion: 1.0\nLicense: MIT\n\nVersion: 9\n",
            &["foo-bar 1.0"],
            PackageKind::Pypi,
        ),
        ("usr/lib/python3/a.egg-info/PKG-INFO", "Name: a\nVersion: 2\n", &["a 2"], PackageKind::Pypi),
        ("usr/lib/python3/b.egg-info", "Name: b\nVersion: 3\n", &["b 3"], PackageKind::Pypi),
        (
            "app/node_modules/@scope/x/package.json",
            r#"{"name": "@scope/x", "version": "1.2.3", "license": {"type": "MIT"}}"#,
            &["@scope/x 1.2.3"],
            PackageKind::Npm,
        ),
        ("app/node_modules/y/package.json", r#"{"type": "module"}"#, &[], PackageKind::Npm),
        (
            "app/node_modules/y/test/package.json",
            r#"{"name": "fixture", "version": "1.0.0"}"#,
            &[],
            PackageKind::Npm,
        ),
        ("app/package.json", r#"{"name": "own", "version": "1.0.0"}"#, &[], PackageKind::Npm),
        (
            "usr/lib/ruby/gems/3.1.0/specifications/rack-2.2.8.gemspec",
            gemspec,
            &["rack 2.2.8"],
            PackageKind::Gem,
        ),
        (
            "usr/lib/ruby/gems/3.1.0/specifications/default/net-http-0.3.gemspec",
            computed,
            &["net-http 0.3"],
            PackageKind::Gem,
        ),
        ("app/Cargo.lock", lock, &["serde 1.0.1"], PackageKind::Cargo),
        (
            "app/vendor/composer/installed.json",
            r#"{"packages": [{"name": "Monolog/monolog", "version": "2.9.1", "license": ["MIT"]}]}"#,
            &["monolog/monolog 2.9.1"],
            PackageKind::Composer,
        ),
        (
            "old/vendor/composer/installed.json",
            r#"[{"name": "a/b", "version": "v1.0"}]"#,
            &["a/b v1.0"],
            PackageKind::Composer,
        ),
        (
            "app/App.deps.json",
            deps,
            &["Microsoft.NETCore.App.Runtime.linux-x64 8.0.1", "Newtonsoft.Json 13.0.1"],
            PackageKind::Nuget,
        ),
    ];
    for (path, content, want, kind) in table {
        let found = of(&[(path, content.as_bytes())]);
        assert_eq!(rows(&found), want, "{path}");
        assert!(found.complete, "{path}: {:?}", found.warnings);
        for package in &found.packages {
            assert_eq!((package.kind, package.evidence.as_str()), (kind, path));
            assert_eq!(package.ecosystem, kind.language_ecosystem());
        }
    }
}

#[test]
fn damaged_metadata_is_a_warning_that_names_the_file() {
    for path in [
        "x/node_modules/a/package.json",
        "x/a.dist-info/METADATA",
        "x/vendor/composer/installed.json",
        "x/a.deps.json",
        "var/lib/db/sbom/a.spdx.json",
        "opt/bitnami/a/bom.cdx.json",
    ] {
        let found = of(&[(path, b"{\"cut of")]);
        assert!(!found.complete && found.warnings[0].starts_with(path), "{path}: {:?}", found.warnings);
    }
}

#[test]
fn a_database_wins_over_documents_and_documents_add_what_nothing_else_proves() {
    let spdx = br#"{"spdxVersion": "SPDX-2.3", "packages": [
        {"externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:apk/wolfi/musl@1.0-r0?arch=x86_64"}]},
        {"externalRefs": [{"referenceType": "purl", "referenceLocator": "pkg:golang/example.com/x@v1.2.3"}], "licenseDeclared": "MIT"},
        {"externalRefs": []}]}"#;
    let cdx =
        br#"{"bomFormat": "CycloneDX", "components": [{"type": "library", "purl": "pkg:npm/left-pad@1.3.0",
        "licenses": [{"license": {"id": "WTFPL"}}], "components": [{"purl": "pkg:pypi/Six@1.16.0"}]}]}"#;
    let os = ("etc/os-release", &b"ID=wolfi\nVERSION_ID=20230201\n"[..]);
    let db = ("usr/lib/apk/db/installed", &b"P:musl\nV:1.2.5-r0\nA:x86_64\n"[..]);
    let files = [os, ("var/lib/db/sbom/a.spdx.json", &spdx[..]), ("usr/share/sbom/b.cdx.json", &cdx[..])];
    let without = of(&files);
    assert_eq!(rows(&without), ["example.com/x v1.2.3", "left-pad 1.3.0", "musl 1.0-r0", "six 1.16.0"]);
    assert_eq!(without.packages[2].ecosystem, "Wolfi");
    let with = of(&[files[0], files[1], files[2], db]);
    assert_eq!(rows(&with), ["example.com/x v1.2.3", "left-pad 1.3.0", "musl 1.2.5-r0", "six 1.16.0"]);
    assert!(with.complete, "{:?}", with.warnings);
    assert_eq!(with.packages[1].licences, ["WTFPL"]);
}

#[test]
fn language_packages_of_the_distribution_are_its_business_where_its_feed_covers_them() {
    let status = b"Package: python3-idna\nStatus: install ok installed\nVersion: 3.3-1\nArchitecture: all\n\n\
        Package: nodejs\nStatus: install ok installed\nVersion: 20-1nodesource1\nMaintainer: Ivan <ivan@nodesource.com>\n";
    let list = b"/.\n/usr\n/usr/lib/python3/dist-packages/idna-3.3.egg-info/PKG-INFO\n";
    let files: [(&str, &[u8]); 7] = [
        BOOKWORM,
        ("var/lib/dpkg/status", status),
        ("var/lib/dpkg/info/python3-idna.list", list),
        ("var/lib/dpkg/info/nodejs:amd64.list", b"/usr/lib/node_modules/npm/package.json\n"),
        ("var/lib/dpkg/info/gone.list", b"/srv/x.dist-info/METADATA\n"),
        ("usr/lib/python3/dist-packages/idna-3.3.egg-info/PKG-INFO", b"Name: idna\nVersion: 3.3\n"),
        ("usr/lib/node_modules/npm/package.json", br#"{"name": "npm", "version": "10.0.0"}"#),
    ];
    let mut all = files.to_vec();
    all.push(("srv/x.dist-info/METADATA", b"Name: x\nVersion: 1\n"));
    let facts = [layer(&all)];
    let found = catalogue(&facts, Precision::Precise);
    assert_eq!(rows(&found), ["nodejs 20-1nodesource1", "npm 10.0.0", "python3-idna 3.3-1", "x 1"]);
    assert_eq!(found.suppressed[0].owned_by.as_deref(), Some("python3-idna"));
    assert_eq!(found.packages[1].owned_by, None, "nodejs is not the distribution's");
    assert_eq!(found.packages[3].owned_by, None);
    let everything = catalogue(&facts, Precision::Comprehensive);
    assert_eq!((everything.packages.len(), everything.suppressed.len()), (5, 0));
    // AlmaLinux names only what is fixed, so nothing stands for the language's own advisories.
    all[0] = ("etc/os-release", b"ID=almalinux\nVERSION_ID=9.4\n");
    assert_eq!(of(&all).packages.len(), 5);
}

#[test]
fn ownership_knows_the_merged_usr() {
    let found = of(&[
        BOOKWORM,
        ("var/lib/dpkg/status", b"Package: a\nVersion: 1\n"),
        ("var/lib/dpkg/info/a.list", b"/lib/python3/a.dist-info/METADATA\n"),
        ("usr/lib/python3/a.dist-info/METADATA", b"Name: a\nVersion: 1\n"),
    ]);
    assert_eq!(found.suppressed.len(), 1);
}

#[test]
fn every_row_of_the_table_owns_a_path_of_its_own() {
    let paths = [
        (Format::Dpkg, "var/lib/dpkg/status"),
        (Format::Rpm, "usr/lib/sysimage/rpm/rpmdb.sqlite"),
        (Format::Rpm, "var/lib/rpm/Packages"),
        (Format::Rpm, "var/lib/rpm/Packages.db"),
        (Format::Rpm, "var/lib/rpmmanifest/container-manifest-2"),
        (Format::Jar, "app/a.war"),
        (Format::CycloneDx, "usr/lib/python3/a.dist-info/sboms/x.cdx.json"),
    ];
    for (format, path) in paths {
        assert_eq!(format_of(path).map(|row| row.format), Some(format), "{path}");
    }
    assert!(format_of("usr/bin/ls").is_none());
}
