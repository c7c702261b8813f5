//! The `Packages` table of an `SQLite` file, read from bytes (`SQLite` file format, "B-tree Pages", "Record Format").
//!
//! Reads tables only; knows no SQL and no indexes. Invariants: a page is visited once, so a cycle ends; depth, payload and
//! record sizes are bounded; payloads together are no longer than the file; nothing is read outside the file.

use std::cell::Cell;

use super::{ContainerError, Sink};
use crate::bytes::{Bytes, Endian};
use crate::limits;

const MAGIC: &[u8] = b"SQLite format 3\0";
const FILE_HEADER: usize = 100;
const INTERIOR: u8 = 0x05;
const LEAF: u8 = 0x0d;
const MAX_DEPTH: usize = 24;
const TABLE: &[u8] = b"Packages";

/// Gives every blob of the `Packages` table.
pub(crate) fn read(content: &[u8], sink: &mut Sink<'_>) -> Result<(), ContainerError> {
    let file = File::open(content)?;
    let mut root = None;
    let mut visited = vec![false; file.pages + 1];
    file.walk(1, 0, &mut visited, &mut |payload| {
        if let Some(page) = packages_root(payload) {
            root = Some(page);
        }
    })?;
    let root = root.ok_or(ContainerError::Damaged)?;
    file.walk(root, 0, &mut visited, &mut |payload| {
        if let Some(blob) = first_blob(payload) {
            sink(blob);
        }
    })
}

struct File<'a> {
    /// What payloads may still take: together they are shorter than the file, unless cells share pages.
    budget: Cell<usize>,
    bytes: Bytes<'a>,
    page_size: usize,
    usable: usize,
    pages: usize,
}

impl<'a> File<'a> {
    fn open(content: &'a [u8]) -> Result<Self, ContainerError> {
        let bytes = Bytes::new(content, Endian::Big);
        if !content.starts_with(MAGIC) {
            return Err(ContainerError::Magic);
        }
        let page_size = match bytes.u16(16).ok_or(ContainerError::CutOff)? {
            1 => 65_536,
            size if size >= 512 && size.is_power_of_two() => usize::from(size),
            _ => return Err(ContainerError::Damaged),
        };
        let reserved = usize::from(bytes.u8(20).ok_or(ContainerError::CutOff)?);
        let usable = page_size.checked_sub(reserved).filter(|u| *u >= 480).ok_or(ContainerError::Damaged)?;
        let declared = bytes.size(28).ok_or(ContainerError::CutOff)?;
        let pages = content.len() / page_size;
        if pages == 0 || declared > pages {
            return Err(ContainerError::CutOff);
        }
        Ok(Self { budget: Cell::new(content.len()), bytes, page_size, usable, pages })
    }

    fn page(&self, number: usize) -> Result<Bytes<'a>, ContainerError> {
        let at = number.checked_sub(1).and_then(|n| n.checked_mul(self.page_size));
        let slice = at.and_then(|at| self.bytes.slice(at, self.page_size)).ok_or(ContainerError::CutOff)?;
        Ok(Bytes::new(slice, Endian::Big))
    }

    /// Gives the payload of every row below a page.
    fn walk(
        &self,
        number: usize,
        depth: usize,
        visited: &mut [bool],
        row: &mut dyn FnMut(&[u8]),
    ) -> Result<(), ContainerError> {
        let page = self.page(number)?;
        if depth > MAX_DEPTH || std::mem::replace(&mut visited[number], true) {
            return Err(ContainerError::Damaged);
        }
        let header = if number == 1 { FILE_HEADER } else { 0 };
        let kind = page.u8(header).ok_or(ContainerError::CutOff)?;
        let cells = usize::from(page.u16(header + 3).ok_or(ContainerError::CutOff)?);
        let pointers = header + if kind == INTERIOR { 12 } else { 8 };
        for cell in 0..cells {
            let at = usize::from(page.u16(pointers + cell * 2).ok_or(ContainerError::Damaged)?);
            match kind {
                INTERIOR => {
                    let child = page.size(at).ok_or(ContainerError::Damaged)?;
                    self.walk(child, depth + 1, visited, row)?;
                }
                LEAF => row(&self.payload(page, at)?),
                _ => return Err(ContainerError::Damaged),
            }
        }
        if kind == INTERIOR {
            let last = page.size(header + 8).ok_or(ContainerError::Damaged)?;
            self.walk(last, depth + 1, visited, row)?;
        }
        Ok(())
    }

    /// The payload of a leaf cell with what overflows into other pages.
    fn payload(&self, page: Bytes<'a>, at: usize) -> Result<Vec<u8>, ContainerError> {
        let cell = page.from(at).ok_or(ContainerError::Damaged)?;
        let (length, after_length) = varint(cell).ok_or(ContainerError::Damaged)?;
        let (_, after_row) = varint(&cell[after_length..]).ok_or(ContainerError::Damaged)?;
        let length = usize::try_from(length).map_err(|_too_long| ContainerError::TooLong)?;
        if length > limits::MAX_RECORD_BYTES {
            return Err(ContainerError::TooLong);
        }
        let left = self.budget.get().checked_sub(length).ok_or(ContainerError::Damaged)?;
        self.budget.set(left);
        let start = at + after_length + after_row;
        let local = self.local(length);
        let mut payload = page.slice(start, local).ok_or(ContainerError::Damaged)?.to_vec();
        let mut next =
            if local < length { page.size(start + local).ok_or(ContainerError::Damaged)? } else { 0 };
        while payload.len() < length {
            let overflow = self.page(next)?;
            let take = (length - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(overflow.slice(4, take).ok_or(ContainerError::Damaged)?);
            next = overflow.size(0).ok_or(ContainerError::Damaged)?;
        }
        Ok(payload)
    }

    /// How much of a payload lies in the leaf itself (`SQLite` file format, 1.6).
    fn local(&self, length: usize) -> usize {
        let most = self.usable - 35;
        if length <= most {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (self.usable - 4);
        if fitting <= most { fitting } else { least }
    }
}

/// A number of one to nine bytes, and how many it takes.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(9).enumerate() {
        if index == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, index + 1));
        }
    }
    None
}

/// A column: its serial type and its bytes.
fn columns(payload: &[u8]) -> Option<Vec<(u64, &[u8])>> {
    let (header, mut at) = varint(payload)?;
    let header = usize::try_from(header).ok().filter(|h| *h <= payload.len())?;
    let mut body = header;
    let mut found = Vec::new();
    while at < header && found.len() < 16 {
        let (serial, taken) = varint(&payload[at..header])?;
        at += taken;
        let length = match serial {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(serial).ok()?,
            5 => 6,
            6 | 7 => 8,
            _ => usize::try_from(serial.checked_sub(12)? / 2).ok()?,
        };
        let end = body.checked_add(length)?;
        found.push((serial, payload.get(body..end)?));
        body = end;
    }
    Some(found)
}

/// `sqlite_schema`: type, name, table name, root page, SQL.
fn packages_root(payload: &[u8]) -> Option<usize> {
    let columns = columns(payload)?;
    let [(_, kind), (_, name), _, (serial, root), ..] = columns[..] else { return None };
    if kind != b"table" || name != TABLE || !(1..=6).contains(&serial) {
        return None;
    }
    let number = root.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    usize::try_from(number).ok()
}

/// `Packages`: hnum (an alias of the row id) and the header blob.
fn first_blob(payload: &[u8]) -> Option<&[u8]> {
    columns(payload)?.into_iter().find(|(serial, _)| *serial >= 12 && serial % 2 == 0).map(|(_, blob)| blob)
}
