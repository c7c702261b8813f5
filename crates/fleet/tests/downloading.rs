//! Advisories by address: a local server with `ETag`s, redirects, and everything a bad server does.
#![expect(clippy::unwrap_used, reason = "a test whose server cannot be made must fail")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use konzert_fleet::{AdvisoryStore, FleetError};

fn record(id: &str) -> String {
    format!(
        r#"{{"id":"{id}","modified":"2026-01-01T00:00:00Z","affected":[{{"package":{{"ecosystem":"Debian:12","name":"a"}},"ranges":[{{"type":"ECOSYSTEM","events":[{{"introduced":"0"}}]}}]}}]}}"#
    )
}

/// Answers each request by its path; remembers the requests.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &seen);
            }
        });
        Self { address, requests }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }
}

fn answer(mut stream: TcpStream, seen: &Mutex<Vec<String>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer).unwrap() {
            0 => return,
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    let text = String::from_utf8(request).unwrap();
    let path = text.split(' ').nth(1).unwrap().to_owned();
    let known = text.to_lowercase().contains("if-none-match: \"v1\"");
    seen.lock().unwrap().push(text);
    let body = record("A-1");
    let reply = match path.as_str() {
        "/all.json" if known => "HTTP/1.1 304 Not Modified\r\n\r\n".to_owned(),
        "/all.json" => {
            format!("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        }
        "/moved" => "HTTP/1.1 302 Found\r\nLocation: /all.json\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "/loop" => {
            "HTTP/1.1 301 Moved Permanently\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        "/file" => {
            "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n".to_owned()
        }
        "/cut" => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 10),
        "/html" => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>".to_owned(),
        "/noise" => "SSH-2.0\r\n\r\n".to_owned(),
        _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
    };
    stream.write_all(reply.as_bytes()).unwrap();
}

fn store() -> (tempfile::TempDir, AdvisoryStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = AdvisoryStore::open(dir.path()).unwrap();
    (dir, store)
}

#[tokio::test]
async fn the_second_import_asks_with_the_etag_and_makes_the_source_young_again() {
    let (server, (_dir, store)) = (Server::new(), store());
    let address = server.at("/all.json");
    let first = store.import_url(&address, |_| {}).await.unwrap();
    assert_eq!((first.read, first.changed, first.total, first.not_modified), (1, 1, 1, false));
    let before = store.database().unwrap().sources()[0].clone();
    assert_eq!(before.etag.as_deref(), Some("\"v1\""));
    let second = store.import_url(&address, |_| {}).await.unwrap();
    assert_eq!((second.read, second.total, second.not_modified), (0, 1, true));
    assert_eq!(second.revision, first.revision);
    let after = store.database().unwrap().sources()[0].clone();
    assert!(after.as_of > before.as_of && after.imported_at == before.imported_at);
    assert_eq!(store.addresses().unwrap(), [address]);
    let requests = server.requests.lock().unwrap();
    assert!(requests.len() == 2 && !requests[0].to_lowercase().contains("if-none-match"));
}

#[tokio::test]
async fn redirects_are_followed_within_reason() {
    let (server, (_dir, store)) = (Server::new(), store());
    assert_eq!(store.import_url(&server.at("/moved"), |_| {}).await.unwrap().read, 1);
}

#[tokio::test]
async fn bad_answers_are_named_and_change_nothing() {
    let (server, (dir, store)) = (Server::new(), store());
    let rows = [
        ("/loop", "too many redirects"),
        ("/file", "not an http or https address"),
        ("/gone", "404"),
        ("/cut", "does not answer"),
        ("/noise", "does not answer"),
        ("/html", "no advisory format"),
    ];
    for (path, want) in rows {
        let error = store.import_url(&server.at(path), |_| {}).await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(want), "{path}: {cause}");
        assert!(error.hint().is_some());
    }
    let refused = store.import_url("ftp://example.org/x", |_| {}).await.unwrap_err();
    assert!(matches!(refused, FleetError::Download { .. }));
    assert!(store.database().unwrap().is_empty());
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
}
