//! Java archives (jar, war, ear, par and those inside them): `pom.properties`, else the file name and the manifest (`artifact`).
//!
//! An archive is read once from front to back by its local headers (APPNOTE 4.3.7), so that a nested archive needs no copy
//! and a large one no memory. Entries whose end cannot be told without the central directory (stored, length unknown) end
//! the reading with a warning. Bounds: depth, entries, expanded bytes, ratio of expansion.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::DeflateDecoder;

use super::artifact::{self, Classes};
use super::text::{believable, field, file_name, licences};
use crate::bytes::{Bytes, Endian};
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::{Package, PackageKind, limits};

const EXTENSIONS: [&str; 7] = [".jar", ".war", ".ear", ".par", ".sar", ".jpi", ".hpi"];
const LOCAL: &[u8; 4] = b"PK\x03\x04";
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Executable archives begin with a script.
const SEARCHED_FOR_START: usize = 1 << 20;
const UNKNOWN_32: u32 = u32::MAX;

pub(super) fn owns(path: &str) -> bool {
    EXTENSIONS.iter().any(|extension| path.ends_with(extension))
}

pub(super) fn parse(path: &str, size: u64, content: &mut dyn Read) -> FileFacts {
    let budget = Budget { entries: Cell::new(0), expanded: Cell::new(0), exceeded: Cell::new(false), size };
    let mut walk = Walk { out: FileFacts::default(), budget: &budget };
    let mut reader = BufReader::with_capacity(64 << 10, content);
    walk.archive(Archive { path: path.to_owned(), ..Archive::default() }, &mut reader);
    walk.out
}

/// What an archive and those inside it may use together.
struct Budget {
    entries: Cell<u64>,
    expanded: Cell<u64>,
    exceeded: Cell<bool>,
    size: u64,
}

/// Expanded bytes on their way, counted.
struct Counted<'a> {
    inner: &'a mut dyn Read,
    budget: &'a Budget,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        let expanded = self.budget.expanded.get() + got as u64;
        self.budget.expanded.set(expanded);
        let ratio = self.budget.size.max(1).saturating_mul(limits::MAX_EXPANSION_RATIO);
        if expanded > limits::MAX_EXPANDED_BYTES || expanded > limits::RATIO_FLOOR_BYTES.max(ratio) {
            self.budget.exceeded.set(true);
            return Err(io::Error::other("it expands to more than is believed, as a zip bomb does"));
        }
        Ok(got)
    }
}

struct Walk<'b> {
    out: FileFacts,
    budget: &'b Budget,
}

/// What the entries of one archive say of it.
#[derive(Default)]
struct Archive {
    path: String,
    depth: usize,
    manifest: BTreeMap<String, String>,
    poms: Vec<Coordinates>,
    classes: Classes,
}

/// `groupId`, `artifactId`, `version`.
struct Coordinates {
    group: String,
    artifact: String,
    version: String,
}

struct LocalHeader {
    name: String,
    method: u16,
    /// `None`: a data descriptor after the content says it.
    compressed: Option<u64>,
    zip64: bool,
    encrypted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interest {
    No,
    Manifest,
    Pom,
    Archive,
}

/// Why an archive was not read to its end.
#[derive(Debug, thiserror::Error)]
enum JarError {
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    #[error("it is no zip archive")]
    NotZip,
    #[error("the length of {0} is not known before its end")]
    UnknownLength(String),
    #[error("{0} is compressed in a way that is not read")]
    Method(String),
    #[error("it has more than {} entries", limits::MAX_ARCHIVE_ENTRIES)]
    Entries,
}

impl Walk<'_> {
    fn archive(&mut self, mut archive: Archive, reader: &mut dyn BufRead) {
        if let Err(error) = self.entries(&mut archive, reader) {
            self.out.warn(format!("{}: {error}; packages may be missing", archive.path));
        }
        archive.packages(&mut self.out);
    }

    fn entries(&mut self, archive: &mut Archive, reader: &mut dyn BufRead) -> Result<(), JarError> {
        if !find_start(reader)? {
            return Err(JarError::NotZip);
        }
        loop {
            let header = local_header(reader)?;
            self.budget.entries.set(self.budget.entries.get() + 1);
            if self.budget.entries.get() > limits::MAX_ARCHIVE_ENTRIES {
                self.budget.exceeded.set(true);
                return Err(JarError::Entries);
            }
            self.entry(archive, &header, reader)?;
            // A nested archive said why; no more of this one either.
            if self.budget.exceeded.get() {
                return Ok(());
            }
            let mut signature = [0; 4];
            if reader.read(&mut signature[..1])? == 0 {
                return Ok(());
            }
            reader.read_exact(&mut signature[1..])?;
            if &signature != LOCAL {
                // The central directory, or what stands before it: all entries have passed.
                return Ok(());
            }
        }
    }

