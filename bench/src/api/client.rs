//! One client: a kept HTTP/1.1 connection over TLS, and requests on it.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

/// A connection.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    host: String,
}

impl Client {
    pub(super) async fn connect(address: &str, tls: &Arc<ClientConfig>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned();
        let name = ServerName::try_from(host)?;
        let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends when the sender is dropped; what goes wrong on it is seen by the sender.
        tokio::spawn(async { drop(connection.await) });
        Ok(Self { sender, host: address.to_owned() })
    }

    /// Sends a request; the body of the answer is still to come.
    pub(super) async fn open(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<Incoming> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("accept", "application/json")
            .header("content-type", content_type)
            .body(Full::new(body))?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let text = answer.into_body().collect().await?.to_bytes();
        bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&text))
    }

    /// Sends a request and reads the answer to its end; returns its length.
    pub(super) async fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Bytes,
    ) -> anyhow::Result<usize> {
        let mut answer = self.open(method, path, content_type, body).await?;
        let mut length = 0;
        while let Some(frame) = answer.frame().await {
            length += frame.context("reading an answer")?.data_ref().map_or(0, Bytes::len);
        }
        Ok(length)
    }
}
