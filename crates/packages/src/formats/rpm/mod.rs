//! rpm: one header blob per package in one of three containers (`SQLite`, NDB, BDB hash), and Mariner's manifest.
//!
//! Does not replay a write-ahead log: one that is not empty is a warning, because the database may then be older than the
//! image. `gpg-pubkey` entries are keys, not packages.

pub(crate) mod bdb;
pub(crate) mod header;
pub(crate) mod ndb;
pub(crate) mod sqlite;

use super::text::{believable, file_name, licences, line};
use crate::facts::{FileFacts, own};
use crate::formats::Format;
use crate::{Package, PackageKind};
use header::Header;

const DIRS: [&str; 3] = ["var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/"];
const SQLITE: &str = "rpmdb.sqlite";
const SQLITE_LOG: &str = "rpmdb.sqlite-wal";
const NDB: &str = "Packages.db";
const BDB: &str = "Packages";
const MANIFEST: &str = "var/lib/rpmmanifest/container-manifest-2";

/// Why a package database cannot be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContainerError {
    /// The first bytes are not those of the format.
    #[error("it does not begin as such a database does")]
    Magic,
    /// A part lies outside the file.
    #[error("it is cut off, or names a place outside of itself")]
    CutOff,
    /// The structure contradicts itself.
    #[error("its structure is damaged")]
    Damaged,
    /// A bound of `limits`.
    #[error("a record is longer than is believed")]
    TooLong,
    /// Big-endian BDB, and the like.
    #[error("this variant of the format is not read")]
    Unsupported,
}

/// Called for each header blob.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) + 'a;

pub(super) fn owns(path: &str) -> bool {
    let name = DIRS.iter().find_map(|dir| path.strip_prefix(dir));
    name.is_some_and(|name| [SQLITE, SQLITE_LOG, NDB, BDB].contains(&name)) || path == MANIFEST
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let read: fn(&[u8], &mut Sink<'_>) -> Result<(), ContainerError> = match file_name(path) {
        SQLITE => sqlite::read,
        NDB => ndb::read,
        BDB => bdb::read,
        SQLITE_LOG => {
            if !content.is_empty() {
                out.warn(format!("{path}: a write-ahead log that is not empty was not replayed"));
            }
            return out;
        }
        _ => return parse_manifest(path, content),
    };
    let mut owned = 0;
    let result = read(content, &mut |blob| take(path, blob, &mut owned, &mut out));
    if let Err(error) = result {
        out.warn(format!("{path}: {error}; packages may be missing"));
    }
    out
}

fn take(path: &str, blob: &[u8], owned: &mut usize, out: &mut FileFacts) {
    let header = match Header::parse(blob) {
        Ok(header) => header,
        Err(error) => return out.warn(format!("{path}: a package header was left out: {error}")),
    };
    let (name, version, release) = (header.name(), header.version(), header.release());
    if name == "gpg-pubkey" {
        return;
    }
    if name.is_empty() || version.is_empty() || ![&name, &version, &release].iter().all(|f| believable(f)) {
        return out.warn(format!("{path}: a package with an impossible name or version was left out"));
    }
    let fields = Fields {
        name: &name,
        evr: &join(&version, &release),
        epoch: header.epoch(),
        arch: &header.arch(),
        vendor: &header.vendor(),
        source: &header.source_rpm(),
    };
    let mut package = fields.package(path);
    package.module = line(&header.module_label());
    package.licences = licences([header.licence().as_str()]);
    match header.owned() {
        Ok(hashes) => own(out, &name, hashes, owned),
        Err(error) => out.warn(format!("{path}: {name}: its list of files was left out: {error}")),
    }
    out.add(package);
}

fn join(version: &str, release: &str) -> String {
    if release.is_empty() { version.to_owned() } else { format!("{version}-{release}") }
}

/// What both a header and a manifest line say.
struct Fields<'a> {
    name: &'a str,
    /// `version-release`.
    evr: &'a str,
    epoch: Option<u32>,
    arch: &'a str,
    vendor: &'a str,
    source: &'a str,
}

impl Fields<'_> {
    fn package(&self, path: &str) -> Package {
        let with_epoch = |evr: &str| match self.epoch {
            Some(epoch) if epoch > 0 => format!("{epoch}:{evr}"),
            _ => evr.to_owned(),
        };
        let mut package = Package::new(PackageKind::Rpm, Format::Rpm, self.name, &with_epoch(self.evr));
        package.epoch = self.epoch;
        if believable(self.arch) {
            self.arch.clone_into(&mut package.arch);
        }
        package.vendor = line(self.vendor);
        if let Some((name, evr)) = split_source(self.source) {
            name.clone_into(&mut package.source_name);
            package.source_version = with_epoch(&evr);
        }
        path.clone_into(&mut package.evidence);
        package
    }
}

/// `openssl-3.0.7-24.el9.src.rpm`: the name may hold dashes, version and release may not.
pub(crate) fn split_source(source: &str) -> Option<(&str, String)> {
    let stem = source.strip_suffix(".rpm")?;
    let stem = stem.strip_suffix(".src").or_else(|| stem.strip_suffix(".nosrc"))?;
    let (rest, release) = stem.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    (!name.is_empty() && believable(stem)).then(|| (name, format!("{version}-{release}")))
}

/// Mariner's distroless images: `rpm -qa` with NAME, VERSION-RELEASE, install and build time, VENDOR, EPOCH, SIZE, ARCH,
/// EPOCHNUM and SOURCERPM, separated by tabs.
fn parse_manifest(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let text = String::from_utf8_lossy(content);
    for (number, row) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let columns: Vec<&str> = row.split('\t').collect();
        let [name, evr, _, _, vendor, _, _, arch, epoch, source] = columns[..] else {
            out.warn(format!("{path}: line {} has {} columns instead of 10", number + 1, columns.len()));
            continue;
        };
        if name.is_empty() || evr.is_empty() || !believable(name) || !believable(evr) {
            out.warn(format!("{path}: line {} has an impossible name or version", number + 1));
            continue;
        }
        if name != "gpg-pubkey" {
            let epoch = epoch.parse().ok();
            out.add(Fields { name, evr, epoch, arch, vendor, source }.package(path));
        }
    }
    out
}
