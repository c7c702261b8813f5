//! rpm's own container, `Packages.db`: a page of header and slots, then blobs in blocks of 16 bytes, little-endian.
//!
//! Blobs may overlap only in damaged files; the sum of their lengths is held against the file's to keep work bounded.

use super::{ContainerError, Sink};
use crate::bytes::{Bytes, Endian};
use crate::limits;

const DB_MAGIC: &[u8] = b"RpmP";
const SLOT_MAGIC: &[u8] = b"Slot";
const BLOB_MAGIC: &[u8] = b"BlbS";
const PAGE: usize = 4096;
const SLOT: usize = 16;
const HEADER: usize = 32;
const BLOCK: usize = 16;
const BLOB_HEADER: usize = 16;
/// Slot pages of a database with some 16 million packages.
const MAX_SLOT_PAGES: usize = 65_536;

/// Gives every blob.
pub(crate) fn read(content: &[u8], sink: &mut Sink<'_>) -> Result<(), ContainerError> {
    let bytes = Bytes::new(content, Endian::Little);
    if !content.starts_with(DB_MAGIC) {
        return Err(ContainerError::Magic);
    }
    let pages = bytes.size(12).ok_or(ContainerError::CutOff)?;
    if pages > MAX_SLOT_PAGES {
        return Err(ContainerError::Damaged);
    }
    let slots = bytes.slice(0, pages * PAGE).ok_or(ContainerError::CutOff)?;
    let mut budget = content.len();
    for at in (HEADER..slots.len()).step_by(SLOT) {
        if bytes.slice(at, 4) != Some(SLOT_MAGIC) {
            return Err(ContainerError::Damaged);
        }
        let (package, block) = (bytes.u32(at + 4), bytes.size(at + 8));
        let (Some(package), Some(block)) = (package, block) else { return Err(ContainerError::CutOff) };
        // A slot without blocks is free.
        if package != 0 && block != 0 {
            let blob = blob(&bytes, package, block)?;
            budget = budget.checked_sub(blob.len()).ok_or(ContainerError::Damaged)?;
            sink(blob);
        }
    }
    Ok(())
}

fn blob<'a>(bytes: &Bytes<'a>, package: u32, block: usize) -> Result<&'a [u8], ContainerError> {
    let at = block.checked_mul(BLOCK).ok_or(ContainerError::Damaged)?;
    let magic = bytes.slice(at, 4).ok_or(ContainerError::CutOff)?;
    if magic != BLOB_MAGIC || bytes.u32(at + 4) != Some(package) {
        return Err(ContainerError::Damaged);
    }
    let length = bytes.size(at + 12).ok_or(ContainerError::CutOff)?;
    if length > limits::MAX_RECORD_BYTES {
        return Err(ContainerError::TooLong);
    }
    bytes.slice(at + BLOB_HEADER, length).ok_or(ContainerError::CutOff)
}
