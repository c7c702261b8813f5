//! One HTTP exchange with a stranger, over TCP or TLS: for advisories and for registries.
//!
//! Every exchange has a connection of its own. Knows no proxies, keeps no cookies, follows nothing by itself: [`redirected`] only says
//! where an answer points. Invariants: certificates are checked against the machine's authorities; a silent server ends the
//! exchange; no redirect leads from HTTPS to HTTP, or to an address with a user name in it.
#![forbid(unsafe_code)]

mod error;

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, LOCATION, USER_AGENT};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub use error::FetchError;

/// Most redirects that a caller should follow.
pub const MAX_REDIRECTS: usize = 5;

/// How long a server may say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until a connection stands, and again until it is encrypted.
    pub connect: Duration,
    /// Longest pause of a server that is still to answer or still sending.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), silence: Duration::from_mins(1) }
    }
}

/// Reads an address of the web.
pub fn parse(address: &str) -> Result<Uri, FetchError> {
    let uri: Uri = address.parse().map_err(|_not_an_uri| FetchError::Address)?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
    if known && plain && uri.host().is_some_and(|host| !host.is_empty()) {
        Ok(uri)
    } else {
        Err(FetchError::Address)
    }
}

/// Host and port as the address writes them, for messages.
pub fn authority(uri: &Uri) -> String {
    uri.authority().map_or_else(String::new, |a| a.as_str().to_owned())
}

/// Whether the address stays on this machine by its very form; no name is looked up.
pub fn is_loopback(uri: &Uri) -> bool {
    let host = bare_host(uri);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether two addresses are served by the same host and port over the same protocol.
pub fn is_same_origin(a: &Uri, b: &Uri) -> bool {
    let key =
        |uri: &Uri| (uri.scheme_str().map(str::to_owned), bare_host(uri).to_ascii_lowercase(), port(uri));
    key(a) == key(b)
}

/// Sends a request and gives the beginning of the answer. The request's own address is replaced by the path of `uri`.
pub async fn send(
    uri: &Uri,
    mut request: Request<Full<Bytes>>,
    patience: Patience,
) -> Result<Response<Incoming>, FetchError> {
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    *request.uri_mut() = path.parse().map_err(|_bad_path| FetchError::Address)?;
    let host = HeaderValue::from_str(&authority(uri)).map_err(|_bad_host| FetchError::Address)?;
    let agent = HeaderValue::from_static(concat!("konzert/", env!("CARGO_PKG_VERSION")));
    request.headers_mut().insert(HOST, host);
    request.headers_mut().insert(USER_AGENT, agent);
    let connect = |source| FetchError::Connect { host: authority(uri), source };
    let silent = || FetchError::Silent { host: authority(uri) };
    let bare = bare_host(uri);
    if bare == "invalid" || bare.ends_with(".invalid") {
        // RFC 6761: such names do not exist, and nobody needs to be asked.
        return Err(connect(io::Error::new(io::ErrorKind::NotFound, "names below .invalid do not exist")));
    }
    let stream = timeout(patience.connect, TcpStream::connect((bare, port(uri))));
    let stream = stream.await.map_err(|_elapsed| silent())?.map_err(connect)?;
    if uri.scheme_str() != Some("https") {
        return exchange(uri, request, stream, patience).await;
    }
    let server = ServerName::try_from(bare.to_owned()).map_err(|_not_a_name| FetchError::Address)?;
    let handshake = timeout(patience.connect, connector()?.connect(server, stream));
    let stream = handshake
        .await
        .map_err(|_elapsed| silent())?
        .map_err(|source| FetchError::Handshake { host: authority(uri), source })?;
    exchange(uri, request, stream, patience).await
}

/// The next piece of an answer; `None` at its end.
pub async fn next_chunk(
    uri: &Uri,
    body: &mut Incoming,
    patience: Patience,
) -> Result<Option<Bytes>, FetchError> {
    loop {
        let frame = timeout(patience.silence, body.frame()).await;
        let frame = frame.map_err(|_elapsed| FetchError::Silent { host: authority(uri) })?;
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|source| FetchError::Protocol { host: authority(uri), source })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// Where an answer points, when it points elsewhere.
pub fn redirected<B>(from: &Uri, response: &Response<B>) -> Result<Option<Uri>, FetchError> {
    match response.status() {
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {}
        _ => return Ok(None),
    }
    let to = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let refuse = |problem| FetchError::Redirect { host: authority(from), to: to.to_owned(), problem };
    let scheme = from.scheme_str().unwrap_or("https");
    let absolute = if to.starts_with("//") {
        format!("{scheme}:{to}")
    } else if to.starts_with('/') {
        format!("{scheme}://{}{to}", authority(from))
    } else {
        to.to_owned()
    };
    let next = parse(&absolute).map_err(|_bad| refuse("not an http or https address"))?;
    if scheme == "https" && next.scheme_str() != Some("https") {
        return Err(refuse("from https to http"));
    }
    Ok(Some(next))
}

/// The end of a chain of redirects that does not end.
pub fn too_many_redirects(at: &Uri) -> FetchError {
    FetchError::Redirect { host: authority(at), to: at.to_string(), problem: "too many redirects" }
}

async fn exchange<S>(
    uri: &Uri,
    request: Request<Full<Bytes>>,
    stream: S,
    patience: Patience,
) -> Result<Response<Incoming>, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let protocol = |source| FetchError::Protocol { host: authority(uri), source };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(protocol)?;
    // Its error reaches the caller through the response's body.
    tokio::spawn(async move { drop(connection.await) });
    let answer = timeout(patience.silence, sender.send_request(request)).await;
    answer.map_err(|_elapsed| FetchError::Silent { host: authority(uri) })?.map_err(protocol)
}

fn bare_host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn port(uri: &Uri) -> u16 {
    uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 })
}

