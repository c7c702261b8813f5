//! Where the parts of the file lie. Believes no number that it reads.

use sha2::{Digest as _, Sha256};

use super::DatabaseError;
use crate::priority;

pub(super) const MAGIC: [u8; 8] = *b"KZADVSDB";
/// Counted up with every change that an older reader would misread.
pub(super) const VERSION: u32 = 2;
/// Magic 8, version 4, spare 4, ten sections of 16, two digests of 32, the header's own digest of 32.
pub(super) const HEADER: usize = 16 + SECTIONS * 16 + 96;
const SECTIONS: usize = 10;
const DIGESTS: usize = 16 + SECTIONS * 16;

/// A part of the file, in file order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Concatenated records.
    Records,
    /// offset u64, length u32, group u32.
    Table,
    /// ecosystem u32, name offset u32, name length u32, first entry u32, entries u32, ceiling offset u32, ceiling length u32.
    Keys,
    /// record u32, place of the affected entry in it u32.
    Entries,
    /// name offset u32, name length u32, advisories u32, newest change in microseconds i64.
    Ecosystems,
    /// id offset u32, id length u32, record u32.
    Ids,
    /// group u32, record u32.
    Groups,
    /// See `priority`.
    Priorities,
    /// Text that the rows above point to.
    Strings,
    /// The sources as JSON; not part of the revision.
    Metadata,
}

impl Section {
    pub(super) const ALL: [(Self, &'static str); SECTIONS] = [
        (Self::Records, "records"),
        (Self::Table, "table"),
        (Self::Keys, "keys"),
        (Self::Entries, "entries"),
        (Self::Ecosystems, "ecosystems"),
        (Self::Ids, "ids"),
        (Self::Groups, "groups"),
        (Self::Priorities, "priorities"),
        (Self::Strings, "strings"),
        (Self::Metadata, "metadata"),
    ];

    pub(super) fn row_bytes(self) -> usize {
        match self {
            Self::Records | Self::Strings | Self::Metadata => 1,
            Self::Table => 16,
            Self::Keys => 28,
            Self::Ecosystems => 20,
            Self::Entries | Self::Groups => 8,
            Self::Ids => 12,
            Self::Priorities => priority::ROW,
        }
    }
}

/// The header as read.
#[derive(Clone, Debug, Default)]
pub(super) struct Layout {
    /// Offset and length of each section.
    places: [(u64, u64); SECTIONS],
    pub(super) content_digest: [u8; 32],
    pub(super) metadata_digest: [u8; 32],
}

impl Layout {
    pub(super) fn read(header: &[u8; HEADER]) -> Result<Self, DatabaseError> {
        if !header.starts_with(&MAGIC) {
            // The first format was a line of text.
            let text = header.starts_with(b"konzert-advisories 1 ");
            return Err(if text { DatabaseError::Version { found: 1 } } else { DatabaseError::Header });
        }
        match u32_at(header, 8) {
            VERSION => {}
            found => return Err(DatabaseError::Version { found }),
        }
        if Sha256::digest(&header[..HEADER - 32]).as_slice() != &header[HEADER - 32..] {
            return Err(DatabaseError::Checksum);
        }
        let mut layout = Self::default();
        for (index, place) in layout.places.iter_mut().enumerate() {
            *place = (u64_at(header, 16 + index * 16), u64_at(header, 24 + index * 16));
        }
        layout.content_digest.copy_from_slice(&header[DIGESTS..DIGESTS + 32]);
        layout.metadata_digest.copy_from_slice(&header[DIGESTS + 32..DIGESTS + 64]);
        Ok(layout)
    }

    /// Sections must follow each other from the header to the end of the file, and hold whole rows.
    pub(super) fn fits(&self, file_bytes: usize) -> Result<(), DatabaseError> {
        let mut end = HEADER as u64;
        for ((section, name), (offset, length)) in Section::ALL.into_iter().zip(self.places) {
            let whole = length % section.row_bytes() as u64 == 0;
            let next = offset.checked_add(length).filter(|_| offset == end && whole);
            end = next.ok_or(DatabaseError::Layout { section: name })?;
        }
        if end == file_bytes as u64 { Ok(()) } else { Err(DatabaseError::Layout { section: "end" }) }
    }

    /// Bytes between header and metadata.
    pub(super) fn content_bytes(&self) -> u64 {
        self.places[SECTIONS - 1].0.saturating_sub(HEADER as u64)
    }

    pub(super) fn of<'a>(&self, file: &'a [u8], section: Section) -> &'a [u8] {
        let (offset, length) = self.places[section as usize];
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let to = usize::try_from(offset.saturating_add(length)).unwrap_or(usize::MAX);
        file.get(from..to).unwrap_or_default()
    }
}

/// A whole file from its sections, which are in file order.
pub(super) fn assemble(sections: [Vec<u8>; SECTIONS]) -> Vec<u8> {
    let total: usize = sections.iter().map(Vec::len).sum();
    let mut file = Vec::with_capacity(HEADER + total);
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&VERSION.to_le_bytes());
    file.extend_from_slice(&[0; 4]);
    let mut at = HEADER as u64;
    for section in &sections {
        file.extend_from_slice(&at.to_le_bytes());
        file.extend_from_slice(&(section.len() as u64).to_le_bytes());
        at += section.len() as u64;
    }
    let mut content = Sha256::new();
    for section in &sections[..SECTIONS - 1] {
        content.update(section);
    }
    file.extend_from_slice(&content.finalize());
    file.extend_from_slice(&Sha256::digest(&sections[SECTIONS - 1]));
    let own = Sha256::digest(&file);
    file.extend_from_slice(&own);
    for section in sections {
        file.extend_from_slice(&section);
    }
    file
}

/// Zero where there is nothing to read.
pub(super) fn u32_at(row: &[u8], at: usize) -> u32 {
    row.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

/// Zero where there is nothing to read.
pub(super) fn u64_at(row: &[u8], at: usize) -> u64 {
    row.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// Empty where there is no text.
pub(super) fn text_at(strings: &[u8], offset: u32, length: u32) -> &str {
    let from = offset as usize;
    let text = from.checked_add(length as usize).and_then(|to| strings.get(from..to));
    text.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
}
