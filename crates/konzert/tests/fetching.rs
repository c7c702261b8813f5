//! `konzert db import https://…` and `db update` against a local server with a certificate of a local authority: what a good
//! server says, and what a bad network does. Needs no engine and no network.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

#[path = "support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use support::process::{self, Ran};

const PROGRAM: &str = env!("CARGO_BIN_EXE_konzert");

/// An authority that signs servers.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        Self::named("an authority of this test")
    }

    fn named(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    fn server(&self, name: &str, last_year: i32) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        let chain = vec![CertificateDer::from(params.signed_by(&key, &self.issuer).unwrap().der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        Arc::new(versions.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap())
    }
}

/// What a server has, by path; the number is in its `ETag`.
#[derive(Default)]
struct Content {
    version: u32,
    zip: Vec<u8>,
    /// Where `/away` leads.
    away: String,
    requests: Vec<String>,
}

#[derive(Clone)]
struct Server {
    port: u16,
    content: Arc<Mutex<Content>>,
}

impl Server {
    /// HTTPS with a configuration, HTTP without.
    fn start(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let content = Arc::new(Mutex::new(Content { version: 1, ..Content::default() }));
        let shared = content.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared, tls) = (stream.unwrap(), shared.clone(), tls.clone());
                std::thread::spawn(move || serve(stream, tls, &shared));
            }
        });
        Self { port, content }
    }

    fn at(&self, scheme: &str, host: &str, path: &str) -> String {
        format!("{scheme}://{host}:{}{path}", self.port)
    }

    fn https(&self, path: &str) -> String {
        self.at("https", "localhost", path)
    }

    fn set(&self, change: impl FnOnce(&mut Content)) {
        change(&mut self.content.lock().unwrap());
    }

    fn requests(&self) -> Vec<String> {
        self.content.lock().unwrap().requests.clone()
    }
}

/// A client that gives up in the middle is no failure of the server's.
fn serve(mut stream: TcpStream, tls: Option<Arc<ServerConfig>>, content: &Mutex<Content>) {
    let Some(config) = tls else {
        drop(answer(&mut stream, content));
        return;
    };
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let ends_politely = answer(&mut stream, content).unwrap_or(false);
    if ends_politely {
        stream.conn.send_close_notify();
        drop(stream.flush());
    }
}

/// Returns whether the connection is closed as TLS wants it.
fn answer(stream: &mut (impl Read + Write), content: &Mutex<Content>) -> std::io::Result<bool> {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(false),
            read => request.extend_from_slice(&buffer[..read]),
        }
        // A TLS handshake where plain text is spoken (RFC 8446, section 5.1).
        if request[0] == 22 {
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
            return Ok(false);
        }
    }
    let request = String::from_utf8_lossy(&request).to_lowercase();
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut content = content.lock().unwrap();
    content.requests.push(request.clone());
    let etag = format!("\"v{}\"", content.version);
    let body = record("CVE-2026-1", "requests").into_bytes();
    let ok = |more: &str, length: usize| {
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{more}Content-Length: {length}\r\n\r\n")
    };
    let redirect = |to: &str| {
        format!("HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
    };
    let (head, body) = match path.as_str() {
        "/pypi/all.zip" if request.contains(&format!("if-none-match: {etag}")) => {
            ("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_owned(), Vec::new())
        }
        "/pypi/all.zip" => (ok(&format!("ETag: {etag}\r\n"), content.zip.len()), content.zip.clone()),
        "/one.json" => (ok("", body.len()), body),
        "/one.json.gz" => {
            let packed = gzip(&body);
            (ok("", packed.len()), packed)
        }
        "/encoded" => {
            let packed = gzip(&body);
            (ok("Content-Encoding: gzip\r\n", packed.len()), packed)
        }
        "/away" => (redirect(&content.away), Vec::new()),
        "/cut" => (ok("", body.len() + 10), body),
        "/cut.gz" => {
            let mut packed = gzip(&body);
            packed.truncate(packed.len() / 2);
            (ok("", packed.len()), packed)
        }
        // Without a length only the end of TLS says that it is whole.
        "/endless" | "/torn" => ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_owned(), body),
        _ => ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(), Vec::new()),
    };
    drop(content);
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)?;
    stream.flush()?;
    Ok(path != "/torn")
}

