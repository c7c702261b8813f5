//! Decompression with a guard: gzip and zstd by their magic numbers, everything else taken as it is.
//!
//! Does not look at media types, which archives get wrong. Invariant: a reader from here gives an error before it has
//! produced more than the guard allows.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io::{self, BufReader, Cursor, Read};
use std::rc::Rc;

use crate::error::ImageError;
use crate::limits::Limits;

const INPUT_BUFFER_BYTES: usize = 128 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// Most bytes a stream may expand to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    pub(crate) bytes: u64,
    pub(crate) ratio: u64,
    pub(crate) ratio_floor_bytes: u64,
}

impl Guard {
    pub(crate) fn archive(limits: &Limits) -> Self {
        Self { bytes: limits.archive_bytes, ratio: limits.ratio, ratio_floor_bytes: limits.ratio_floor_bytes }
    }
    pub(crate) fn layer(limits: &Limits) -> Self {
        Self { bytes: limits.layer_bytes, ratio: limits.ratio, ratio_floor_bytes: limits.ratio_floor_bytes }
    }
}

/// How a stream that starts with these bytes is compressed.
pub(crate) fn sniff(start: &[u8]) -> Compression {
    if start.starts_with(&GZIP_MAGIC) {
        Compression::Gzip
    } else if start.starts_with(&ZSTD_MAGIC) {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// Opens a stream: its compression, and a reader of what is inside.
pub(crate) fn expand<'a>(
    mut source: impl Read + 'a,
    guard: Guard,
) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let mut start = Vec::with_capacity(ZSTD_MAGIC.len());
    source.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut start)?;
    let compression = sniff(&start);
    let consumed = Rc::new(Cell::new(0));
    let counted = Counted { inner: Cursor::new(start).chain(source), bytes: Rc::clone(&consumed) };
    let input = BufReader::with_capacity(INPUT_BUFFER_BYTES, counted);
    let inner: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
    };
    Ok((compression, Box::new(Guarded { inner, consumed, produced: 0, guard })))
}

struct Counted<R> {
    inner: R,
    bytes: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes.set(self.bytes.get() + n as u64);
        Ok(n)
    }
}

struct Guarded<'a> {
    inner: Box<dyn Read + 'a>,
    consumed: Rc<Cell<u64>>,
    produced: u64,
    guard: Guard,
}

impl Read for Guarded<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.produced += n as u64;
        if self.produced > self.guard.bytes {
            return Err(io::Error::other(StreamFault::TooLarge { limit: self.guard.bytes }));
        }
        let allowed = self.consumed.get().saturating_mul(self.guard.ratio);
        if self.produced > self.guard.ratio_floor_bytes && self.produced > allowed {
            return Err(io::Error::other(StreamFault::Bomb { ratio: self.guard.ratio }));
        }
        Ok(n)
    }
}

/// A bound that a stream broke, carried through `io::Error`.
#[derive(Clone, Copy, Debug)]
enum StreamFault {
    TooLarge { limit: u64 },
    Bomb { ratio: u64 },
}

impl fmt::Display for StreamFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream expands too much")
    }
}

impl Error for StreamFault {}

/// The failure that an error of a stream from here means; `what` names the stream, `entry` the place in it.
pub(crate) fn stream_error(what: &str, entry: Option<String>, source: io::Error) -> ImageError {
    let what = what.to_owned();
    match source.get_ref().and_then(|inner| inner.downcast_ref::<StreamFault>()) {
        Some(StreamFault::TooLarge { limit }) => {
            return ImageError::TooLarge { what, limit: *limit, unit: "bytes" };
        }
        Some(StreamFault::Bomb { ratio }) => return ImageError::Bomb { what, ratio: *ratio },
        None => {}
    }
    match source.kind() {
        io::ErrorKind::UnexpectedEof => ImageError::Truncated { what, entry },
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            ImageError::Damaged { what, reason: source.to_string() }
        }
        // zstd reports damage as "other" without an OS error.
        io::ErrorKind::Other if source.raw_os_error().is_none() => {
            ImageError::Damaged { what, reason: source.to_string() }
        }
        _ => ImageError::Read { what, source },
    }
}
