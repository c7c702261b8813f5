//! rpm's header blob: a count of index entries, a count of data bytes, the entries (tag, type, offset, count) and the data, all
//! big-endian. Strings end with NUL.
//!
//! Invariants: nothing is read outside the blob; counts are held against its length before anything is allocated.

use crate::bytes::{Bytes, Endian};
use crate::facts::owned_hash;
use crate::limits;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const VENDOR: u32 = 1011;
const LICENSE: u32 = 1014;
const ARCH: u32 = 1022;
const OLD_FILE_NAMES: u32 = 1027;
const SOURCE_RPM: u32 = 1044;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
const MODULARITY_LABEL: u32 = 5096;

const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

const INTRO: usize = 8;
const ENTRY: usize = 16;

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    /// Index and data do not fit into the blob.
    #[error("its lengths do not fit its size")]
    Lengths,
    /// An entry points outside the data.
    #[error("an entry points outside its data")]
    Outside,
    /// The lists of files contradict each other.
    #[error("its lists of files contradict each other")]
    Files,
}

/// A header whose lengths hold.
pub(crate) struct Header<'a> {
    index: Bytes<'a>,
    data: Bytes<'a>,
}

impl<'a> Header<'a> {
    pub(crate) fn parse(blob: &'a [u8]) -> Result<Self, HeaderError> {
        let all = Bytes::new(blob, Endian::Big);
        let lengths = || {
            let index = all.size(0)?.checked_mul(ENTRY)?;
            let data = all.size(4)?;
            Some((all.slice(INTRO, index)?, all.slice(INTRO.checked_add(index)?, data)?))
        };
        let (index, data) = lengths().ok_or(HeaderError::Lengths)?;
        let header = Self { index: Bytes::new(index, Endian::Big), data: Bytes::new(data, Endian::Big) };
        match header.entry(NAME) {
            Some(entry) if header.data.text(entry.offset).is_some() => Ok(header),
            Some(_) => Err(HeaderError::Outside),
            None => Err(HeaderError::Lengths),
        }
    }

    pub(crate) fn name(&self) -> String {
        self.string(NAME)
    }

    pub(crate) fn version(&self) -> String {
        self.string(VERSION)
    }

    pub(crate) fn release(&self) -> String {
        self.string(RELEASE)
    }

    pub(crate) fn arch(&self) -> String {
        self.string(ARCH)
    }

    pub(crate) fn vendor(&self) -> String {
        self.string(VENDOR)
    }

    pub(crate) fn licence(&self) -> String {
        self.string(LICENSE)
    }

    pub(crate) fn source_rpm(&self) -> String {
        self.string(SOURCE_RPM)
    }

    pub(crate) fn module_label(&self) -> String {
        self.string(MODULARITY_LABEL)
    }

    pub(crate) fn epoch(&self) -> Option<u32> {
        let entry = self.entry(EPOCH).filter(|e| e.kind == INT32 && e.count > 0)?;
        self.data.u32(entry.offset)
    }

    /// Hashes of the files the package owns.
    pub(crate) fn owned(&self) -> Result<Vec<u64>, HeaderError> {
        if let Some(entry) = self.entry(OLD_FILE_NAMES) {
            return self
                .strings(&entry)
                .map(|r| r.map(|p| owned_hash(&String::from_utf8_lossy(p))))
                .collect();
        }
        let (Some(bases), Some(dirs), Some(indexes)) =
            (self.entry(BASE_NAMES), self.entry(DIR_NAMES), self.entry(DIR_INDEXES))
        else {
            return Ok(Vec::new());
        };
        if indexes.count != bases.count || indexes.kind != INT32 {
            return Err(HeaderError::Files);
        }
        let dirs: Vec<&[u8]> = self.strings(&dirs).collect::<Result<_, _>>()?;
        let mut hashes = Vec::new();
        for (number, base) in self.strings(&bases).enumerate() {
            let at = self.data.size(indexes.offset + number * 4).ok_or(HeaderError::Outside)?;
            let dir = dirs.get(at).ok_or(HeaderError::Files)?;
            let base = base?;
            // Before they are joined: a long directory with a million files would be copied a million times.
            if dir.len() + base.len() <= limits::MAX_PATH_BYTES {
                hashes.push(owned_hash(&String::from_utf8_lossy(&[dir, base].concat())));
            }
        }
        Ok(hashes)
    }

    /// A string, empty when the header has none. A translated one gives the first translation.
    fn string(&self, tag: u32) -> String {
        let entry = self.entry(tag).filter(|e| matches!(e.kind, STRING | STRING_ARRAY | I18N_STRING));
        let text = entry.and_then(|e| self.data.text(e.offset)).unwrap_or_default();
        String::from_utf8_lossy(&text[..text.len().min(limits::MAX_FIELD_BYTES + 1)]).into_owned()
    }

    fn strings(&self, entry: &Entry) -> impl Iterator<Item = Result<&'a [u8], HeaderError>> {
        let data = self.data;
        let mut at = entry.offset;
        // Every string takes a byte at least, so no more can be there than bytes.
        let count = if entry.kind == STRING_ARRAY { entry.count.min(data.len()) } else { 0 };
        let mut failed = false;
        (0..count).map_while(move |_| {
            if failed {
                return None;
            }
            let Some(text) = data.text(at) else {
                failed = true;
                return Some(Err(HeaderError::Outside));
            };
            at += text.len() + 1;
            Some(Ok(text))
        })
    }

    fn entry(&self, tag: u32) -> Option<Entry> {
        let at = (0..self.index.len()).step_by(ENTRY).find(|at| self.index.u32(*at) == Some(tag))?;
        Some(Entry {
            kind: self.index.u32(at + 4)?,
            offset: self.index.size(at + 8)?,
            count: self.index.size(at + 12)?,
        })
    }
}

struct Entry {
    kind: u32,
    offset: usize,
    count: usize,
}
