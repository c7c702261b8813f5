//! A cursor over untrusted bytes: every read is checked and gives `None` past the end.
//!
//! Does not allocate and cannot panic, whatever offsets the input names.

/// Which end comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endian {
    Little,
    Big,
}

/// Reads numbers at absolute offsets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bytes<'a> {
    data: &'a [u8],
    endian: Endian,
}

impl<'a> Bytes<'a> {
    pub(crate) fn new(data: &'a [u8], endian: Endian) -> Self {
        Self { data, endian }
    }

    pub(crate) fn len(&self) -> usize {
        self.data.len()
    }

    pub(crate) fn slice(&self, at: usize, len: usize) -> Option<&'a [u8]> {
        self.data.get(at..at.checked_add(len)?)
    }

    pub(crate) fn from(&self, at: usize) -> Option<&'a [u8]> {
        self.data.get(at..)
    }

    pub(crate) fn u8(&self, at: usize) -> Option<u8> {
        self.data.get(at).copied()
    }

    pub(crate) fn u16(&self, at: usize) -> Option<u16> {
        let raw = self.slice(at, 2)?.try_into().ok()?;
        Some(if self.endian == Endian::Big { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) })
    }

    pub(crate) fn u32(&self, at: usize) -> Option<u32> {
        let raw = self.slice(at, 4)?.try_into().ok()?;
        Some(if self.endian == Endian::Big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) })
    }

    pub(crate) fn u64(&self, at: usize) -> Option<u64> {
        let raw = self.slice(at, 8)?.try_into().ok()?;
        Some(if self.endian == Endian::Big { u64::from_be_bytes(raw) } else { u64::from_le_bytes(raw) })
    }

    /// A 32-bit number as an offset or length.
    pub(crate) fn size(&self, at: usize) -> Option<usize> {
        usize::try_from(self.u32(at)?).ok()
    }

    /// Bytes up to, not including, the next NUL.
    pub(crate) fn text(&self, at: usize) -> Option<&'a [u8]> {
        let rest = self.data.get(at..)?;
        rest.split(|b| *b == 0).next().filter(|text| text.len() < rest.len())
    }
}
