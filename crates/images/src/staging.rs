//! Content on its way into the store: copied below `tmp/` and hashed, not yet visible.
//!
//! Does not interpret anything. Invariant: dropping a [`Staging`] removes all of it, whatever happened.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::disk::{Disk, Lock};
use crate::error::ImageError;
use crate::ids::ImageDigest;

const COPY_BUFFER_BYTES: usize = 128 << 10;

/// A directory of staged files, and the lock that keeps cleaners away from it.
#[derive(Debug)]
pub(crate) struct Staging {
    dir: TempDir,
    next: u64,
    _work: Lock,
}

/// A staged file with the digest of its content.
#[derive(Clone, Debug)]
pub(crate) struct StagedBlob {
    pub(crate) path: PathBuf,
    pub(crate) digest: ImageDigest,
    pub(crate) size: u64,
}

impl Staging {
    pub(crate) fn new(disk: &Disk) -> Result<Self, ImageError> {
        let work = disk.lock_work()?;
        Ok(Self { dir: disk.temp_dir("stage-")?, next: 0, _work: work })
    }

    /// A new staged file to write; names are numbers, never anything from the input.
    pub(crate) fn create(&mut self) -> Result<StagedWriter, ImageError> {
        let path = self.dir.path().join(self.next.to_string());
        self.next += 1;
        let file = File::create_new(&path).map_err(ImageError::io("create", &path))?;
        let out = HashingWriter::new(BufWriter::with_capacity(COPY_BUFFER_BYTES, file));
        Ok(StagedWriter { path, out })
    }

    /// Copies all of `reader`; errors of reading are mapped by `fault`.
    pub(crate) fn copy(
        &mut self,
        reader: &mut dyn Read,
        fault: impl FnOnce(io::Error) -> ImageError,
    ) -> Result<StagedBlob, ImageError> {
        let mut writer = self.create()?;
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        loop {
            let n = match reader.read(&mut buffer) {
                Ok(0) => return writer.finish(),
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(fault(e)),
            };
            writer.out.write_all(&buffer[..n]).map_err(ImageError::io("write", &writer.path))?;
        }
    }

    /// Stages bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<StagedBlob, ImageError> {
        let mut writer = self.create()?;
        writer.out.write_all(bytes).map_err(ImageError::io("write", &writer.path))?;
        writer.finish()
    }
}

/// A staged file being written; an abandoned one goes with its [`Staging`].
#[derive(Debug)]
pub(crate) struct StagedWriter {
    pub(crate) path: PathBuf,
    pub(crate) out: HashingWriter<BufWriter<File>>,
}

impl StagedWriter {
    pub(crate) fn finish(self) -> Result<StagedBlob, ImageError> {
        let (mut out, digest, size) = self.out.finish();
        out.flush().map_err(ImageError::io("write", &self.path))?;
        Ok(StagedBlob { path: self.path, digest, size })
    }
}

/// Passes bytes on and hashes them.
#[derive(Debug)]
pub(crate) struct HashingWriter<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> HashingWriter<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// The inner writer, the digest and the number of bytes.
    pub(crate) fn finish(self) -> (W, ImageDigest, u64) {
        (self.inner, ImageDigest::from_hash(self.hash.finalize().into()), self.size)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.size += n as u64;
        Ok(n)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Passes bytes on and hashes them.
#[derive(Debug)]
pub(crate) struct HashingReader<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> HashingReader<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    /// Reads to the end and gives the hash of everything.
    pub(crate) fn finish(mut self) -> io::Result<[u8; 32]> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hash.finalize().into())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

/// Digest of bytes.
pub(crate) fn digest_of(bytes: &[u8]) -> ImageDigest {
    ImageDigest::from_hash(Sha256::digest(bytes).into())
}
