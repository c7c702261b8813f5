//! Fetches one advisory file over HTTP or HTTPS into a file; asks with the last `ETag` first.
//!
//! Bounded in size, redirects and silence; see `konzert-fetch` for connections. Resumes nothing: advisories can be carried over as
//! files too.

use std::io::Write;

use bytes::Bytes;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use konzert_fetch::{FetchError, MAX_REDIRECTS, Patience, authority};

/// Largest file.
pub(crate) const MAX_BYTES: u64 = 4 << 30;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// There is no answer.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An answer that is no file.
    #[error("{host} answers {status}")]
    Status {
        /// Who.
        host: String,
        /// The code.
        status: StatusCode,
    },
    /// Over the bound.
    #[error("{host} sends more than {limit} bytes")]
    TooLarge {
        /// Who.
        host: String,
        /// The bound.
        limit: u64,
    },
    /// The content could not be kept.
    #[error("cannot keep what is downloaded")]
    Keep(#[source] std::io::Error),
}

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    /// The same as last time.
    NotModified,
    /// The content was written; the server's `ETag` for the next time.
    New { etag: Option<String> },
}

/// One download.
pub(crate) struct Download<'a> {
    pub(crate) etag: Option<&'a str>,
    pub(crate) max_bytes: u64,
    /// Told how many bytes came so far.
    pub(crate) progress: &'a mut (dyn FnMut(u64) + Send),
}

impl Download<'_> {
    /// Fetches an address, after redirects.
    pub(crate) async fn fetch(
        &mut self,
        address: &str,
        out: &mut (dyn Write + Send),
    ) -> Result<Fetched, DownloadError> {
        let mut uri = konzert_fetch::parse(address)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = konzert_fetch::send(&uri, self.request()?, Patience::default()).await?;
            match response.status() {
                StatusCode::NOT_MODIFIED => return Ok(Fetched::NotModified),
                StatusCode::OK => return self.receive(&uri, response, out).await,
                status => match konzert_fetch::redirected(&uri, &response)? {
                    Some(next) => uri = next,
                    None => return Err(DownloadError::Status { host: authority(&uri), status }),
                },
            }
        }
        Err(konzert_fetch::too_many_redirects(&uri).into())
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, FetchError> {
        let mut request = Request::get("/").header(ACCEPT, "*/*");
        if let Some(etag) = self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        request.body(Full::default()).map_err(|_bad_header| FetchError::Address)
    }

    async fn receive(
        &mut self,
        uri: &Uri,
        response: Response<Incoming>,
        out: &mut (dyn Write + Send),
    ) -> Result<Fetched, DownloadError> {
        let etag = response.headers().get(ETAG).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut body = response.into_body();
        let mut received = 0;
        while let Some(data) = konzert_fetch::next_chunk(uri, &mut body, Patience::default()).await? {
            received += data.len() as u64;
            if received > self.max_bytes {
                return Err(DownloadError::TooLarge { host: authority(uri), limit: self.max_bytes });
            }
            out.write_all(&data).map_err(DownloadError::Keep)?;
            (self.progress)(received);
        }
        Ok(Fetched::New { etag })
    }
}
