//! dpkg: `var/lib/dpkg/status` and, on distroless images, one stanza a file in `status.d` (deb-control(5), dpkg's
//! `Status` field).
//!
//! Does not read owned files. A package that is not installed (`deinstall`, `purge`, half-installed rests) is no package.

use crate::formats::{Format, Parsed};
use crate::{Package, PackageKind, limits};

const STATUS: &str = "var/lib/dpkg/status";
const STATUS_DIRS: [&str; 2] = ["var/lib/dpkg/status.d/", "usr/lib/dpkg/status.d/"];

pub(crate) fn owns(path: &str) -> bool {
    path == STATUS
        || STATUS_DIRS.iter().any(|dir| {
            path.strip_prefix(dir)
                .is_some_and(|name| !name.is_empty() && !name.contains('/') && !name.ends_with(".md5sums"))
        })
}

pub(crate) fn parse(path: &str, content: &[u8]) -> Parsed {
    let mut out = Parsed::default();
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
            _ => return,
        };
        value.clone_into(field);
    }

    /// `Status: want flag state`; distroless stanzas have none and are installed.
    fn installed(&self) -> bool {
        self.status.is_empty() || self.status.split_whitespace().nth(2) == Some("installed")
    }

    fn finish(self, path: &str, out: &mut Parsed) {
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
        out.packages.push(Package {
            name: self.package,
            version: self.version,
            source_name,
            source_version,
            arch: self.arch,
            format: Format::Dpkg,
            kind: PackageKind::Deb,
            evidence: path.to_owned(),
            ..Package::default()
        });
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

pub(crate) fn believable(field: &str) -> bool {
    field.len() <= limits::MAX_FIELD_BYTES && field.chars().all(|c| c.is_ascii_graphic() || c == ' ')
}