    fn entry(
        &mut self,
        archive: &mut Archive,
        header: &LocalHeader,
        reader: &mut dyn BufRead,
    ) -> Result<(), JarError> {
        archive.classes.see(&header.name);
        let interest = if header.encrypted { Interest::No } else { interest(&header.name) };
        match (header.method, header.compressed) {
            (_, Some(length)) if interest == Interest::No => skip(reader, length)?,
            (STORED, Some(length)) => {
                let mut content = reader.take(length);
                self.content(archive, header, interest, &mut content)?;
                drain(&mut content)?;
            }
            (DEFLATED, Some(length)) => {
                let mut compressed = BufReader::new(reader.take(length));
                self.content(archive, header, interest, &mut DeflateDecoder::new(&mut compressed))?;
                drain(&mut compressed)?;
            }
            (DEFLATED, None) => {
                let mut content = DeflateDecoder::new(&mut *reader);
                self.content(archive, header, interest, &mut content)?;
                drain(&mut Counted { inner: &mut content, budget: self.budget })?;
                descriptor(reader, header.zip64)?;
            }
            (STORED, None) => return Err(JarError::UnknownLength(header.name.clone())),
            _ => return Err(JarError::Method(header.name.clone())),
        }
        if header.encrypted {
            self.out.warn(format!("{}!/{}: it is encrypted", archive.path, header.name));
        }
        Ok(())
    }

    fn content(
        &mut self,
        archive: &mut Archive,
        header: &LocalHeader,
        interest: Interest,
        content: &mut dyn Read,
    ) -> Result<(), JarError> {
        let mut counted = Counted { inner: content, budget: self.budget };
        match interest {
            Interest::No => {}
            Interest::Manifest => archive.manifest = manifest(&text(&mut counted)?),
            Interest::Pom => archive.poms.extend(pom(&text(&mut counted)?)),
            Interest::Archive => {
                let path = format!("{}!/{}", archive.path, header.name);
                if archive.depth + 1 >= limits::MAX_ARCHIVE_DEPTH || path.len() > limits::MAX_PATH_BYTES {
                    self.out.warn(format!("{path}: archives lie too deep in each other"));
                    return Ok(());
                }
                let inner = Archive { path, depth: archive.depth + 1, ..Archive::default() };
                self.archive(inner, &mut BufReader::new(&mut counted));
            }
        }
        Ok(())
    }
}

fn interest(name: &str) -> Interest {
    if name == "META-INF/MANIFEST.MF" {
        Interest::Manifest
    } else if name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties") {
        Interest::Pom
    } else if owns(name) {
        Interest::Archive
    } else {
        Interest::No
    }
}

fn drain(content: &mut dyn Read) -> io::Result<()> {
    io::copy(content, &mut io::sink()).map(|_bytes| ())
}

