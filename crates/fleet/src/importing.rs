//! Reads advisories from what a user has: a file, a directory, a zip, a tar, compressed or not. Bounded, and nothing is
//! unpacked to disk.
//!
//! One bad record refuses the whole import: half an import would look like a whole one later.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use flate2::read::MultiGzDecoder;
use jiff::Timestamp;
use konzert_advisories::sources::{self, FileFacts, Item, Reading};
use konzert_advisories::{Builder, SourceKind};

use crate::FleetError;

/// Most records of one import.
const MAX_RECORDS: u64 = 4_000_000;
/// Largest file in an archive or directory.
const MAX_ENTRY_BYTES: u64 = 128 << 20;
/// Largest file given by itself, unpacked.
const MAX_FILE_BYTES: u64 = 512 << 20;
/// Most bytes of all records of one import.
const MAX_TOTAL_BYTES: u64 = 8 << 30;
/// Deepest directory.
const MAX_DEPTH: usize = 16;
/// The magic of tar stands here.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// What an import brought.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// Advisories and priorities.
    pub(crate) records: u64,
    /// New or changed ones, and those that a snapshot does not name any more.
    pub(crate) changed: u64,
    pub(crate) kinds: BTreeSet<SourceKind>,
    pub(crate) newest: Option<Timestamp>,
    /// The newest file.
    pub(crate) written: Option<Timestamp>,
    pub(crate) ecosystems: BTreeMap<String, u64>,
}