fn record(id: &str, package: &str) -> String {
    json!({"id": id, "modified": "2026-01-01T00:00:00Z", "affected": [{
        "package": {"ecosystem": "PyPI", "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]}]})
    .to_string()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// As OSV publishes an ecosystem: a file for each record.
fn all_zip(ids: &[&str]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for id in ids {
        zip.start_file(format!("{id}.json"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(record(id, &id.to_lowercase()).as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A data directory, and the authorities that the program knows.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new(authority: &Authority) -> Self {
        let dir = tempfile::Builder::new().prefix("konzert-test-").tempdir().unwrap();
        let place = Self { dir };
        std::fs::File::create(place.roots()).unwrap().write_all(authority.pem.as_bytes()).unwrap();
        place
    }

    fn roots(&self) -> PathBuf {
        self.dir.path().join("roots.pem")
    }

    fn db(&self, args: &[&str]) -> Ran {
        let mut command = Command::new(PROGRAM);
        command.arg("--data-dir").arg(self.dir.path().join("data")).arg("db").args(args);
        command.env_remove("KONZERT_LOG").env_remove("SSL_CERT_DIR").env("SSL_CERT_FILE", self.roots());
        process::run(command, None, "")
    }

    fn import(&self, address: &str) -> Value {
        self.db(&["import", address, "-o", "json"]).json()
    }

    fn total(&self) -> Value {
        self.db(&["status", "-o", "json"]).json()["advisories"].clone()
    }

    /// An import that fails with exit code 3 for one of these reasons, and changes nothing.
    #[track_caller]
    fn fails(&self, address: &str, reasons: &[&str]) {
        let before = self.total();
        let ran = self.db(&["import", address]);
        assert!(matches!(ran.code, Some(2 | 3)), "{ran}");
        assert!(reasons.iter().any(|reason| ran.stderr.contains(reason)), "none of {reasons:?}: {ran}");
        assert!(ran.stderr.contains(address) && ran.stderr.contains("hint: "), "{ran}");
        assert_eq!(self.total(), before, "{address} changed something");
    }
}

#[test]
fn an_ecosystem_is_imported_and_asked_for_news_with_its_etag() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server("localhost", 2099)));
    server.set(|content| content.zip = all_zip(&["PYSEC-1", "PYSEC-2"]));
    let place = Place::new(&authority);
    let address = server.https("/PyPI/all.zip");
    let first = place.import(&address);
    assert_eq!((&first["read"], &first["changed"], &first["total"]), (&json!(2), &json!(2), &json!(2)));
    let status = place.db(&["status", "-o", "json"]).json();
    assert_eq!(
        (&status["sources"][0]["location"], &status["sources"][0]["etag"]),
        (&json!(address), &json!("\"v1\""))
    );
    assert_eq!(status["ecosystems"][0]["name"], "PyPI");
    let again = place.db(&["update", "-o", "json"]).json();
    assert_eq!((&again["notModified"], &again["total"]), (&json!(true), &json!(2)));
    server.set(|content| (content.version, content.zip) = (2, all_zip(&["PYSEC-1", "PYSEC-2", "PYSEC-3"])));
    let news = place.db(&["update", "-o", "json"]).json();
    assert_eq!(
        (&news["notModified"], &news["read"], &news["changed"]),
        (&json!(false), &json!(3), &json!(1))
    );
    assert_eq!(place.db(&["update", "-o", "json"]).json()["notModified"], true);
    let requests = server.requests();
    let asked: Vec<bool> = requests.iter().map(|request| request.contains("if-none-match")).collect();
    assert_eq!(asked, [false, true, true, true]);
    assert!(
        requests[3].contains("\"v2\"") && requests[0].contains(&format!("host: localhost:{}", server.port))
    );
}

#[test]
fn from_http_to_https_but_never_back() {
    let authority = Authority::new();
    let (safe, plain) = (Server::start(Some(authority.server("localhost", 2099))), Server::start(None));
    let place = Place::new(&authority);
    plain.set(|content| content.away = safe.https("/one.json"));
    let from = plain.at("http", "localhost", "/away");
    let up = place.import(&from);
    assert_eq!((&up["read"], &up["source"]), (&json!(1), &json!(from)));
    safe.set(|content| content.away = "/one.json".into());
    assert_eq!(place.import(&safe.https("/away"))["read"], 1, "within a server");
    safe.set(|content| content.away = plain.at("http", "localhost", "/one.json"));
    let asked = plain.requests().len();
    place.fails(&safe.https("/away"), &["from https to http"]);
    assert_eq!(plain.requests().len(), asked, "the unsafe server was not even asked");
}

#[test]
fn compressed_content_is_read_whatever_the_server_calls_it() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server("localhost", 2099)));
    let place = Place::new(&authority);
    for path in ["/one.json", "/one.json.gz", "/encoded", "/endless"] {
        assert_eq!(place.import(&server.https(path))["read"], 1, "{path}");
    }
    assert_eq!(place.total(), 1);
}

#[test]
fn what_is_cut_off_is_not_imported() {
    let authority = Authority::new();
    let server = Server::start(Some(authority.server("localhost", 2099)));
    let place = Place::new(&authority);
    place.import(&server.https("/one.json"));
    for path in ["/cut", "/torn"] {
        place.fails(&server.https(path), &["does not answer as a web server does"]);
    }
    let ran = place.db(&["import", &server.https("/cut.gz")]);
    assert!(matches!(ran.code, Some(2 | 3)) && ran.stderr.contains("hint: "), "{ran}");
    place.fails(&server.https("/gone"), &["404"]);
    assert_eq!(place.total(), 1);
}

#[test]
fn a_wrong_certificate_is_refused_and_nothing_is_asked() {
    let (authority, stranger) = (Authority::new(), Authority::named("a stranger"));
    let place = Place::new(&authority);
    let rows = [
        (
            "of an authority that is not known",
            stranger.server("localhost", 2099),
            "localhost",
            "UnknownIssuer",
        ),
        (
            "of another name",
            authority.server("elsewhere.example.org", 2099),
            "localhost",
            "not valid for name",
        ),
        (
            "of a name, asked by address",
            authority.server("localhost", 2099),
            "127.0.0.1",
            "not valid for name",
        ),
        ("of the past", authority.server("localhost", 2021), "localhost", "expired"),
    ];
    for (what, config, host, reason) in rows {
        let server = Server::start(Some(config));
        place.fails(&server.at("https", host, "/one.json"), &[reason]);
        assert!(server.requests().is_empty(), "{what}");
    }
    let plain = Server::start(None);
    place.fails(&plain.https("/one.json"), &["cannot connect"]);
    std::fs::File::create(place.roots()).unwrap();
    let server = Server::start(Some(authority.server("localhost", 2099)));
    place.fails(&server.https("/one.json"), &["no certificate authorities"]);
}
