//! Maps a file that nobody changes in place: the only unsafe code of this crate.
#![allow(
    unsafe_code,
    reason = "a mapping is shared by all readers and its idle pages can go; reading costs the file's size in memory"
)]

use std::fs::File;

use bytes::Bytes;

/// The content of a file that is only ever replaced by renaming another over it.
pub(crate) fn map(file: &File) -> std::io::Result<Bytes> {
    // SAFETY: the bytes of a mapping must not change while they are borrowed. The file lies in a directory that only
    // the engine's user may write, every writer makes a new file and renames it, and nothing truncates or writes an old one; the
    // mapping keeps the old file alive.
    let map = unsafe { memmap2::Mmap::map(file)? };
    Ok(Bytes::from_owner(map))
}
