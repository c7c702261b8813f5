//! A blob as a stream: digest and size are checked while it passes, and a broken connection is taken up where it broke.
//!
//! Invariant: the stream ends without an error only when all of the blob came and its digest is right.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::CONTENT_RANGE;
use http::{Response, StatusCode, Uri};
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};

use super::error::RegistryError;
use super::session::{Ask, Session, content_length};
use crate::error::ImageError;
use crate::ids::ImageDigest;
use crate::limits;
use crate::load::REPORT_EVERY_BYTES;

/// Attempts that bring less than [`ENOUGH_BYTES`] in a row.
const MAX_ATTEMPTS: u32 = 5;
/// So much makes an attempt one that was worth it.
const ENOUGH_BYTES: u64 = limits::MIB;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// A blob on its way.
pub(super) struct Blob<'a> {
    session: &'a mut Session,
    digest: ImageDigest,
    size: u64,
    told: &'a dyn Fn(u64),
    told_at: u64,
    received: u64,
    hash: Sha256,
    body: Option<(Uri, Incoming)>,
    /// Bytes of the present answer that came before.
    skip: u64,
    chunk: Bytes,
    attempts: u32,
    /// Where the last attempt began that was worth it.
    mark: u64,
    done: bool,
    fault: Option<ImageError>,
}

impl Session {
    /// A blob to read; `told` hears how many bytes came so far.
    pub(super) fn blob<'a>(&'a mut self, digest: &ImageDigest, size: u64, told: &'a dyn Fn(u64)) -> Blob<'a> {
        Blob {
            session: self,
            digest: digest.clone(),
            size,
            told,
            told_at: 0,
            received: 0,
            hash: Sha256::new(),
            body: None,
            skip: 0,
            chunk: Bytes::new(),
            attempts: 0,
            mark: 0,
            done: false,
            fault: None,
        }
    }
}

impl Blob<'_> {
    /// What an error of reading was about.
    pub(super) fn fault(self) -> Option<ImageError> {
        self.fault
    }

    /// The next bytes; empty at the end.
    fn next(&mut self) -> Result<Bytes, ImageError> {
        while !self.done {
            match self.piece() {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => return self.take(bytes),
                Ok(None) if self.received == self.size => return self.finish(),
                Ok(None) => self.again(None)?,
                Err(error) if error.is_transient() => self.again(Some(error))?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Bytes::new())
    }

    /// What comes next of the present answer, or of a new one.
    fn piece(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let (uri, mut body) = match self.body.take() {
            Some(open) => open,
            None if self.received == self.size && self.size > 0 => return Ok(None),
            None => self.open()?,
        };
        let work = konzert_fetch::next_chunk(&uri, &mut body, self.session.patience());
        let Some(mut bytes) = self.session.wait(work)? else { return Ok(None) };
        self.body = Some((uri, body));
        let passed = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        bytes.advance(passed);
        self.skip -= passed as u64;
        Ok(Some(bytes))
    }

    fn open(&mut self) -> Result<(Uri, Incoming), RegistryError> {
        let path = format!("blobs/{}", self.digest);
        let answer = self.session.get(&path, &Ask::blob(self.received))?;
        // A server may send everything again instead of the rest.
        let whole = answer.response.status() == StatusCode::OK;
        self.skip = if whole { self.received } else { 0 };
        let expected = if whole { self.size } else { self.size - self.received };
        let starts_right = whole || range_start(&answer.response) == Some(self.received);
        let fits = content_length(&answer.response).is_none_or(|length| length == expected);
        if !starts_right || !fits {
            let host = konzert_fetch::authority(&answer.uri);
            return Err(RegistryError::Length { host, digest: self.digest.to_string(), size: self.size });
        }
        Ok((answer.uri, answer.response.into_body()))
    }

    fn take(&mut self, bytes: Bytes) -> Result<Bytes, ImageError> {
        self.received += bytes.len() as u64;
        if self.received > self.size {
            let (digest, expected, actual) = (self.digest.to_string(), self.size, self.received);
            return Err(ImageError::SizeMismatch { digest, expected, actual });
        }
        self.hash.update(&bytes);
        if self.received - self.told_at >= REPORT_EVERY_BYTES || self.received == self.size {
            self.told_at = self.received;
            (self.told)(self.received);
        }
        Ok(bytes)
    }

    fn finish(&mut self) -> Result<Bytes, ImageError> {
        let actual = ImageDigest::from_hash(self.hash.clone().finalize().into());
        if actual != self.digest {
            let (expected, actual) = (self.digest.to_string(), actual.to_string());
            return Err(ImageError::DigestMismatch { what: format!("blob {expected}"), expected, actual });
        }
        self.done = true;
        Ok(Bytes::new())
    }

    /// Takes a breath before the next attempt, unless there were enough.
    fn again(&mut self, because: Option<RegistryError>) -> Result<(), ImageError> {
        self.body = None;
        if self.received - self.mark >= ENOUGH_BYTES {
            (self.mark, self.attempts) = (self.received, 0);
        }
        self.attempts += 1;
        if self.attempts >= MAX_ATTEMPTS {
            return Err(match because {
                // Nothing came at all: then it is not the blob's fault.
                Some(error) if self.received == 0 => error,
                because => RegistryError::Incomplete {
                    host: self.session.host.clone(),
                    digest: self.digest.to_string(),
                    received: self.received,
                    size: self.size,
                    source: because.map(Box::new),
                },
            }
            .into());
        }
        self.session.wait(async { tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(self.attempts)).await });
        Ok(())
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.fault.is_some() {
            return Err(io::Error::other("the blob is not what it should be"));
        }
        if self.chunk.is_empty() {
            match self.next() {
                Ok(bytes) => self.chunk = bytes,
                Err(error) => {
                    self.fault = Some(error);
                    return Err(io::Error::other("the blob is not what it should be"));
                }
            }
        }
        let n = self.chunk.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.chunk[..n]);
        self.chunk.advance(n);
        Ok(n)
    }
}

/// First byte of `Content-Range: bytes 5-9/10`.
fn range_start<B>(response: &Response<B>) -> Option<u64> {
    let text = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}
