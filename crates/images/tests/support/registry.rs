//! A registry on this machine's loopback interface, for tests: serves what it is given, and can be a bad one in many ways.
//!
//! Plain HTTP by hand, so that answers can also be cut off or wrong. Remembers every request.
#![allow(dead_code, reason = "every program that includes this module uses another part of it")]
#![allow(clippy::unwrap_used, reason = "a test whose server cannot be made must fail")]

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub(crate) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// Who may read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    #[default]
    Everybody,
    /// `user:password` in base64.
    Basic(String),
    /// With a token of `/token`, which is given to these (base64), or to everybody.
    Token(Option<String>),
}

/// What is wrong with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manners {
    pub(crate) access: Access,
    /// Blobs are at this address (`http://…`).
    pub(crate) blobs_at: Option<String>,
    /// Bytes after which an answer with a blob breaks off, so many times.
    pub(crate) cut_at: Option<usize>,
    pub(crate) cuts: usize,
    /// Ranges are not understood.
    pub(crate) no_ranges: bool,
    /// After a broken answer, all further ones say 500.
    pub(crate) dies: bool,
}

#[derive(Default)]
struct State {
    manners: Manners,
    /// By tag or digest: media type and content.
    manifests: BTreeMap<String, (String, Vec<u8>)>,
    blobs: BTreeMap<String, Vec<u8>>,
    requests: Vec<String>,
    tokens: usize,
}

/// The registry. It lives as long as the process.
#[derive(Clone)]
pub(crate) struct Registry {
    /// `127.0.0.1:port`.
    pub(crate) host: String,
    state: Arc<Mutex<State>>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// On a socket, which may be in a network namespace of its own.
    pub(crate) fn on(listener: TcpListener) -> Self {
        let host = listener.local_addr().unwrap().to_string();
        let registry = Self { host, state: Arc::default() };
        let server = registry.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let server = server.clone();
                // A client that goes away is none of the server's business.
                std::thread::spawn(move || stream.and_then(|stream| server.serve(stream)).ok());
            }
        });
        registry
    }

    pub(crate) fn behave(&self, manners: Manners) {
        self.state.lock().unwrap().manners = manners;
    }

    /// Requests so far, `GET /v2/…`, each with its headers; they are forgotten.
    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    /// Paths of the requests so far, without `/v2/`; they are forgotten. Greetings are left out.
    pub(crate) fn paths(&self) -> Vec<String> {
        let path = |request: &String| {
            let mut words = request.split(' ');
            format!("{} {}", words.next().unwrap(), words.next().unwrap().trim_start_matches("/v2/"))
        };
        self.requests().iter().map(path).collect()
    }

    /// Tokens stop being good.
    pub(crate) fn forget_tokens(&self) {
        self.state.lock().unwrap().tokens += 1;
    }

    pub(crate) fn put_blob(&self, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        self.state.lock().unwrap().blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    /// Serves `bytes` as the blob with a digest, whether that is right or not.
    pub(crate) fn put_blob_as(&self, digest: &str, bytes: &[u8]) {
        self.state.lock().unwrap().blobs.insert(digest.to_owned(), bytes.to_vec());
    }

    /// A manifest under a name and its digest; gives its descriptor.
    pub(crate) fn put_manifest(&self, name: &str, media_type: &str, document: &Value) -> Value {
        let bytes = document.to_string().into_bytes();
        let digest = digest(&bytes);
        let mut state = self.state.lock().unwrap();
        for name in [name, &digest] {
            state.manifests.insert(name.to_owned(), (media_type.to_owned(), bytes.clone()));
        }
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// An image of plain layers; gives the descriptor of its manifest.
    pub(crate) fn put_image(&self, name: &str, layers: &[Vec<u8>], more: &Value) -> Value {
        self.put_image_for(name, host_architecture(), layers, more)
    }

    pub(crate) fn put_image_for(
        &self,
        name: &str,
        architecture: &str,
        layers: &[Vec<u8>],
        more: &Value,
    ) -> Value {
        let digests: Vec<String> = layers.iter().map(|layer| self.put_blob(layer)).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": more,
            "rootfs": {"type": "layers", "diff_ids": digests},
        });
        let config = config.to_string().into_bytes();
        let described: Vec<Value> = layers
            .iter()
            .zip(&digests)
            .map(|(layer, digest)| json!({"mediaType": LAYER, "digest": digest, "size": layer.len()}))
            .collect();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": self.put_blob(&config), "size": config.len()},
            "layers": described,
        });
        self.put_manifest(name, MANIFEST, &manifest)
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut request = Vec::new();
        let mut buffer = [0; 1024];
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut buffer)? {
                0 => return Ok(()),
                read => request.extend_from_slice(&buffer[..read]),
            }
            if request.first().is_some_and(|first| !first.is_ascii_uppercase()) {
                // This is TLS, and a plain server says so in its own way.
                return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        }
        let (head, whole) = self.answer(&String::from_utf8_lossy(&request));
        stream.write_all(&head)?;
        if request.starts_with(b"HEAD") { Ok(()) } else { stream.write_all(&whole) }
    }

    /// Head and body of the answer.
    fn answer(&self, request: &str) -> (Vec<u8>, Vec<u8>) {
        let mut state = self.state.lock().unwrap();
        state.requests.push(request.to_owned());
        let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
        let header = |name: &str| {
            let line = request.lines().find(|line| line.to_ascii_lowercase().starts_with(name));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
        };
        let authorization = header("authorization:").unwrap_or_default();
        if let Some(query) = path.strip_prefix("/token?") {
            let wanted = match &state.manners.access {
                Access::Token(Some(pair)) => format!("Basic {pair}"),
                _ => String::new(),
            };
            if authorization != wanted || !query.contains("scope=repository%3A") {
                return head("401 Unauthorized", "", 0);
            }
            let body = json!({"token": format!("t{}", state.tokens)}).to_string().into_bytes();
            return (head("200 OK", "", body.len()).0, body);
        }
        if let Some(challenge) = state.challenge(&self.host, &authorization) {
            let body = json!({"errors": [{"code": "UNAUTHORIZED", "message": "who are you?"}]}).to_string();
            return (head("401 Unauthorized", &challenge, body.len()).0, body.into_bytes());
        }
        let name = path.rsplit('/').next().unwrap_or_default().to_owned();
        if path.contains("/manifests/") {
            let Some((media_type, bytes)) = state.manifests.get(&name) else { return missing() };
            let headers =
                format!("Content-Type: {media_type}\r\nDocker-Content-Digest: {}\r\n", digest(bytes));
            return (head("200 OK", &headers, bytes.len()).0, bytes.clone());
        }
        if let Some(elsewhere) = &state.manners.blobs_at {
            return head("307 Temporary Redirect", &format!("Location: {elsewhere}{path}\r\n"), 0);
        }
        let Some(bytes) = state.blobs.get(&name).cloned() else { return missing() };
        state.blob(&bytes, header("range:"))
    }
}

