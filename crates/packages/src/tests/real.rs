//! A real Debian root filesystem against `dpkg-query`, and an Alpine-like one.
//!
//! `debootstrap --variant=minbase bookworm DIR` makes the root once, where DIR is `konzert-debian-root` in the directory for
//! temporary files; without it the test says that it was left out.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::support::{layer, rows};
use crate::{LayerCataloguer, LayerFacts, Precision, catalogue};

/// A directory as a layer.
fn tree(root: &Path) -> LayerFacts {
    let mut cataloguer = LayerCataloguer::new("sha256:0");
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let entry = entry.unwrap();
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if kind.is_dir() {
                pending.push(path);
            } else if kind.is_symlink() {
                cataloguer.symlink(&name, std::fs::read_link(&path).unwrap().to_str().unwrap());
            } else if kind.is_file() {
                let size = entry.metadata().unwrap().len();
                cataloguer.file(&name, size, &mut std::fs::File::open(&path).unwrap()).unwrap();
            } else {
                cataloguer.special(&name);
            }
        }
    }
    cataloguer.finish()
}

#[test]
fn a_debian_root_equals_what_dpkg_says() {
    let root = std::env::temp_dir().join("konzert-debian-root");
    if !root.join("var/lib/dpkg/status").exists() {
        let shown = root.display();
        return eprintln!("SKIPPED: no Debian root: debootstrap --variant=minbase bookworm {shown}");
    }
    let format =
        "${db:Status-Status} ${Package} ${Version} ${Architecture} ${source:Package} ${source:Version}\\n";
    let query = Command::new("dpkg-query").arg("--root").arg(&root).args(["-W", "-f", format]).output();
    let Ok(query) = query else { return eprintln!("SKIPPED: dpkg-query cannot be run; install dpkg") };
    let text = String::from_utf8(query.stdout).unwrap();
    let mut want: Vec<&str> = text.lines().filter_map(|l| l.strip_prefix("installed ")).collect();
    want.sort_unstable();
    let found = catalogue(&[tree(&root)], Precision::Precise);
    assert!(found.complete, "{:?}", found.warnings);
    let shown = found
        .packages
        .iter()
        .filter(|p| p.format.is_database())
        .map(|p| format!("{} {} {} {} {}", p.name, p.version, p.arch, p.source_name, p.source_version));
    let mut rows: Vec<String> = shown.collect();
    rows.sort_unstable();
    assert_eq!(rows, want);
    assert!(rows.len() > 50);
    assert_eq!(found.distribution.unwrap().ecosystem(), "Debian:12");
}

#[test]
fn an_alpine_root() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();
    };
    write("usr/lib/os-release", "ID=alpine\nVERSION_ID=3.19.1\n");
    write("etc/alpine-release", "3.19.1\n");
    write("etc/apk/repositories", "https://dl-cdn.alpinelinux.org/alpine/v3.20/main\n");
    write(
        "lib/apk/db/installed",
        "C:Q1=\nP:busybox\nV:1.36.1-r29\nA:x86_64\no:busybox\nL:GPL-2.0-only\nF:bin\nR:busybox\n\n\
         P:py3-idna\nV:3.7-r0\nA:noarch\no:py3-idna\nF:usr/lib/python3.12/site-packages/idna-3.7.dist-info\nR:METADATA\n\n",
    );
    write("usr/lib/python3.12/site-packages/idna-3.7.dist-info/METADATA", "Name: idna\nVersion: 3.7\n");
    std::os::unix::fs::symlink("../usr/lib/os-release", dir.path().join("etc/os-release")).unwrap();
    let found = catalogue(&[tree(dir.path())], Precision::Precise);
    assert!(found.complete, "{:?}", found.warnings);
    assert_eq!(rows(&found), ["busybox 1.36.1-r29", "idna 3.7", "py3-idna 3.7-r0"]);
    assert_eq!(found.packages[0].ecosystem, "Alpine:v3.20");
    assert_eq!(found.packages[1].owned_by.as_deref(), Some("py3-idna"));
}

#[test]
fn an_empty_layer_says_nothing() {
    let found = catalogue(&[layer(&[])], Precision::Precise);
    assert!(found.complete && found.packages.is_empty() && found.distribution.is_none());
}
