//! Executables (ELF, System V ABI): which sections and segments they have, and the bytes behind them.
//!
//! A small file is held whole. Of a large one only the beginning is kept, and what follows the places where build information
//! begins, found by its first bytes: a file of any size costs bounded memory and is read once. Tables of a large file are not
//! used, because the linker decides how far behind the beginning they lie. A part that was not kept gives `None`; callers turn
//! that into a warning.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress};
use memchr::{memchr_iter, memmem};

use crate::bytes::{Bytes, Endian};
use crate::limits;

/// First bytes of every ELF file.
pub(crate) const MAGIC: &[u8; 4] = b"\x7fELF";
/// First bytes of Go's build information.
pub(crate) const GO_MAGIC: &[u8; 14] = b"\xff Go buildinf:";
/// What `cargo auditable` writes begins so, once expanded.
const AUDIT_START: &[u8] = b"{\"packages\"";
/// First byte of a zlib stream with the usual window (RFC 1950, section 2.2).
const ZLIB: u8 = 0x78;
const CHUNK: usize = 64 << 10;
/// Bytes that tell whether build information begins at a place: Go's magic, or enough of a zlib stream for its first words.
const LOOKAHEAD: usize = 512;
const WINDOW_BYTES: usize = 1 << 20;
const MAX_WINDOWS: usize = 8;
const UPX_MAGIC: &[u8] = b"UPX!";
const PT_LOAD: u32 = 1;

/// A section with its place in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// A loaded segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) writable: bool,
}

/// An executable as far as it was kept.
pub struct Elf {
    parts: Vec<(u64, Vec<u8>)>,
    marks: Vec<(Mark, u64)>,
    wide: bool,
    endian: Endian,
    sections: Option<Vec<Section>>,
    segments: Vec<Segment>,
}

impl Elf {
    /// Reads a file whose first bytes (`start`, [`MAGIC`] at least) were taken already. `None` when its header is not one.
    pub(crate) fn read(start: &[u8], size: u64, content: &mut dyn Read) -> io::Result<Option<Self>> {
        let mut head = start.to_vec();
        let whole = size <= limits::MAX_WHOLE_EXECUTABLE_BYTES;
        let first =
            if whole { limits::MAX_WHOLE_EXECUTABLE_BYTES } else { limits::EXECUTABLE_HEAD_BYTES as u64 };
        (&mut *content).take(first.saturating_sub(start.len() as u64)).read_to_end(&mut head)?;
        let mut kept = Kept { parts: Vec::new(), marks: Vec::new() };
        if !whole {
            // From the first byte on: the beginning has such information too, and it may lie across its end.
            kept.stream(&mut head.as_slice().chain(content))?;
        }
        kept.parts.insert(0, (0, head));
        Ok(Self::parse(kept, whole))
    }

    fn parse(kept: Kept, whole: bool) -> Option<Self> {
        let head = &kept.parts[0].1;
        let endian = match head.get(5)? {
            1 => Endian::Little,
            2 => Endian::Big,
            _ => return None,
        };
        let wide = match head.get(4)? {
            1 => false,
            2 => true,
            _ => return None,
        };
        let mut elf =
            Self { parts: kept.parts, marks: kept.marks, wide, endian, sections: None, segments: Vec::new() };
        elf.segments = elf.read_segments().unwrap_or_default();
        elf.sections = if whole { elf.read_sections() } else { Some(Vec::new()) };
        Some(elf)
    }

