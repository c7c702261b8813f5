//! Reading tar streams (POSIX.1-2001 pax, ustar, GNU long names) with bounds.
//!
//! The `tar` crate decodes single headers; iteration is here, because its own keeps extension headers of any size in
//! memory. Does not judge paths; `layer` and `load` do. Sparse files are reported as such and not expanded.
//! Invariant: memory use is bounded by [`limits::MAX_EXTENSION_BYTES`], whatever the stream says.

use std::io::{self, Read};

use tar::{EntryType, Header};

use crate::compress::stream_error;
use crate::error::{EntryFault, ImageError};
use crate::ids::shown;
use crate::limits;

const BLOCK: usize = 512;
const SKIP_BUFFER_BYTES: usize = 8 << 10;
const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    Directory,
    Symlink,
    Hardlink,
    Fifo,
    Device,
    Sparse,
    Other,
}

/// Header of an entry with its extensions applied.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: EntryKind,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: i64,
    pub(crate) link: Vec<u8>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// The path for messages.
    pub(crate) fn shown(&self) -> String {
        shown(&String::from_utf8_lossy(&self.path))
    }
}

/// Iterates over a tar stream. Reading from it gives the content of the current entry.
pub(crate) struct TarReader<R> {
    inner: R,
    what: String,
    current: Option<String>,
    left: u64,
    padding: u64,
    entries: u64,
    max_entries: u64,
}

/// Extension records that apply to the next entry.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    sparse: bool,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl<R: Read> TarReader<R> {
    /// `what` names the stream in errors.
    pub(crate) fn new(inner: R, what: &str, max_entries: u64) -> Self {
        Self { inner, what: what.to_owned(), current: None, left: 0, padding: 0, entries: 0, max_entries }
    }

    /// The stream behind it, for reading it to its very end.
    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// The stream's name in errors.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// The next entry; what is left of the current one is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ImageError> {
        let mut extensions = Extensions::default();
        loop {
            self.skip()?;
            self.current = None;
            let Some(header) = self.header()? else { return Ok(None) };
            self.entries += 1;
            if self.entries > self.max_entries {
                let limit = self.max_entries;
                return Err(ImageError::TooLarge { what: self.what.clone(), limit, unit: "entries" });
            }
            let kind = header.entry_type();
            // An extension header's own size is never overridden by an earlier extension.
            if kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions() {
                let content = self.extension(&header)?;
                match kind {
                    EntryType::GNULongName => extensions.path = Some(until_nul(&content).to_vec()),
                    EntryType::GNULongLink => extensions.link = Some(until_nul(&content).to_vec()),
                    _ => self.pax(&content, &mut extensions)?,
                }
                continue;
            }
            let size = self.number(header.entry_size())?;
            if kind.is_pax_global_extensions() {
                self.begin(size)?;
                continue;
            }
            return self.entry(&header, extensions).map(Some);
        }
    }

    fn entry(&mut self, header: &Header, ext: Extensions) -> Result<Entry, ImageError> {
        let path = ext.path.unwrap_or_else(|| header.path_bytes().into_owned());
        self.current = Some(shown(&String::from_utf8_lossy(&path)));
        let link = ext
            .link
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
            .unwrap_or_default();
        let kind = match header.entry_type() {
            _ if ext.sparse => EntryKind::Sparse,
            // Before POSIX, a directory was a file with a slash at its end.
            EntryType::Regular | EntryType::Continuous if path.ends_with(b"/") => EntryKind::Directory,
            EntryType::Regular | EntryType::Continuous => EntryKind::File,
            EntryType::Directory => EntryKind::Directory,
            EntryType::Symlink => EntryKind::Symlink,
            EntryType::Link => EntryKind::Hardlink,
            EntryType::Fifo => EntryKind::Fifo,
            EntryType::Char | EntryType::Block => EntryKind::Device,
            EntryType::GNUSparse => EntryKind::Sparse,
            _ => EntryKind::Other,
        };
        let stored = match ext.size {
            Some(size) => size,
            None => self.number(header.entry_size())?,
        };
        // Links and directories have no content even when old writers note a size for them.
        let size =
            if matches!(kind, EntryKind::File | EntryKind::Sparse | EntryKind::Other) { stored } else { 0 };
        self.begin(size)?;
        let mode = self.number(header.mode())? & 0o7777;
        let uid = self.id(ext.uid, header.uid())?;
        let gid = self.id(ext.gid, header.gid())?;
        let mtime = match ext.mtime {
            Some(mtime) => mtime,
            // A negative time is a huge number in base 256; its bits are right.
            None => self.number(header.mtime())?.cast_signed(),
        };
        Ok(Entry { path, kind, size, mode, uid, gid, mtime, link, xattrs: ext.xattrs })
    }

    fn id(&self, extension: Option<u64>, header: io::Result<u64>) -> Result<u32, ImageError> {
        let id = match extension {
            Some(id) => id,
            None => self.number(header)?,
        };
        u32::try_from(id).map_err(|_too_big| self.damaged(&format!("owner {id} is too large")))
    }

    fn number<T>(&self, parsed: io::Result<T>) -> Result<T, ImageError> {
        parsed.map_err(|e| self.damaged(&e.to_string()))
    }

    fn damaged(&self, reason: &str) -> ImageError {
        ImageError::Damaged { what: self.what.clone(), reason: shown(reason) }
    }

    fn fault(&self, source: io::Error) -> ImageError {
        stream_error(&self.what, self.current.clone(), source)
    }

    fn begin(&mut self, size: u64) -> Result<(), ImageError> {
        let block = BLOCK as u64;
        if size.checked_next_multiple_of(block).is_none() {
            return Err(self.damaged(&format!("an entry claims {size} bytes")));
        }
        self.left = size;
        self.padding = size.next_multiple_of(block) - size;
        Ok(())
    }

    fn skip(&mut self) -> Result<(), ImageError> {
        let mut left = self.left + self.padding;
        let mut buffer = [0; SKIP_BUFFER_BYTES];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match self.inner.read(&mut buffer[..want]) {
                Ok(0) => return Err(self.fault(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => left -= n as u64,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fault(e)),
            }
        }
        (self.left, self.padding) = (0, 0);
        Ok(())
    }

    /// The next header block; `None` at the end mark or the end of the stream.
    fn header(&mut self) -> Result<Option<Header>, ImageError> {
        let mut header = Header::new_old();
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut header.as_mut_bytes()[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(self.fault(io::ErrorKind::UnexpectedEof.into())),
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.fault(e)),
            }
        }
        let bytes = header.as_bytes();
        if bytes.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let signed_blank =
            bytes[..148].iter().chain(&bytes[156..]).map(|b| u32::from(*b)).sum::<u32>() + 8 * 32;
        match header.cksum() {
            Ok(sum) if sum == signed_blank => Ok(Some(header)),
            _ => Err(self.damaged("a tar header has a wrong checksum")),
        }
    }

    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, ImageError> {
        let size = self.number(header.entry_size())?;
        if size > limits::MAX_EXTENSION_BYTES {
            let what = format!("an extension header in {}", self.what);
            return Err(ImageError::TooLarge { what, limit: limits::MAX_EXTENSION_BYTES, unit: "bytes" });
        }
        self.begin(size)?;
        let mut content = Vec::new();
        self.read_to_end(&mut content).map_err(|e| self.fault(e))?;
        Ok(content)
    }

    fn pax(&self, content: &[u8], extensions: &mut Extensions) -> Result<(), ImageError> {
        let mut rest = content;
        while !rest.is_empty() {
            let (key, value, after) =
                pax_record(rest).ok_or_else(|| self.damaged("a pax header is malformed"))?;
            rest = after;
            apply(key, value, extensions).ok_or_else(|| {
                self.damaged(&format!("pax record {} is malformed", String::from_utf8_lossy(key)))
            })?;
        }
        Ok(())
    }
}

