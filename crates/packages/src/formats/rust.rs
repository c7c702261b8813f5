//! Rust: the list of crates that `cargo auditable` links into executables (section `.dep-v0`: JSON, compressed with zlib), and
//! `Cargo.lock`.
//!
//! Build dependencies are not in the executable and are passed over. Only crates from crates.io have its ecosystem; others
//! are listed without one.

use std::io::Read as _;

use flate2::read::ZlibDecoder;
use serde::Deserialize;

use super::text::{field, file_name, quoted};
use crate::elf::{Elf, Mark, SectionsUnknown};
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::{Package, PackageKind, limits};

const SECTION: &str = ".dep-v0";

#[derive(Deserialize)]
struct Audit {
    packages: Vec<Crate>,
}

#[derive(Deserialize)]
struct Crate {
    name: String,
    version: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    kind: String,
}

pub(super) fn parse(path: &str, elf: &Elf) -> FileFacts {
    let mut out = FileFacts::default();
    let section = match elf.section(SECTION) {
        Ok(Some(section)) => section,
        Ok(None) => {
            let streamed = elf.marks(Mark::Audit).map(|at| elf.up_to(at, limits::MAX_BUILD_INFO_BYTES));
            streamed.for_each(|found| list(path, found, &mut out));
            return out;
        }
        Err(SectionsUnknown) => {
            out.warn(format!("{path}: its table of sections is damaged"));
            return out;
        }
    };
    let size = usize::try_from(section.size).unwrap_or(usize::MAX);
    match elf.slice(section.offset, size) {
        Some(section) => list(path, section, &mut out),
        None => out.warn(format!("{path}: its list of crates lies behind the end of the file")),
    }
    out
}

fn list(path: &str, section: &[u8], out: &mut FileFacts) {
    match audit(section) {
        Ok(audit) => take(path, audit, out),
        Err(error) => out.warn(format!("{path}: its list of crates cannot be read: {error}")),
    }
}

fn audit(compressed: &[u8]) -> Result<Audit, serde_json::Error> {
    let limited = ZlibDecoder::new(compressed).take(limits::MAX_BUILD_INFO_BYTES as u64);
    serde_json::from_reader(std::io::BufReader::new(limited))
}

fn take(path: &str, audit: Audit, out: &mut FileFacts) {
    for one in audit.packages.into_iter().filter(|c| c.kind != "build") {
        let registry = one.source.starts_with("crates.io") || one.source == "registry";
        push(path, Format::CargoAuditable, (&one.name, &one.version), registry, out);
    }
}

fn push(path: &str, format: Format, (name, version): (&str, &str), registry: bool, out: &mut FileFacts) {
    let (Some(name), Some(version)) = (field(name), field(version)) else {
        return out.warn(format!("{path}: a crate with an impossible name or version was left out"));
    };
    let mut package = Package::new(PackageKind::Cargo, format, name, version);
    if !registry {
        package.ecosystem.clear();
    }
    path.clone_into(&mut package.evidence);
    out.add(package);
}

/// Sources that cargo downloaded bring lock files of their own, which nobody builds with.
pub(super) fn owns_lock(path: &str) -> bool {
    let source = |dir: &str| path.contains(dir);
    file_name(path) == "Cargo.lock" && !source("/registry/src/") && !source("/git/checkouts/")
}

/// Cargo writes the file itself, one `key = "value"` a line below `[[package]]`: no more of TOML is needed.
pub(super) fn parse_lock(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let text = String::from_utf8_lossy(content);
    for block in text.split("[[package]]").skip(1) {
        let value = |key: &str| {
            let rest = block.lines().find_map(|l| l.strip_prefix(key)?.trim_start().strip_prefix('='));
            rest.and_then(quoted)
        };
        let (Some(name), Some(version)) = (value("name"), value("version")) else {
            out.warn(format!("{path}: a package without name or version, or cut off"));
            continue;
        };
        // Without a source it is the workspace itself.
        if let Some(source) = value("source") {
            push(path, Format::CargoLock, (name, version), source.contains("crates.io-index"), &mut out);
        }
    }
    out
}
