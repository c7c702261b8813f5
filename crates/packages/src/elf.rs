//! Executables (ELF, System V ABI): which sections and segments they have, and the bytes behind them.
//!
//! A small file is held whole. Of a large one only the beginning, the end and the places where Go's build information begins
//! are kept, so that a file of any size costs bounded memory and is read once. A part that was not kept gives `None`; callers
//! turn that into a warning.

use std::io::{self, Read};

use crate::bytes::{Bytes, Endian};
use crate::limits;

/// First bytes of every ELF file.
pub(crate) const MAGIC: &[u8; 4] = b"\x7fELF";
/// First bytes of Go's build information.
pub(crate) const GO_MAGIC: &[u8; 14] = b"\xff Go buildinf:";
const CHUNK: usize = 64 << 10;
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
    windows: Vec<u64>,
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
        let mut kept = Kept { parts: vec![(0, head)], windows: Vec::new() };
        if !whole {
            kept.stream(size, content)?;
        }
        Ok(Self::parse(kept))
    }

    fn parse(kept: Kept) -> Option<Self> {
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
        let mut elf = Self {
            parts: kept.parts,
            windows: kept.windows,
            wide,
            endian,
            sections: None,
            segments: Vec::new(),
        };
        elf.segments = elf.read_segments().unwrap_or_default();
        elf.sections = elf.read_sections();
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

    /// The section of that name; `Err` when the table of sections is damaged or was not kept.
    pub(crate) fn section(&self, name: &str) -> Result<Option<&Section>, SectionsUnknown> {
        let sections = self.sections.as_ref().ok_or(SectionsUnknown)?;
        Ok(sections.iter().find(|section| section.name == name))
    }

    /// Loaded segments.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Where [`GO_MAGIC`] was seen while a large file passed.
    pub(crate) fn windows(&self) -> &[u64] {
        &self.windows
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

/// The table of sections is damaged or was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SectionsUnknown;

struct Kept {
    parts: Vec<(u64, Vec<u8>)>,
    windows: Vec<u64>,
}

impl Kept {
    /// Lets the middle pass, keeping windows after Go's magic, and keeps the end.
    fn stream(&mut self, size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut at = self.parts[0].1.len() as u64;
        let tail_at = size.saturating_sub(limits::EXECUTABLE_TAIL_BYTES as u64).max(at);
        // The magic may lie across two chunks.
        let mut chunk: Vec<u8> = Vec::with_capacity(CHUNK + GO_MAGIC.len());
        let mut open: Option<(u64, Vec<u8>)> = None;
        while at < tail_at {
            let carried = chunk.len().min(GO_MAGIC.len() - 1);
            chunk.drain(..chunk.len() - carried);
            let want = (tail_at - at).min(CHUNK as u64);
            let got = (&mut *content).take(want).read_to_end(&mut chunk)? as u64;
            let base = at - carried as u64;
            at += got;
            if let Some((_, window)) = &mut open {
                let rest = WINDOW_BYTES - window.len();
                window.extend_from_slice(&chunk[carried..chunk.len().min(carried + rest)]);
            }
            if open.as_ref().is_some_and(|(_, window)| window.len() >= WINDOW_BYTES) {
                self.parts.extend(open.take());
            }
            if open.is_none()
                && self.windows.len() < MAX_WINDOWS
                && let Some(found) = find_go_magic(&chunk)
            {
                let offset = base + found as u64;
                self.windows.push(offset);
                open = Some((offset, chunk[found..].to_vec()));
            }
            if got < want {
                break;
            }
        }
        self.parts.extend(open);
        let mut tail = Vec::new();
        content.take(limits::EXECUTABLE_TAIL_BYTES as u64).read_to_end(&mut tail)?;
        self.parts.push((at, tail));
        Ok(())
    }
}

/// Finds Go's magic.
pub(crate) fn find_go_magic(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(step) = bytes[from..].iter().position(|b| *b == GO_MAGIC[0]) {
        let at = from + step;
        if bytes[at..].starts_with(GO_MAGIC) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}