impl<R: Read> Read for TarReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if want == 0 {
            return Ok(0);
        }
        let n = self.inner.read(&mut buffer[..want])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        Ok(n)
    }
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or_default()
}

/// Splits off one record, `<length> <key>=<value>\n`.
fn pax_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(20).position(|b| *b == b' ')?;
    let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
    let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|b| *b == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &bytes[length..]))
}

/// Applies a record; `None` when its value is malformed. Unknown keys are ignored, as POSIX says.
fn apply(key: &[u8], value: &[u8], extensions: &mut Extensions) -> Option<()> {
    let text = || std::str::from_utf8(value).ok();
    match key {
        b"path" => extensions.path = Some(value.to_vec()),
        b"linkpath" => extensions.link = Some(value.to_vec()),
        b"size" => extensions.size = Some(text()?.parse().ok()?),
        b"uid" => extensions.uid = Some(text()?.parse().ok()?),
        b"gid" => extensions.gid = Some(text()?.parse().ok()?),
        b"mtime" => extensions.mtime = Some(text()?.split('.').next()?.parse().ok()?),
        _ if key.starts_with(b"GNU.sparse.") => extensions.sparse = true,
        _ => {
            if let Some(name) = key.strip_prefix(XATTR_PREFIX)
                && extensions.xattrs.len() < limits::MAX_XATTRS
                && value.len() <= limits::MAX_XATTR_BYTES
            {
                extensions.xattrs.push((name.to_vec(), value.to_vec()));
            }
        }
    }
    Some(())
}

/// Takes a path from an archive apart: no leading `./`, no slash at the end, no way out. Empty means the root.
pub(crate) fn clean_path(raw: &[u8]) -> Result<Vec<u8>, EntryFault> {
    if raw.is_empty() || raw.contains(&0) {
        return Err(EntryFault::BadName);
    }
    if raw[0] == b'/' {
        return Err(EntryFault::Absolute);
    }
    let mut clean = Vec::with_capacity(raw.len());
    let mut depth = 0;
    for part in raw.split(|b| *b == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err(EntryFault::ParentComponent),
            _ => {}
        }
        depth += 1;
        if part.len() > limits::MAX_COMPONENT_BYTES || depth > limits::MAX_PATH_DEPTH {
            return Err(EntryFault::TooLong);
        }
        if !clean.is_empty() {
            clean.push(b'/');
        }
        clean.extend_from_slice(part);
    }
    if clean.len() > limits::MAX_PATH_BYTES { Err(EntryFault::TooLong) } else { Ok(clean) }
}
