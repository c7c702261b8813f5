//! Fetches one advisory file over HTTP or HTTPS into a file; asks with the last `ETag` first.
//!
//! Bounded in size, redirects and silence; never goes from HTTPS to HTTP. Certificates are checked against the
//! machine's authorities. Knows no proxies and resumes nothing: advisories can be carried over as files too.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ETAG, HOST, IF_NONE_MATCH, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const MAX_REDIRECTS: usize = 5;
const CONNECT: Duration = Duration::from_secs(20);
/// Longest pause of a server that is still sending.
const SILENCE: Duration = Duration::from_mins(1);
/// Largest file.
pub(crate) const MAX_BYTES: u64 = 4 << 30;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// Not an address this program fetches.
    #[error("not an http or https address")]
    Address,
    /// No connection.
    #[error("cannot connect to {host}")]
    Connect {
        /// Where to.
        host: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The server stopped talking HTTP.
    #[error("{host} does not answer as a web server does")]
    Protocol {
        /// Who.
        host: String,
        /// What happened.
        #[source]
        source: hyper::Error,
    },
    /// The server was silent for too long.
    #[error("{host} is silent")]
    Silent {
        /// Who.
        host: String,
    },
    /// An answer that is no file.
    #[error("{host} answers {status}")]
    Status {
        /// Who.
        host: String,
        /// The code.
        status: StatusCode,
    },
    /// Redirects that end nowhere, or at an unsafe place.
    #[error("{host} redirects to {to:?}: {problem}")]
    Redirect {
        /// Who.
        host: String,
        /// Where to.
        to: String,
        /// Why that is refused.
        problem: &'static str,
    },
    /// Over the bound.
    #[error("{host} sends more than {limit} bytes")]
    TooLarge {
        /// Who.
        host: String,
        /// The bound.
        limit: u64,
    },
    /// The machine's certificate authorities cannot be used.
    #[error("no TLS: {problem}")]
    Tls {
        /// Why.
        problem: String,
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
        let mut uri = parse(address)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.ask(&uri).await?;
            match response.status() {
                StatusCode::NOT_MODIFIED => return Ok(Fetched::NotModified),
                StatusCode::OK => return self.receive(&uri, response, out).await,
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::SEE_OTHER
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => uri = redirected(&uri, &response)?,
                status => return Err(DownloadError::Status { host: host(&uri), status }),
            }
        }
        Err(DownloadError::Redirect { host: host(&uri), to: uri.to_string(), problem: "too many redirects" })
    }

    async fn ask(&self, uri: &Uri) -> Result<Response<Incoming>, DownloadError> {
        let name = uri.host().ok_or(DownloadError::Address)?.to_owned();
        let tls = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let connect = |source| DownloadError::Connect { host: host(uri), source };
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let silent = || DownloadError::Silent { host: host(uri) };
        let stream = timeout(CONNECT, TcpStream::connect((bare, port)));
        let stream = stream.await.map_err(|_elapsed| silent())?.map_err(connect)?;
        if !tls {
            return self.exchange(uri, stream).await;
        }
        let server = ServerName::try_from(bare.to_owned()).map_err(|_not_a_name| DownloadError::Address)?;
        let handshake = timeout(CONNECT, connector()?.connect(server, stream));
        let stream = handshake.await.map_err(|_elapsed| silent())?.map_err(connect)?;
        self.exchange(uri, stream).await
    }

    async fn exchange<S>(&self, uri: &Uri, stream: S) -> Result<Response<Incoming>, DownloadError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let protocol = |source| DownloadError::Protocol { host: host(uri), source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(protocol)?;
        // Its error reaches the caller through the response's body.
        tokio::spawn(async move { drop(connection.await) });
        let path = uri.path_and_query().map_or("/", |p| p.as_str());
        let mut request = Request::get(path)
            .header(HOST, uri.authority().map_or("", |a| a.as_str()))
            .header(USER_AGENT, concat!("konzert/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "*/*");
        if let Some(etag) = self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|_bad_header| DownloadError::Address)?;
        let answer = timeout(SILENCE, sender.send_request(request)).await;
        answer.map_err(|_elapsed| DownloadError::Silent { host: host(uri) })?.map_err(protocol)
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
        loop {
            let frame = timeout(SILENCE, body.frame()).await;
            let Some(frame) = frame.map_err(|_elapsed| DownloadError::Silent { host: host(uri) })? else {
                return Ok(Fetched::New { etag });
            };
            let frame = frame.map_err(|source| DownloadError::Protocol { host: host(uri), source })?;
            let Ok(data) = frame.into_data() else { continue };
            received += data.len() as u64;
            if received > self.max_bytes {
                return Err(DownloadError::TooLarge { host: host(uri), limit: self.max_bytes });
            }
            out.write_all(&data).map_err(DownloadError::Keep)?;
            (self.progress)(received);
        }
    }
}

fn parse(address: &str) -> Result<Uri, DownloadError> {
    let uri: Uri = address.parse().map_err(|_not_an_uri| DownloadError::Address)?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    if known && uri.host().is_some() { Ok(uri) } else { Err(DownloadError::Address) }
}

fn host(uri: &Uri) -> String {
    uri.authority().map_or_else(String::new, |a| a.as_str().to_owned())
}

fn redirected(from: &Uri, response: &Response<Incoming>) -> Result<Uri, DownloadError> {
    let to = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let refuse = |problem| DownloadError::Redirect { host: host(from), to: to.to_owned(), problem };
    let absolute = if to.starts_with('/') && !to.starts_with("//") {
        format!("{}://{}{to}", from.scheme_str().unwrap_or("https"), host(from))
    } else {
        to.to_owned()
    };
    let next = parse(&absolute).map_err(|_bad| refuse("not an http or https address"))?;
    if from.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
        return Err(refuse("from https to http"));
    }
    Ok(next)
}

fn connector() -> Result<TlsConnector, DownloadError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(DownloadError::Tls { problem: "this machine has no certificate authorities".to_owned() });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| DownloadError::Tls { problem: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