/// Reads everything below `path` into a builder.
pub(crate) fn read(
    path: &Path,
    builder: &mut Builder<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, FleetError> {
    let metadata = std::fs::metadata(path).map_err(FleetError::io("read", path))?;
    let mut import =
        Import { path, builder, progress, bytes: 0, read: Imported::default(), facts: BTreeSet::new() };
    if metadata.is_dir() {
        import.directory(path, 0)?;
    } else {
        import.noticed(&metadata);
        import.file()?;
    }
    if import.read.records == 0 {
        return Err(FleetError::NoAdvisories { path: path.to_owned() });
    }
    let facts = FileFacts { snapshot_of: import.facts.into_iter().collect() };
    let gone = import.builder.settle(&facts);
    import.read.changed += gone as u64;
    Ok(import.read)
}

struct Import<'a, 'b> {
    path: &'a Path,
    builder: &'a mut Builder<'b>,
    progress: &'a mut dyn FnMut(u64),
    bytes: u64,
    read: Imported,
    facts: BTreeSet<String>,
}

impl Import<'_, '_> {
    fn refuse(&self, problem: impl Into<String>) -> FleetError {
        FleetError::Archive { path: self.path.to_owned(), problem: problem.into() }
    }

    fn noticed(&mut self, metadata: &std::fs::Metadata) {
        let at = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        self.read.written = self.read.written.max(Timestamp::try_from(at).ok());
    }

    /// The first bytes tell what a file is; its name may lie.
    fn file(&mut self) -> Result<(), FleetError> {
        let mut file = File::open(self.path).map_err(FleetError::io("open", self.path))?;
        let mut head = [0; 512];
        let length = read_head(&mut file, &mut head).map_err(FleetError::io("read", self.path))?;
        file.rewind().map_err(FleetError::io("read", self.path))?;
        let head = &head[..length];
        if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
            return self.zip(file);
        }
        if head.starts_with(&[0x1f, 0x8b]) {
            return self.unpacked(MultiGzDecoder::new(BufReader::new(file)));
        }
        if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let decoder = zstd::Decoder::new(file);
            return self.unpacked(decoder.map_err(|e| self.refuse(format!("not readable zstd: {e}")))?);
        }
        self.unpacked(file)
    }

    /// A tar, or one file.
    fn unpacked(&mut self, mut input: impl Read) -> Result<(), FleetError> {
        let mut head = [0; 512];
        let length =
            read_head(&mut input, &mut head).map_err(|e| self.refuse(format!("cannot be unpacked: {e}")))?;
        let tar = head.get(TAR_MAGIC) == Some(b"ustar");
        let mut input = Cursor::new(head[..length].to_vec()).chain(input);
        if tar {
            return self.tar(input);
        }
        let name = self.path.display().to_string();
        self.record(&mut input, &name, MAX_FILE_BYTES)
    }

    fn record(&mut self, input: &mut dyn Read, name: &str, limit: u64) -> Result<(), FleetError> {
        let mut bytes = Vec::new();
        let read = input.take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|e| self.refuse(format!("entry {name:?} cannot be read: {e}")))?;
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(self.refuse(format!("more than {MAX_TOTAL_BYTES} bytes of records")));
        }
        if bytes.len() as u64 > limit {
            return Err(self.refuse(format!("entry {name:?} has more than {limit} bytes")));
        }
        let (builder, read) = (&mut *self.builder, &mut self.read);
        let mut sink = |item: Item| {
            note(read, &item);
            read.changed += u64::from(builder.take(item));
        };
        let (kind, facts) = sources::parse(&bytes, &mut Reading { name, sink: &mut sink })
            .map_err(|source| FleetError::Import { path: self.path.to_owned(), source: Box::new(source) })?;
        self.read.kinds.insert(kind);
        self.facts.extend(facts.snapshot_of);
        if self.read.records > MAX_RECORDS {
            return Err(self.refuse(format!("more than {MAX_RECORDS} records")));
        }
        (self.progress)(self.read.records);
        Ok(())
    }

    fn directory(&mut self, dir: &Path, depth: usize) -> Result<(), FleetError> {
        if depth > MAX_DEPTH {
            return Err(self.refuse(format!("{} is nested too deeply", dir.display())));
        }
        let mut entries: Vec<PathBuf> = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(FleetError::io("read", dir))? {
            entries.push(entry.map_err(FleetError::io("read", dir))?.path());
        }
        entries.sort();
        for path in entries {
            // Links are not followed: a directory of advisories has no use for them.
            let metadata = std::fs::symlink_metadata(&path).map_err(FleetError::io("read", &path))?;
            if metadata.is_dir() && !is_hidden(&path) {
                self.directory(&path, depth + 1)?;
            } else if metadata.is_file() && is_record(&path) {
                self.noticed(&metadata);
                let mut file = File::open(&path).map_err(FleetError::io("open", &path))?;
                self.record(&mut file, &path.display().to_string(), MAX_ENTRY_BYTES)?;
            }
        }
        Ok(())
    }

    fn zip(&mut self, file: File) -> Result<(), FleetError> {
        let mut archive = zip::ZipArchive::new(BufReader::new(file))
            .map_err(|e| self.refuse(format!("not a readable zip: {e}")))?;
        for index in 0..archive.len() {
            let mut entry =
                archive.by_index(index).map_err(|e| self.refuse(format!("not a readable zip: {e}")))?;
            let name = entry.name().to_owned();
            if entry.is_file() && is_record(Path::new(&name)) {
                self.record(&mut entry, &name, MAX_ENTRY_BYTES)?;
            }
        }
        Ok(())
    }

    fn tar(&mut self, input: impl Read) -> Result<(), FleetError> {
        let mut archive = tar::Archive::new(input);
        let entries = archive.entries().map_err(|e| self.refuse(format!("not a readable tar: {e}")))?;
        for entry in entries {
            let mut entry = entry.map_err(|e| self.refuse(format!("not a readable tar: {e}")))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if entry.header().entry_type().is_file() && is_record(Path::new(&name)) {
                self.record(&mut entry, &name, MAX_ENTRY_BYTES)?;
            }
        }
        Ok(())
    }
}

/// What the source's row will say.
fn note(read: &mut Imported, item: &Item) {
    read.records += 1;
    let Item::Advisory(advisory) = item else { return };
    if advisory.modified > Timestamp::UNIX_EPOCH {
        read.newest = read.newest.max(Some(advisory.modified));
    }
    let canonical = |a: &konzert_advisories::Affected| konzert_advisories::ecosystem::canonical(&a.ecosystem);
    let ecosystems: BTreeSet<String> = advisory.affected.iter().map(canonical).collect();
    for ecosystem in ecosystems {
        *read.ecosystems.entry(ecosystem).or_default() += 1;
    }
}

fn read_head(input: &mut impl Read, head: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < head.len() {
        match input.read(&mut head[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn is_record(path: &Path) -> bool {
    let known =
        |e: &std::ffi::OsStr| ["json", "yaml", "yml"].iter().any(|known| e.eq_ignore_ascii_case(known));
    path.extension().is_some_and(known) && !is_hidden(path)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
