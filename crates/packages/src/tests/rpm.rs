//! rpm databases: made by the tests in all containers, and by rpm and Berkeley DB themselves where they are installed.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::support::{HeaderBuilder, bdb, header, layer, ndb, of, sqlite};
use crate::formats::rpm::sqlite::read as read_sqlite;
use crate::{Package, Precision, catalogue};

const ALMA: (&str, &[u8]) = ("etc/os-release", b"ID=\"almalinux\"\nVERSION_ID=\"9.4\"\n");

fn containers(blobs: &[Vec<u8>]) -> [(&'static str, Vec<u8>); 6] {
    [
        ("var/lib/rpm/rpmdb.sqlite", sqlite(blobs, 4096)),
        ("usr/lib/sysimage/rpm/rpmdb.sqlite", sqlite(blobs, 512)),
        ("usr/share/rpm/rpmdb.sqlite", sqlite(blobs, 65_536)),
        ("usr/lib/sysimage/rpm/Packages.db", ndb(blobs)),
        ("var/lib/rpm/Packages.db", ndb(blobs)),
        ("var/lib/rpm/Packages", bdb(blobs)),
    ]
}

#[test]
fn every_container_gives_the_same_packages() {
    let key = HeaderBuilder::default().string(1000, "gpg-pubkey").string(1001, "1").string(1002, "2").build();
    let blobs = [header("nodejs", "18.19.0", 2000), key, header("tiny", "1", 1)];
    for (path, content) in containers(&blobs) {
        let found = of(&[ALMA, (path, &content)]);
        assert!(found.complete, "{path}: {:?}", found.warnings);
        assert_eq!(found.packages.len(), 2, "{path}");
        let want = Package {
            version: "2:18.19.0-1.el9".into(),
            epoch: Some(2),
            source_name: "nodejs-source".into(),
            source_version: "2:18.19.0-1.el9".into(),
            arch: "x86_64".into(),
            ecosystem: "AlmaLinux:9".into(),
            distro: "almalinux-9.4".into(),
            module: "nodejs:18:9040020240301111111:rhel9".into(),
            vendor: "Example Vendor".into(),
            licences: vec!["MIT".into()],
            evidence: path.into(),
            ..Package::new(crate::PackageKind::Rpm, crate::Format::Rpm, "nodejs", "")
        };
        assert_eq!(found.packages[0], want, "{path}");
        assert_eq!(found.packages[0].module_stream(), "nodejs:18");
        assert_eq!(
            found.packages[0].purl(),
            "pkg:rpm/almalinux/nodejs@18.19.0-1.el9?arch=x86_64&distro=almalinux-9.4&epoch=2\
             &rpmmod=nodejs:18:9040020240301111111:rhel9"
        );
    }
}

#[test]
fn files_belong_to_their_package() {
    let facts = layer(&[("var/lib/rpm/Packages.db", &ndb(&[header("a", "1", 3)]))]);
    let owned = &facts.files["var/lib/rpm/Packages.db"].owned[0];
    assert_eq!((owned.package.as_str(), owned.paths.len()), ("a", 3));
}

#[test]
fn manifests_of_distroless_images_are_read() {
    let row = "openssl\t3.3.0-1.azl3\t1\t2\tMicrosoft Corporation\t(none)\t99\tx86_64\t0\topenssl-3.3.0-1.azl3.src.rpm\n";
    let os = ("etc/os-release", &b"ID=azurelinux\nVERSION_ID=\"3.0\"\n"[..]);
    let path = "var/lib/rpmmanifest/container-manifest-2";
    let found = of(&[os, (path, row.as_bytes())]);
    let package = &found.packages[0];
    assert_eq!((package.version.as_str(), package.ecosystem.as_str()), ("3.3.0-1.azl3", "Azure Linux:3"));
    assert!(!of(&[os, (path, b"openssl\t3\n")]).complete);
}

#[test]
fn a_log_that_was_not_replayed_is_said() {
    assert!(of(&[ALMA, ("var/lib/rpm/rpmdb.sqlite-wal", b"")]).complete);
    assert!(!of(&[ALMA, ("var/lib/rpm/rpmdb.sqlite-wal", b"frames")]).complete);
}

#[test]
fn wrong_lengths_and_cut_off_files_are_warnings() {
    let good = header("a", "1", 3);
    let lengths = |at: usize, value: u32| {
        let mut bad = good.clone();
        bad[at..at + 4].copy_from_slice(&value.to_be_bytes());
        bad
    };
    for bad in
        [lengths(0, u32::MAX), lengths(4, u32::MAX), lengths(0, 0), lengths(8 + 8, u32::MAX), Vec::new()]
    {
        let found = of(&[ALMA, ("var/lib/rpm/Packages.db", &ndb(&[bad, header("b", "1", 1)]))]);
        assert_eq!(found.packages.len(), 1);
        assert!(!found.complete);
    }
    for (path, content) in containers(&[header("nodejs", "18", 2000), header("b", "1", 1)]) {
        for end in [0, 3, 100, 600, content.len() / 2, content.len() - 1000] {
            let cut = &content[..end.min(content.len())];
            let found = of(&[ALMA, (path, cut)]);
            assert!(!found.complete, "{path} cut to {end}");
            assert!(found.warnings.iter().all(|w| w.starts_with(path)), "{:?}", found.warnings);
        }
    }
}

/// Runs a program; `None`, loudly, when it is not installed.
fn run(program: &str, args: &[&str]) -> Option<String> {
    let output = match Command::new(program).args(args).output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!(
                "SKIPPED: {program} cannot be run ({error}); install Debian's rpm and db-util packages"
            );
            return None;
        }
    };
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Whether rpm was built with a container: Debian's knows `SQLite` only.
fn writes(define: &str, path: &str) -> bool {
    let output = Command::new("rpm").args(["--define", define, "--dbpath", path, "--initdb"]).output();
    output.is_ok_and(|o| o.status.success() && !String::from_utf8_lossy(&o.stderr).contains("invalid"))
}

