//! Go: the build information that the linker puts into executables (`debug/buildinfo`): toolchain version and modules.
//!
//! Reads the inline form (Go 1.18 and later) and the older form with pointers. The toolchain's version is the version of the
//! package `stdlib`. A main module without version (`(devel)`) is passed over unless `-X main.version` names one.

use super::text::field;
use crate::bytes::{Bytes, Endian};
use crate::elf::{Elf, GO_MAGIC, Mark, find_go_magic};
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::{Package, PackageKind, limits};

const SECTION: &str = ".go.buildinfo";
const HEADER: usize = 32;
const SENTINEL: usize = 16;
/// Where no section names the place, it lies near the beginning of the data.
const SEARCHED: usize = 64 << 10;

pub(super) fn parse(path: &str, elf: &Elf) -> FileFacts {
    let mut out = FileFacts::default();
    if elf.is_packed() {
        out.warn(format!("{path}: packed by UPX: what it was built from cannot be seen"));
        return out;
    }
    let named = elf.section(SECTION).ok().flatten().map(|section| section.offset);
    let mut places = places(elf, named);
    match places.find_map(|at| read(elf, at)) {
        Some((version, modules)) => take(path, &version, &modules, &mut out),
        None if named.is_some() => {
            out.warn(format!("{path}: its Go build information is damaged or out of reach"));
        }
        None => {}
    }
    out
}

fn places(elf: &Elf, named: Option<u64>) -> impl Iterator<Item = u64> {
    let data = elf.segments().iter().find(|s| s.writable).filter(|_| named.is_none());
    let searched = data.and_then(|segment| {
        let found = find_go_magic(elf.up_to(segment.offset, SEARCHED))?;
        segment.offset.checked_add(found as u64)
    });
    named.into_iter().chain(searched).chain(elf.marks(Mark::Go))
}

/// Version and module lines at a place.
fn read(elf: &Elf, at: u64) -> Option<(String, String)> {
    let header = elf.slice(at, HEADER)?;
    if !header.starts_with(GO_MAGIC) {
        return None;
    }
    let (pointer, flags) = (header[14], header[15]);
    let (version, modules) = if flags & 2 != 0 {
        let rest = elf.up_to(at.checked_add(HEADER as u64)?, limits::MAX_BUILD_INFO_BYTES);
        let (version, after) = inline(rest)?;
        (version, inline(after).map(|(modules, _)| modules).unwrap_or_default())
    } else {
        let endian = if flags & 1 != 0 { Endian::Big } else { Endian::Little };
        let words = Words { elf, wide: pointer == 8, endian };
        let step = if words.wide { 8 } else { 4 };
        let at = at.checked_add(16)?;
        (words.text(at)?, words.text(at + step).unwrap_or_default())
    };
    let version = std::str::from_utf8(version).ok()?;
    let modules = match modules.len() {
        n if n > 2 * SENTINEL && modules[n - SENTINEL - 1] == b'\n' => &modules[SENTINEL..n - SENTINEL],
        _ => &[],
    };
    let plausible = version.starts_with("go") || version.starts_with("devel");
    plausible.then(|| (version.to_owned(), String::from_utf8_lossy(modules).into_owned()))
}

/// A string with its length as a varint before it, and what follows.
fn inline(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (index, byte) in bytes.iter().enumerate().take(5) {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let rest = &bytes[index + 1..];
            return (length <= rest.len()).then(|| rest.split_at(length));
        }
    }
    None
}

/// The older form: addresses of string headers (address, length).
struct Words<'a> {
    elf: &'a Elf,
    wide: bool,
    endian: Endian,
}

impl<'a> Words<'a> {
    fn word(&self, offset: u64) -> Option<u64> {
        let width = if self.wide { 8 } else { 4 };
        let bytes = Bytes::new(self.elf.slice(offset, width)?, self.endian);
        if self.wide { bytes.u64(0) } else { bytes.u32(0).map(u64::from) }
    }

    fn text(&self, offset: u64) -> Option<&'a [u8]> {
        let header = self.elf.offset_of(self.word(offset)?)?;
        let address = self.word(header)?;
        let length = self.word(header.checked_add(if self.wide { 8 } else { 4 })?)?;
        let length = usize::try_from(length).ok().filter(|l| *l <= limits::MAX_BUILD_INFO_BYTES)?;
        self.elf.slice(self.elf.offset_of(address)?, length)
    }
}

/// Lines `path`, `mod`, `dep`, `=>` (replaces the line before) and `build`, fields separated by tabs.
fn take(path: &str, version: &str, modules: &str, out: &mut FileFacts) {
    if let Some(release) = release(version) {
        push(path, "stdlib", &release, out);
    }
    let mut pending: Option<(String, String)> = None;
    let mut main: Option<(String, String)> = None;
    let mut stamped = None;
    for line in modules.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        match fields[..] {
            ["mod", name, version, ..] => main = Some((name.to_owned(), version.to_owned())),
            ["dep", name, version, ..] => {
                flush(path, pending.replace((name.to_owned(), version.to_owned())), out);
            }
            ["=>", name, version, ..] => pending = Some((name.to_owned(), version.to_owned())),
            ["build", setting] => stamped = stamped.or_else(|| version_flag(setting)),
            _ => {}
        }
    }
    flush(path, pending, out);
    if let Some((name, version)) = main {
        let version = if version == "(devel)" || version.is_empty() { stamped } else { Some(version) };
        flush(path, version.map(|v| (name, v)), out);
    }
}

fn flush(path: &str, module: Option<(String, String)>, out: &mut FileFacts) {
    match module {
        // A replacement by a directory has no version: its code is not the module's.
        Some((_, version)) if version.is_empty() || version == "(devel)" => {}
        Some((name, version)) => push(path, &name, &version, out),
        None => {}
    }
}

fn push(path: &str, name: &str, version: &str, out: &mut FileFacts) {
    let (Some(name), Some(version)) = (field(name), field(version)) else {
        return out.warn(format!("{path}: a module with an impossible name or version was left out"));
    };
    let mut package = Package::new(PackageKind::Golang, Format::Go, name, version);
    path.clone_into(&mut package.evidence);
    out.add(package);
}

/// `go1.22.3 X:boringcrypto` is 1.22.3; a toolchain built from a commit has no release.
fn release(version: &str) -> Option<String> {
    let number = version.strip_prefix("go")?.split([' ', '-', '+']).next()?;
    number.starts_with(|c: char| c.is_ascii_digit()).then(|| number.to_owned())
}

/// `-ldflags="-X main.version=v1.2.3"`, also in other packages' `version` variables.
fn version_flag(setting: &str) -> Option<String> {
    let flags = setting.strip_prefix("-ldflags=")?;
    let word = flags.split([' ', '"', '\'']).find_map(|word| {
        let (variable, value) = word.split_once('=')?;
        let name = variable.rsplit('.').next()?;
        (name.eq_ignore_ascii_case("version") && variable.starts_with("main.")).then_some(value)
    })?;
    let digits = word.strip_prefix('v').unwrap_or(word);
    digits.starts_with(|c: char| c.is_ascii_digit()).then(|| format!("v{digits}"))
}
