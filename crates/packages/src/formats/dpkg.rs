//! dpkg: `var/lib/dpkg/status`, on distroless images one stanza a file in `status.d` (deb-control(5), dpkg's `Status` field),
//! and the files each package owns from `info/*.list` and `*.md5sums`.
//!
//! A package is there as soon as its files are: also unpacked, half-configured, or waiting for triggers (an installation that failed
//! in a script leaves it so). What was removed, with or without its configuration, is no package. Diversions are not followed.

use super::text::{believable, file_name, line};
use crate::facts::{FileFacts, own, owned_hash};
use crate::formats::Format;
use crate::{Package, PackageKind};

const STATUS: [&str; 2] = ["var/lib/dpkg/status", "usr/lib/dpkg/status"];
const STATUS_DIRS: [&str; 2] = ["var/lib/dpkg/status.d/", "usr/lib/dpkg/status.d/"];
/// States without files (dpkg(1), "Package states").
const ABSENT: [&str; 2] = ["not-installed", "config-files"];
const INFO_DIRS: [&str; 2] = ["var/lib/dpkg/info/", "usr/lib/dpkg/info/"];
/// Addresses of maintainers whose packages come from their own repositories, not from Debian or Ubuntu.
const THIRD_PARTIES: [&str; 26] = [
    "@docker.com",
    "@nodesource.com",
    "@hashicorp.com",
    "@microsoft.com",
    "@google.com",
    "@nginx.com",
    "@f5.com",
    "@oracle.com",
    "@percona.com",
    "@mariadb.org",
    "@mariadb.com",
    "@mongodb.com",
    "@redis.com",
    "@redis.io",
    "@elastic.co",
    "@grafana.com",
    "@gitlab.com",
    "@github.com",
    "@influxdata.com",
    "@datadoghq.com",
    "@cloudflare.com",
    "@nvidia.com",
    "@confluent.io",
    "@yarnpkg.com",
    "@kubernetes.io",
    "@rabbitmq.com",
];

pub(super) fn owns(path: &str) -> bool {
    STATUS.contains(&path)
        || in_dir(path, &STATUS_DIRS).is_some()
        || in_dir(path, &INFO_DIRS).is_some_and(|name| owner(name).is_some())
}

/// The file name of a path directly in one of the directories.
fn in_dir<'a>(path: &'a str, dirs: &[&str]) -> Option<&'a str> {
    let name = dirs.iter().find_map(|dir| path.strip_prefix(dir))?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// `libc6:amd64.list` and `tzdata.md5sums` name their package.
fn owner(name: &str) -> Option<&str> {
    let stem = name.strip_suffix(".list").or_else(|| name.strip_suffix(".md5sums"))?;
    stem.split(':').next().filter(|n| !n.is_empty())
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    match owner(file_name(path)) {
        Some(package) => parse_owned(package, path, content),
        None => parse_status(path, content),
    }
}

fn parse_owned(package: &str, path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    if !believable(package) {
        return out;
    }
    let text = String::from_utf8_lossy(content);
    let digests = path.ends_with(".md5sums");
    let paths =
        text.lines().filter_map(|l| if digests { l.split_once("  ").map(|(_, p)| p) } else { Some(l) });
    let hashes = paths.filter(|p| p.len() > 2).map(owned_hash).collect();
    own(&mut out, package, hashes, &mut 0);
    out
}

fn parse_status(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let text = String::from_utf8_lossy(content);
    let mut stanza = Stanza::default();
    for line in text.lines() {
        if line.trim().is_empty() {
            std::mem::take(&mut stanza).finish(path, &mut out);
        } else {
            stanza.read(line);
        }
    }
    stanza.finish(path, &mut out);
    out
}

/// The fields of one stanza that matter.
#[derive(Default)]
struct Stanza {
    package: String,
    version: String,
    arch: String,
    source: String,
    status: String,
    maintainer: String,
    seen: bool,
}

impl Stanza {
    fn read(&mut self, line: &str) {
        // Continuation lines belong to fields that do not matter here.
        if line.starts_with([' ', '\t']) {
            return;
        }
        self.seen = true;
        let Some((key, value)) = line.split_once(':') else { return };
        let value = value.trim();
        let field = match key {
            "Package" => &mut self.package,
            "Version" => &mut self.version,
            "Architecture" => &mut self.arch,
            "Source" => &mut self.source,
            "Status" => &mut self.status,
            "Maintainer" => &mut self.maintainer,
            _ => return,
        };
        value.clone_into(field);
    }

    /// `Status: want flag state`; distroless stanzas have none and are installed.
    fn installed(&self) -> bool {
        let state = self.status.split_whitespace().nth(2);
        self.status.is_empty() || state.is_some_and(|state| !ABSENT.contains(&state))
    }

    fn finish(self, path: &str, out: &mut FileFacts) {
        if !self.seen || !self.installed() {
            return;
        }
        if self.package.is_empty() || self.version.is_empty() {
            let name =
                if self.package.is_empty() { "a stanza without Package" } else { self.package.as_str() };
            out.warn(format!("{path}: {name}: no Version, or cut off"));
            return;
        }
        if [&self.package, &self.version, &self.arch, &self.source].iter().any(|f| !believable(f)) {
            out.warn(format!("{path}: a stanza with an impossible name or version was left out"));
            return;
        }
        let (source_name, source_version) = split_source(&self.source, &self.package, &self.version);
        let mut package = Package::new(PackageKind::Deb, Format::Dpkg, &self.package, &self.version);
        package.epoch = self.version.split_once(':').and_then(|(epoch, _)| epoch.parse().ok());
        package.source_name = source_name;
        package.source_version = source_version;
        package.arch = self.arch;
        package.third_party = THIRD_PARTIES.iter().any(|address| self.maintainer.contains(address));
        package.vendor = line(&self.maintainer);
        path.clone_into(&mut package.evidence);
        out.add(package);
    }
}

/// `Source: name (version)`, `Source: name`, or absent (deb-control(5)).
fn split_source(source: &str, package: &str, version: &str) -> (String, String) {
    match source.split_once('(') {
        Some((name, rest)) => (name.trim().to_owned(), rest.trim_end_matches(')').trim().to_owned()),
        None if source.is_empty() => (package.to_owned(), version.to_owned()),
        None => (source.to_owned(), version.to_owned()),
    }
}