fn skip(reader: &mut dyn BufRead, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut reader.take(length), &mut io::sink())?;
    if skipped < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn text(content: &mut dyn Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    content.take(limits::MAX_ARCHIVE_TEXT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Moves behind the first local signature. False when there is none near the beginning.
fn find_start(reader: &mut dyn BufRead) -> io::Result<bool> {
    let mut seen = 0;
    let mut matched = 0;
    while seen < SEARCHED_FOR_START {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok(false);
        }
        let mut used = 0;
        for byte in buffer {
            used += 1;
            matched = if *byte == LOCAL[matched] { matched + 1 } else { usize::from(*byte == LOCAL[0]) };
            if matched == LOCAL.len() {
                break;
            }
        }
        reader.consume(used);
        seen += used;
        if matched == LOCAL.len() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What follows the signature (APPNOTE 4.3.7).
fn local_header(reader: &mut dyn BufRead) -> io::Result<LocalHeader> {
    let mut raw = [0; 26];
    reader.read_exact(&mut raw)?;
    let bytes = Bytes::new(&raw, Endian::Little);
    let short = |at| bytes.u16(at).expect("26 bytes were read");
    let compressed = bytes.u32(14).expect("26 bytes were read");
    let mut name = vec![0; usize::from(short(22))];
    reader.read_exact(&mut name)?;
    let mut extra = vec![0; usize::from(short(24))];
    reader.read_exact(&mut extra)?;
    let flags = short(2);
    let zip64 = zip64_sizes(&extra);
    let compressed = match (flags & 8 != 0, compressed, zip64) {
        // Some writers give the length and a descriptor as well; the flag is what counts.
        (true, ..) => None,
        (false, UNKNOWN_32, Some(length)) => Some(length),
        (false, length, _) => Some(u64::from(length)),
    };
    Ok(LocalHeader {
        name: String::from_utf8_lossy(&name).into_owned(),
        method: short(4),
        compressed,
        zip64: zip64.is_some(),
        encrypted: flags & 1 != 0,
    })
}

/// The compressed length in the extra field of large entries (APPNOTE 4.5.3).
fn zip64_sizes(extra: &[u8]) -> Option<u64> {
    let bytes = Bytes::new(extra, Endian::Little);
    let mut at = 0;
    loop {
        let (id, length) = (bytes.u16(at)?, usize::from(bytes.u16(at + 2)?));
        if id == 1 {
            return bytes.u64(at + 12);
        }
        at += 4 + length;
    }
}

/// CRC and lengths after an entry, with or without a signature of their own.
fn descriptor(reader: &mut dyn BufRead, zip64: bool) -> io::Result<()> {
    let mut first = [0; 4];
    reader.read_exact(&mut first)?;
    let lengths = if zip64 { 16 } else { 8 };
    let rest = if &first == DESCRIPTOR { lengths + 4 } else { lengths };
    skip(reader, rest)
}

/// The main section of a manifest; long lines go on after a line break and a space (JAR File Specification).
fn manifest(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut last: Option<String> = None;
    for line in text.lines() {
        let line = line.trim_end_matches('\r');
        if line.is_empty() {
            break;
        }
        if let (Some(rest), Some(key)) = (line.strip_prefix(' '), &last) {
            let value: &mut String = found.entry(key.clone()).or_default();
            value.push_str(rest);
        } else if let Some((key, value)) = line.split_once(':') {
            last = Some(key.to_owned());
            found.insert(key.to_owned(), value.trim_start().to_owned());
        }
    }
    found
}

fn pom(text: &str) -> Option<Coordinates> {
    let value = |key: &str| {
        let mut lines = text.lines().map(str::trim).filter(|l| !l.starts_with(['#', '!']));
        let found = lines.find_map(|l| l.strip_prefix(key)?.trim_start().strip_prefix(['=', ':']));
        found.and_then(field).map(str::to_owned)
    };
    Some(Coordinates { group: value("groupId")?, artifact: value("artifactId")?, version: value("version")? })
}

impl Archive {
    fn packages(self, out: &mut FileFacts) {
        let licence: Vec<String> = licences(self.manifest.get("Bundle-License").map(String::as_str));
        let (artifact, version) = from_file_name(&self.path);
        for pom in &self.poms {
            let name = format!("{}:{}", pom.group, pom.artifact);
            self.push(&[name], &pom.version, licence.clone(), out);
        }
        // The poms of a shaded archive may be those of its parts only.
        if self.poms.is_empty() || version.is_some() && self.poms.iter().all(|pom| pom.artifact != artifact) {
            self.push_from_manifest(licence, out);
        }
    }

    /// Without a pom of its own: the file name says artifact and version, the manifest what the name leaves out.
    fn push_from_manifest(&self, licence: Vec<String>, out: &mut FileFacts) {
        let entry = |keys: &[&str]| {
            keys.iter().filter_map(|key| self.manifest.get(*key)).find_map(|value| field(value))
        };
        let (artifact, version) = from_file_name(&self.path);
        let version = version.or_else(|| {
            entry(&["Implementation-Version", "Bundle-Version", "Specification-Version"])
                .filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
        });
        let (Some(artifact), Some(version)) = (field(artifact), version) else { return };
        let mut names = artifact::names(artifact, &self.manifest, &self.classes);
        names.retain(|name| believable(name));
        self.push(&names, version, licence, out);
    }

    fn push(&self, names: &[String], version: &str, licence: Vec<String>, out: &mut FileFacts) {
        let Some((name, also)) = names.split_first() else { return };
        let mut package = Package::new(PackageKind::Maven, Format::Jar, name, version);
        package.also = also.to_vec();
        package.licences = licence;
        package.evidence.clone_from(&self.path);
        out.add(package);
    }
}

/// `commons-io-2.11.0.jar`: the version begins at the first dash before a digit.
fn from_file_name(path: &str) -> (&str, Option<&str>) {
    let name = file_name(path);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let begins = |at: usize| stem[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    match stem.match_indices('-').map(|(at, _)| at).find(|at| begins(*at)) {
        Some(dash) => (&stem[..dash], field(&stem[dash + 1..])),
        None => (stem, None),
    }
}
