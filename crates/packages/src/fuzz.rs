//! Entry points for fuzzers: every parser of binary input, and every parser of text, as a function of bytes alone.
//!
//! Each must return for any input, in time and memory bounded by `limits`, and never panic. The tests of this crate drive
//! them with mutations of real files.

use std::io;

use crate::LayerCataloguer;
use crate::elf::Elf;
use crate::facts::FileFacts;
use crate::formats::rpm::{bdb, header, ndb, sqlite};
use crate::formats::{FORMATS, Reading};

/// rpm's header blob.
pub fn rpm_header(input: &[u8]) -> usize {
    header::Header::parse(input).map_or(0, |h| h.name().len() + h.owned().map_or(0, |files| files.len()))
}

/// rpm's `SQLite` database: the number of blobs.
pub fn rpm_sqlite(input: &[u8]) -> usize {
    counted(|sink| sqlite::read(input, sink).is_ok())
}

/// rpm's NDB database: the number of blobs.
pub fn rpm_ndb(input: &[u8]) -> usize {
    counted(|sink| ndb::read(input, sink).is_ok())
}

/// rpm's Berkeley database: the number of blobs.
pub fn rpm_bdb(input: &[u8]) -> usize {
    counted(|sink| bdb::read(input, sink).is_ok())
}

fn counted(read: impl FnOnce(&mut dyn FnMut(&[u8])) -> bool) -> usize {
    let mut blobs = 0;
    read(&mut |_blob| blobs += 1);
    blobs
}

/// Executables: Go's build information and cargo's audit data.
pub fn executable(input: &[u8]) -> FileFacts {
    let mut facts = FileFacts::default();
    let Ok(Some(elf)) = Elf::read(&[], input.len() as u64, &mut io::Cursor::new(input)) else { return facts };
    for row in FORMATS {
        if let Reading::Elf { parse } = row.reading {
            facts.absorb(parse("fuzz", &elf));
        }
    }
    facts
}

/// Any file at any path, as a layer of that one file.
pub fn file(path: &str, input: &[u8]) -> io::Result<crate::LayerFacts> {
    let mut layer = LayerCataloguer::new("sha256:0");
    layer.file(path, input.len() as u64, &mut io::Cursor::new(input))?;
    Ok(layer.finish())
}

/// A document that is all there is: the number of its packages.
pub fn document(input: &[u8]) -> usize {
    crate::read_document(input, "fuzz").map_or(0, |document| document.catalogue.packages.len())
}