/// Made once: reading the machine's authorities takes longer than a handshake.
fn connector() -> Result<TlsConnector, FetchError> {
    static CONNECTOR: OnceLock<TlsConnector> = OnceLock::new();
    if let Some(made) = CONNECTOR.get() {
        return Ok(made.clone());
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(FetchError::Tls { problem: "this machine has no certificate authorities".to_owned() });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| FetchError::Tls { problem: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(CONNECTOR.get_or_init(|| TlsConnector::from(Arc::new(config))).clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, location: &str) -> Response<()> {
        Response::builder().status(status).header(LOCATION, location).body(()).expect("a response")
    }

    #[test]
    fn redirects_lead_to_the_web_and_never_out_of_https() {
        let from = parse("https://a.example:5000/v2/x").expect("an address");
        for (to, want) in [
            ("/y", Some("https://a.example:5000/y")),
            ("//b.example/y", Some("https://b.example/y")),
            ("https://b.example/y?z", Some("https://b.example/y?z")),
            ("http://b.example/y", None),
            ("https://user@b.example/y", None),
            ("file:///etc/passwd", None),
            ("y", None),
            ("", None),
        ] {
            let next = redirected(&from, &answer(307, to)).ok().flatten().map(|uri| uri.to_string());
            assert_eq!(next.as_deref(), want, "{to}");
        }
        assert!(matches!(redirected(&from, &answer(200, "/y")), Ok(None)));
    }

    #[test]
    fn origins_are_scheme_host_and_port() {
        let same = |a: &str, b: &str| is_same_origin(&parse(a).expect(a), &parse(b).expect(b));
        assert!(same("https://a.example/x", "https://A.example:443/y"));
        assert!(!same("https://a.example/", "https://a.example:5000/"));
        assert!(!same("https://a.example/", "https://b.a.example/"));
        assert!(!same("http://a.example:443/", "https://a.example/"));
    }

    #[test]
    fn loopback_is_told_by_form() {
        for (address, want) in [
            ("http://localhost:5000/", true),
            ("http://127.8.9.1/", true),
            ("http://[::1]:5000/", true),
            ("http://127.0.0.1.example/", false),
            ("http://localhost.example/", false),
            ("http://192.0.2.1/", false),
        ] {
            assert_eq!(is_loopback(&parse(address).expect(address)), want, "{address}");
        }
    }
}
