//! Reads OSV records from what a user has: a file, a directory, a zip, a tar. Bounded, and nothing is unpacked to disk.
//!
//! One bad record refuses the whole import: half an import would look like a whole one later.

use std::fs::File;
use std::io::{Read, Seek as _};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use konzert_advisories::{Advisory, parse_osv};

use crate::FleetError;

/// Most records of one import.
const MAX_RECORDS: u64 = 2_000_000;
/// Largest record.
const MAX_RECORD_BYTES: u64 = 16 << 20;
/// Most bytes of all records of one import.
const MAX_TOTAL_BYTES: u64 = 8 << 30;
/// Deepest directory.
const MAX_DEPTH: usize = 16;

/// Reads all records below `path`.
pub(crate) fn read(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<Vec<Advisory>, FleetError> {
    let metadata = std::fs::metadata(path).map_err(FleetError::io("read", path))?;
    let mut import = Import { path, advisories: Vec::new(), bytes: 0, progress };
    if metadata.is_dir() {
        import.directory(path, 0)?;
    } else {
        import.file()?;
    }
    if import.advisories.is_empty() {
        return Err(FleetError::NoAdvisories { path: path.to_owned() });
    }
    Ok(import.advisories)
}

struct Import<'a> {
    path: &'a Path,
    advisories: Vec<Advisory>,
    bytes: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Import<'_> {
    fn refuse(&self, problem: impl Into<String>) -> FleetError {
        FleetError::Archive { path: self.path.to_owned(), problem: problem.into() }
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
            return self.tar(GzDecoder::new(file));
        }
        if head.get(257..262) == Some(b"ustar") {
            return self.tar(file);
        }
        let name = self.path.display().to_string();
        self.record(&mut file, &name)
    }

    fn record(&mut self, input: &mut dyn Read, name: &str) -> Result<(), FleetError> {
        let mut bytes = Vec::new();
        let read = input.take(MAX_RECORD_BYTES + 1).read_to_end(&mut bytes);
        read.map_err(|e| self.refuse(format!("entry {name:?} cannot be read: {e}")))?;
        self.bytes += bytes.len() as u64;
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(self.refuse(format!("more than {MAX_TOTAL_BYTES} bytes of records")));
        }
        if self.advisories.len() as u64 >= MAX_RECORDS {
            return Err(self.refuse(format!("more than {MAX_RECORDS} records")));
        }
        let advisory = parse_osv(&bytes, name)
            .map_err(|source| FleetError::Import { path: self.path.to_owned(), source })?;
        self.advisories.push(advisory);
        (self.progress)(self.advisories.len() as u64);
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
            let kind = std::fs::symlink_metadata(&path).map_err(FleetError::io("read", &path))?.file_type();
            if kind.is_dir() && !is_hidden(&path) {
                self.directory(&path, depth + 1)?;
            } else if kind.is_file() && is_json(&path) {
                let mut file = File::open(&path).map_err(FleetError::io("open", &path))?;
                self.record(&mut file, &path.display().to_string())?;
            }
        }
        Ok(())
    }

    fn zip(&mut self, file: File) -> Result<(), FleetError> {
        let mut archive =
            zip::ZipArchive::new(file).map_err(|e| self.refuse(format!("not a readable zip: {e}")))?;
        for index in 0..archive.len() {
            let mut entry =
                archive.by_index(index).map_err(|e| self.refuse(format!("not a readable zip: {e}")))?;
            let name = entry.name().to_owned();
            if entry.is_file() && is_json(Path::new(&name)) {
                self.record(&mut entry, &name)?;
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
            if entry.header().entry_type().is_file() && is_json(Path::new(&name)) {
                self.record(&mut entry, &name)?;
            }
        }
        Ok(())
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

fn is_json(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) && !is_hidden(path)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}