    /// Bytes of the file, when they were kept.
    pub(crate) fn slice(&self, offset: u64, len: usize) -> Option<&[u8]> {
        self.parts.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(offset.checked_sub(*start)?).ok()?;
            bytes.get(at..at.checked_add(len)?)
        })
    }

    /// Up to `most` bytes from an offset on, as many as were kept in one piece.
    pub(crate) fn up_to(&self, offset: u64, most: usize) -> &[u8] {
        let pieces = self.parts.iter().filter_map(|(start, bytes)| {
            let at = usize::try_from(offset.checked_sub(*start)?).ok()?;
            let end = at.saturating_add(most).min(bytes.len());
            bytes.get(at..end)
        });
        pieces.max_by_key(|piece| piece.len()).unwrap_or_default()
    }

    /// The section of that name, of a file that is held whole; `Err` when the table of sections is damaged.
    pub(crate) fn section(&self, name: &str) -> Result<Option<&Section>, SectionsUnknown> {
        let sections = self.sections.as_ref().ok_or(SectionsUnknown)?;
        Ok(sections.iter().find(|section| section.name == name))
    }

    /// Loaded segments.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Where such information was seen while a large file passed.
    pub(crate) fn marks(&self, wanted: Mark) -> impl Iterator<Item = u64> {
        self.marks.iter().filter(move |(mark, _)| *mark == wanted).map(|(_, at)| *at)
    }

    /// Where an address of the running program lies in the file.
    pub(crate) fn offset_of(&self, address: u64) -> Option<u64> {
        let segment = self.segments.iter().find(|s| address >= s.address && address - s.address < s.size)?;
        segment.offset.checked_add(address - segment.address)
    }

    /// Whether it is packed by UPX: what it was built from cannot be seen.
    pub(crate) fn is_packed(&self) -> bool {
        let head = self.up_to(0, 1024);
        head.windows(UPX_MAGIC.len()).any(|window| window == UPX_MAGIC)
    }

    fn bytes(&self, offset: u64, len: usize) -> Option<Bytes<'_>> {
        Some(Bytes::new(self.slice(offset, len)?, self.endian))
    }

    /// A field of the file header that is as wide as an address.
    fn word(&self, bytes: Bytes<'_>, narrow: usize, wide: usize) -> Option<u64> {
        if self.wide { bytes.u64(wide) } else { bytes.u32(narrow).map(u64::from) }
    }

    fn header(&self) -> Option<Bytes<'_>> {
        self.bytes(0, if self.wide { 64 } else { 52 })
    }

    fn read_segments(&self) -> Option<Vec<Segment>> {
        let header = self.header()?;
        let offset = self.word(header, 28, 32)?;
        let (size, count) =
            if self.wide { (header.u16(54)?, header.u16(56)?) } else { (header.u16(42)?, header.u16(44)?) };
        let mut found = Vec::new();
        for index in 0..u64::from(count) {
            let row = self.bytes(offset.checked_add(index * u64::from(size))?, usize::from(size))?;
            if row.u32(0)? != PT_LOAD {
                continue;
            }
            let flags = if self.wide { row.u32(4)? } else { row.u32(24)? };
            found.push(Segment {
                offset: self.word(row, 4, 8)?,
                address: self.word(row, 8, 16)?,
                size: self.word(row, 16, 32)?,
                writable: flags & 2 != 0,
            });
        }
        Some(found)
    }

    fn read_sections(&self) -> Option<Vec<Section>> {
        let header = self.header()?;
        let offset = self.word(header, 32, 40)?;
        if offset == 0 {
            return Some(Vec::new());
        }
        let at = if self.wide { 58 } else { 46 };
        let (size, count, names) = (header.u16(at)?, header.u16(at + 2)?, header.u16(at + 4)?);
        let size = u64::from(size);
        let row = |index: u64| {
            self.bytes(offset.checked_add(index.checked_mul(size)?)?, usize::try_from(size).ok()?)
        };
        // More than 65,279 sections: the first row says how many (System V ABI, "ELF Header").
        let first = row(0)?;
        let count = if count == 0 { self.word(first, 20, 32)? } else { u64::from(count) };
        let names = if names == u16::MAX {
            u64::from(first.u32(if self.wide { 40 } else { 24 })?)
        } else {
            names.into()
        };
        if count > limits::MAX_ELF_TABLE as u64 {
            return None;
        }
        let place = |row: Bytes<'_>| Some((self.word(row, 16, 24)?, self.word(row, 20, 32)?));
        let (names_at, names_size) = place(row(names)?)?;
        let names = self.bytes(names_at, usize::try_from(names_size).ok()?)?;
        let mut found = Vec::new();
        for index in 1..count {
            let row = row(index)?;
            let name = names.text(row.size(0)?)?;
            let (offset, size) = place(row)?;
            found.push(Section { name: String::from_utf8_lossy(name).into_owned(), offset, size });
        }
        Some(found)
    }
}

/// The table of sections is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionsUnknown;

/// Build information that is known by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Go,
    Audit,
}

struct Kept {
    parts: Vec<(u64, Vec<u8>)>,
    marks: Vec<(Mark, u64)>,
}

impl Kept {
    /// Lets a file pass and keeps a window behind every mark.
    fn stream(&mut self, content: &mut dyn Read) -> io::Result<()> {
        let mut at = 0_u64;
        let go = memmem::Finder::new(GO_MAGIC);
        // Begins with what was not decided yet: a mark may lie across two chunks.
        let mut chunk: Vec<u8> = Vec::with_capacity(CHUNK + LOOKAHEAD);
        let mut open: Vec<(u64, Vec<u8>)> = Vec::new();
        loop {
            let carried = chunk.len();
            let got = (&mut *content).take(CHUNK as u64).read_to_end(&mut chunk)?;
            for (_, window) in &mut open {
                let most = WINDOW_BYTES.saturating_sub(window.len());
                window.extend_from_slice(&chunk[carried..carried + got.min(most)]);
            }
            self.parts.extend(open.extract_if(.., |(_, window)| window.len() >= WINDOW_BYTES));
            let base = at - carried as u64;
            at += got as u64;
            let last = got < CHUNK;
            let decided = if last { chunk.len() } else { chunk.len().saturating_sub(LOOKAHEAD) };
            for (mark, found) in marks(&chunk, decided, &go) {
                if self.marks.len() < MAX_WINDOWS {
                    let offset = base + found as u64;
                    self.marks.push((mark, offset));
                    open.push((offset, chunk[found..].to_vec()));
                }
            }
            if last {
                self.parts.append(&mut open);
                return Ok(());
            }
            chunk.drain(..decided);
        }
    }
}

/// The marks that begin before `decided`.
fn marks<'a>(
    chunk: &'a [u8],
    decided: usize,
    go: &'a memmem::Finder<'_>,
) -> impl Iterator<Item = (Mark, usize)> + 'a {
    let go = go.find_iter(chunk).take_while(move |at| *at < decided).map(|at| (Mark::Go, at));
    let audits = memchr_iter(ZLIB, &chunk[..decided]).filter(|at| starts_audit(&chunk[*at..]));
    go.chain(audits.map(|at| (Mark::Audit, at)))
}

/// Whether a zlib stream begins here that expands to a list of crates.
fn starts_audit(bytes: &[u8]) -> bool {
    // The level of compression and the check bits: the four values that a stream without dictionary can have.
    if !matches!(bytes.get(1), Some(0x01 | 0x5e | 0x9c | 0xda)) {
        return false;
    }
    let mut start = [0; AUDIT_START.len()];
    let input = &bytes[..bytes.len().min(LOOKAHEAD)];
    let expanded = Decompress::new(true).decompress(input, &mut start, FlushDecompress::None);
    expanded.is_ok() && start == AUDIT_START
}

/// Finds Go's magic.
pub(crate) fn find_go_magic(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes, GO_MAGIC)
}
