//! rpm's older container, `Packages`: a Berkeley DB hash (RHEL up to 8, `CentOS` 7).
//!
//! Reads values off overflow pages, which is where headers lie because they are long, and values inside hash pages. Keys and
//! the hash function do not matter: every page is visited in turn. Little-endian files only; big-endian machines of that age
//! run no containers.

use super::{ContainerError, Sink};
use crate::bytes::{Bytes, Endian};
use crate::limits;

const MAGIC: u32 = 0x0006_1561;
const PAGE_HEADER: usize = 26;
const P_HASH_UNSORTED: u8 = 2;
const P_OVERFLOW: u8 = 7;
const P_HASH: u8 = 13;
const H_KEYDATA: u8 = 1;
const H_OFFPAGE: u8 = 3;
/// Shorter than any header: the entry that counts packages.
const SHORTEST_HEADER: usize = 32;

/// Gives every value that can be a header.
pub(crate) fn read(content: &[u8], sink: &mut Sink<'_>) -> Result<(), ContainerError> {
    let bytes = Bytes::new(content, Endian::Little);
    match bytes.u32(12) {
        Some(MAGIC) => {}
        Some(other) if other.swap_bytes() == MAGIC => return Err(ContainerError::Unsupported),
        Some(_) => return Err(ContainerError::Magic),
        None => return Err(ContainerError::CutOff),
    }
    let size = bytes.size(20).ok_or(ContainerError::CutOff)?;
    if !(512..=65_536).contains(&size) || !size.is_power_of_two() {
        return Err(ContainerError::Damaged);
    }
    let last = bytes.size(32).ok_or(ContainerError::CutOff)?;
    let pages = content.len() / size;
    let mut file = File { bytes, size, budget: content.len() };
    for number in 1..=last.min(pages.saturating_sub(1)) {
        file.page(number, sink)?;
    }
    if last >= pages { Err(ContainerError::CutOff) } else { Ok(()) }
}

struct File<'a> {
    bytes: Bytes<'a>,
    size: usize,
    /// Values together cannot be longer than the file, unless it is damaged.
    budget: usize,
}

impl File<'_> {
    fn page(&mut self, number: usize, sink: &mut Sink<'_>) -> Result<(), ContainerError> {
        let page = self.bytes.slice(number * self.size, self.size).ok_or(ContainerError::CutOff)?;
        let page = Bytes::new(page, Endian::Little);
        if !matches!(page.u8(25), Some(P_HASH | P_HASH_UNSORTED)) {
            return Ok(());
        }
        let entries = usize::from(page.u16(20).ok_or(ContainerError::CutOff)?);
        let offset = |index: usize| page.u16(PAGE_HEADER + index * 2).map(usize::from);
        // Keys and values take turns; items are laid down from the end of the page.
        for value in (1..entries).step_by(2) {
            let at = offset(value).ok_or(ContainerError::Damaged)?;
            let end = offset(value - 1).ok_or(ContainerError::Damaged)?;
            match page.u8(at) {
                Some(H_OFFPAGE) => {
                    let (first, length) = (page.size(at + 4), page.size(at + 8));
                    let (Some(first), Some(length)) = (first, length) else {
                        return Err(ContainerError::Damaged);
                    };
                    let blob = self.overflow(first, length)?;
                    sink(&blob);
                }
                Some(H_KEYDATA) => {
                    let length = end.checked_sub(at + 1).ok_or(ContainerError::Damaged)?;
                    let blob = page.slice(at + 1, length).ok_or(ContainerError::Damaged)?;
                    self.budget = self.budget.checked_sub(length).ok_or(ContainerError::Damaged)?;
                    if blob.len() >= SHORTEST_HEADER {
                        sink(blob);
                    }
                }
                Some(_) => {}
                None => return Err(ContainerError::Damaged),
            }
        }
        Ok(())
    }

    /// A value along its chain of overflow pages.
    fn overflow(&mut self, first: usize, length: usize) -> Result<Vec<u8>, ContainerError> {
        if length > limits::MAX_RECORD_BYTES {
            return Err(ContainerError::TooLong);
        }
        self.budget = self.budget.checked_sub(length).ok_or(ContainerError::Damaged)?;
        let mut blob = Vec::with_capacity(length);
        let mut number = first;
        while blob.len() < length {
            let at = number.checked_mul(self.size).filter(|_| number != 0).ok_or(ContainerError::Damaged)?;
            let page = self.bytes.slice(at, self.size).ok_or(ContainerError::CutOff)?;
            let page = Bytes::new(page, Endian::Little);
            if page.u8(25) != Some(P_OVERFLOW) {
                return Err(ContainerError::Damaged);
            }
            let used = usize::from(page.u16(22).ok_or(ContainerError::CutOff)?);
            let take = used.min(length - blob.len());
            if take == 0 {
                return Err(ContainerError::Damaged);
            }
            blob.extend_from_slice(page.slice(PAGE_HEADER, take).ok_or(ContainerError::Damaged)?);
            number = page.size(16).ok_or(ContainerError::CutOff)?;
        }
        Ok(blob)
    }
}