impl State {
    fn challenge(&self, host: &str, authorization: &str) -> Option<String> {
        match &self.manners.access {
            Access::Everybody => None,
            Access::Basic(pair) if authorization == format!("Basic {pair}") => None,
            Access::Basic(_) => Some("WWW-Authenticate: Basic realm=\"test\"\r\n".to_owned()),
            Access::Token(_) if authorization == format!("Bearer t{}", self.tokens) => None,
            Access::Token(_) => Some(format!(
                "WWW-Authenticate: Bearer realm=\"http://{host}/token\",service=\"test\",scope=\"repository:x:pull,push\"\r\n"
            )),
        }
    }

    fn blob(&mut self, bytes: &[u8], range: Option<String>) -> (Vec<u8>, Vec<u8>) {
        let from = range.filter(|_| !self.manners.no_ranges);
        let from =
            from.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let rest = &bytes[from.unwrap_or_default()..];
        let head = match from {
            Some(from) => {
                let range = format!("Content-Range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len());
                head("206 Partial Content", &range, rest.len()).0
            }
            None => head("200 OK", "", rest.len()).0,
        };
        let Some(cut) = self.manners.cut_at.filter(|_| self.manners.cuts > 0) else {
            return if self.manners.dies { missing() } else { (head, rest.to_vec()) };
        };
        self.manners.cuts -= 1;
        (head, rest[..cut.min(rest.len())].to_vec())
    }
}

fn head(status: &str, headers: &str, length: usize) -> (Vec<u8>, Vec<u8>) {
    let text = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    (text.into_bytes(), Vec::new())
}

fn missing() -> (Vec<u8>, Vec<u8>) {
    let body = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "unknown\u{7}"}]}).to_string();
    (head("404 Not Found", "", body.len()).0, body.into_bytes())
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

pub(crate) fn host_architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}