fn build(dir: &Path, name: &str, extra: &str) -> Option<String> {
    let spec = dir.join(format!("{name}.spec"));
    let files: Vec<String> =
        (0..300).map(|n| format!("touch %{{buildroot}}/opt/{name}/file-{n}\n")).collect();
    let files = files.concat();
    let text = format!(
        "Name: {name}\nVersion: 1.2\nRelease: 3\nSummary: x\nLicense: MIT\nVendor: Example\nBuildArch: noarch\n{extra}\n\
         %description\nx\n%install\nmkdir -p %{{buildroot}}/opt/{name}\n{files}\n%files\n/opt/{name}\n"
    );
    std::fs::File::create(&spec).unwrap().write_all(text.as_bytes()).unwrap();
    let top = format!("_topdir {}", dir.display());
    run("rpmbuild", &["-bb", "--quiet", "--define", &top, spec.to_str().unwrap()])?;
    Some(format!("{}/RPMS/noarch/{name}-1.2-3.noarch.rpm", dir.display()))
}

/// `rpm -qa` in the form of [`Package`].
fn asked(backend: &str, path: &str) -> Option<Vec<String>> {
    let format =
        "%{NAME} %{EPOCHNUM} %{VERSION}-%{RELEASE} %{ARCH} %{VENDOR} %{SOURCERPM} %{MODULARITYLABEL}\\n";
    let text = run("rpm", &["--define", backend, "--dbpath", path, "-qa", "--qf", format])?;
    let mut rows: Vec<String> = text.lines().map(str::to_owned).collect();
    rows.sort();
    Some(rows)
}

fn shown(package: &Package) -> String {
    let evr = package.version.rsplit(':').next().unwrap();
    let source_evr = package.source_version.rsplit(':').next().unwrap();
    let source = format!("{}-{source_evr}.src.rpm", package.source_name);
    let module = if package.module.is_empty() { "(none)" } else { &package.module };
    let (epoch, arch, vendor) = (package.epoch.unwrap_or(0), &package.arch, &package.vendor);
    format!("{} {epoch} {evr} {arch} {vendor} {source} {module}", package.name)
}

#[test]
fn databases_made_by_rpm_equal_what_rpm_says() {
    let dir = tempfile::tempdir().unwrap();
    let mut packages = Vec::new();
    for (name, extra) in [("alpha", ""), ("beta-x", "Epoch: 4"), ("gamma", "ModularityLabel: gamma:1:2:3")] {
        let Some(path) = build(dir.path(), name, extra) else { return };
        packages.push(path);
    }
    for (backend, file) in [("sqlite", "rpmdb.sqlite"), ("ndb", "Packages.db")] {
        let at = dir.path().join(backend);
        let (define, at_text) = (format!("_db_backend {backend}"), at.to_str().unwrap());
        let mut args =
            vec!["--define", &define, "--dbpath", at_text, "-i", "--justdb", "--nodeps", "--noscripts"];
        args.extend(packages.iter().map(String::as_str));
        if !writes(&define, at_text) {
            eprintln!("SKIPPED: this rpm writes no {backend} databases; install one that does");
            continue;
        }
        let Some(_) = run("rpm", &args) else { return };
        let Some(want) = asked(&define, at_text) else { return };
        let content = std::fs::read(at.join(file)).unwrap();
        let facts = layer(&[ALMA, (&format!("var/lib/rpm/{file}"), &content)]);
        let found = catalogue(&[&facts], Precision::Precise);
        assert!(found.complete, "{backend}: {:?}", found.warnings);
        let mut rows: Vec<String> = found.packages.iter().map(shown).collect();
        rows.sort();
        assert_eq!(rows, want, "{backend}");
        assert_eq!(want.len(), 3);
        let owned = &facts.files[&format!("var/lib/rpm/{file}")].owned;
        assert_eq!(owned.iter().map(|o| o.paths.len()).collect::<Vec<_>>(), [301; 3], "{backend}");
        if backend == "sqlite" {
            berkeley(dir.path(), &content, &want);
        }
    }
}

/// The same headers, loaded into a hash by Berkeley DB's own tool.
fn berkeley(dir: &Path, content: &[u8], want: &[String]) {
    let mut dump = "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n".to_owned();
    // rpm keeps the next free number under key 0.
    dump.push_str(" 00000000\n 04000000\n");
    let mut number = 0_u8;
    read_sqlite(content, &mut |blob| {
        number += 1;
        write!(dump, " {number:02x}000000\n ").unwrap();
        for byte in blob {
            write!(dump, "{byte:02x}").unwrap();
        }
        dump.push('\n');
    })
    .unwrap();
    dump.push_str("DATA=END\n");
    let (dump_path, path) = (dir.join("dump"), dir.join("Packages"));
    std::fs::File::create(&dump_path).unwrap().write_all(dump.as_bytes()).unwrap();
    let Some(_) = run("db_load", &["-f", dump_path.to_str().unwrap(), path.to_str().unwrap()]) else {
        return;
    };
    let found = of(&[ALMA, ("var/lib/rpm/Packages", &std::fs::read(&path).unwrap())]);
    assert!(found.complete, "{:?}", found.warnings);
    let mut rows: Vec<String> = found.packages.iter().map(shown).collect();
    rows.sort();
    assert_eq!(rows, want);
}
