//! A large document that is asked for rarely: kept compressed, unpacked for the few clients that cannot do it themselves.

use std::io::{self, Read as _, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use konzert_api::openapi::document_hash;

/// Compressed bytes and the name of their content.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) gzip: Bytes,
    /// Hexadecimal, for `ETag` and `?hash=`.
    pub(crate) hash: String,
}

impl Packed {
    /// Compresses what `write` writes; the plain text is never in memory as a whole.
    pub(crate) fn of(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        write(&mut encoder)?;
        let gzip = encoder.finish()?;
        // The encoder writes no time and no name, so the same content has the same bytes.
        let hash = document_hash(&gzip);
        Ok(Self { gzip: gzip.into(), hash })
    }

    /// The plain content.
    pub(crate) fn unpack(&self) -> io::Result<Bytes> {
        let mut plain = Vec::new();
        GzDecoder::new(&*self.gzip).read_to_end(&mut plain)?;
        Ok(plain.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_has_the_same_name() {
        let pack = |text: &'static str| Packed::of(|out| out.write_all(text.as_bytes())).unwrap();
        assert_eq!(pack("abc").unpack().unwrap(), "abc");
        assert_eq!(pack("abc").hash, pack("abc").hash);
        assert_ne!(pack("abc").hash, pack("abd").hash);
    }
}
