//! The HTTP requests of probes and hooks: one GET, one connection, redirects count as success and are not followed.
//! Certificates of `https` targets are not verified, as Kubernetes has it: the target is the pod itself.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

const MAX_BODY: usize = 10 << 10;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpFault {
    #[error("dial tcp {0}")]
    Connect(SocketAddr, #[source] std::io::Error),
    #[error("the request is malformed")]
    Request(#[from] http::Error),
    #[error("header {0:?} is malformed")]
    Header(String),
    #[error("no HTTP answer")]
    Http(#[from] hyper::Error),
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    #[error("TLS handshake failed")]
    Handshake(#[source] std::io::Error),
}

/// Sends the request; answers the status code and the beginning of the body.
pub(crate) async fn get(target: &Target) -> Result<(u16, String), HttpFault> {
    let stream = TcpStream::connect(target.address)
        .await
        .map_err(|error| HttpFault::Connect(target.address, error))?;
    if !target.tls {
        return exchange(stream, target).await;
    }
    let connector = tokio_rustls::TlsConnector::from(Arc::new(trusting()?));
    let name = ServerName::from(target.address.ip());
    let stream = connector.connect(name, stream).await.map_err(HttpFault::Handshake)?;
    exchange(stream, target).await
}

async fn exchange<S>(stream: S, target: &Target) -> Result<(u16, String), HttpFault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let answer = async {
        let response = sender.send_request(request(target)?).await?;
        let status = response.status().as_u16();
        // A body that is too long or cut off does not change what the status says.
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
        let text =
            body.map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned()).unwrap_or_default();
        Ok((status, text))
    };
    let answer = answer.await;
    connection.abort();
    answer
}

fn request(target: &Target) -> Result<Request<Empty<Bytes>>, HttpFault> {
    let path = if target.path.starts_with('/') { target.path.clone() } else { format!("/{}", target.path) };
    let mut request = Request::get(path).body(Empty::new())?;
    let headers = request.headers_mut();
    let own = |name: &str| target.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let mut all = target.headers.clone();
    for (name, value) in [
        ("host", target.host.as_str()),
        ("user-agent", "kube-probe/1.37"),
        ("accept", "*/*"),
        ("connection", "close"),
    ] {
        if !own(name) {
            all.push((name.to_owned(), value.to_owned()));
        }
    }
    for (name, value) in all {
        let bad = || HttpFault::Header(name.clone());
        let header = HeaderName::from_bytes(name.as_bytes()).ok().ok_or_else(bad)?;
        let value = HeaderValue::from_str(&value).ok().ok_or_else(bad)?;
        headers.append(header, value);
    }
    Ok(request)
}

fn trusting() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(config)
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
