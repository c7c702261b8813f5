//! Everything that is no resource: discovery, `OpenAPI`, version, health, metrics.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, ETAG, EXPIRES, HeaderValue, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use konzert_api::ApiError;
use serde_json::json;

use crate::body::ResponseBody;
use crate::discovery::Document;
use crate::dispatch::App;
use crate::error::Failure;
use crate::negotiate::{DiscoveryShape, discovery_shape, require_json};
use crate::options::Query;
use crate::respond::{self, Answer};

/// What a check found; `Err` says what is wrong.
type Check = fn(&App) -> Result<(), &'static str>;

/// Checks behind `/healthz`, `/livez` and `/readyz`.
const CHECKS: &[(&str, Check)] = &[
    ("ping", |_| Ok(())),
    ("store", |app| if app.registry.store.revision().0 > 0 { Ok(()) } else { Err("the store is empty") }),
    ("definitions", |app| {
        if app.registry.serves_definitions() { Ok(()) } else { Err("definitions are not served yet") }
    }),
];

/// The answer for a path without trailing slash.
pub(crate) fn answer(app: &App, path: &str, parts: &Parts) -> Result<Answer, Failure> {
    match path {
        "/" => Ok(respond::value(StatusCode::OK, &root(app))?),
        "/version" => Ok(respond::value(StatusCode::OK, &version())?),
        "/metrics" => Ok(respond::text(StatusCode::OK, app.metrics.render(app.registry.store.stats()))),
        "/.well-known/openid-configuration" => {
            Ok(respond::value(StatusCode::OK, &app.tokens.openid_configuration())?)
        }
        "/openid/v1/jwks" => {
            let keys = app.tokens.key_set().to_string();
            Ok(respond::with_type(StatusCode::OK, "application/jwk-set+json", ResponseBody::whole(keys)))
        }
        "/api" | "/apis" => discovery(app, path, &parts.headers),
        "/openapi/v3" => {
            require_json(&parts.headers)?;
            Ok(respond::value(StatusCode::OK, &app.registry.served().documents().openapi_index())?)
        }
        "/openapi/v2" => openapi_v2(&parts.headers),
        _ => other(app, path, parts),
    }
}

/// `OpenAPI` v2 without definitions: clients ask for it when v3 does not know a kind, and must then say that nobody does.
fn openapi_v2(headers: &HeaderMap) -> Result<Answer, Failure> {
    const ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    // `@` has no place in a media type (RFC 9110, token), and clients refuse to parse it in an answer.
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    // openapi.v2.Document: swagger = 1, info = 2 { title = 1, version = 2 }, paths = 8, definitions = 9.
    const DOCUMENT: &[u8] = b"\x0a\x032.0\x12\x10\x0a\x07konzert\x12\x05v1.37\x42\x00\x4a\x00";
    let accept = headers.get(http::header::ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if accept.contains(ASKED) || accept.contains(PROTOBUF) {
        return Ok(respond::with_type(StatusCode::OK, PROTOBUF, ResponseBody::whole(DOCUMENT)));
    }
    require_json(headers)?;
    let document = json!({"swagger": "2.0", "info": {"title": "konzert", "version": "v1.37"}, "paths": {}, "definitions": {}});
    Ok(respond::value(StatusCode::OK, &document)?)
}

fn other(app: &App, path: &str, parts: &Parts) -> Result<Answer, Failure> {
    if let Some(group_version) = path.strip_prefix("/openapi/v3/") {
        return openapi(app, group_version, parts);
    }
    for root in ["/healthz", "/livez", "/readyz"] {
        match path.strip_prefix(root) {
            Some("") => return health(app, root, parts),
            Some(check) if check.starts_with('/') => return one_check(app, &check[1..]),
            _ => {}
        }
    }
    let documents = app.registry.served().documents();
    let document = documents.plain(path).ok_or_else(ApiError::no_such_resource)?;
    require_json(&parts.headers)?;
    Ok(cached(document, "application/json", &parts.headers))
}

fn discovery(app: &App, path: &str, headers: &HeaderMap) -> Result<Answer, Failure> {
    let documents = app.registry.served().documents();
    let (document, content_type) = match discovery_shape(headers)? {
        DiscoveryShape::Plain => (documents.plain(path), "application/json"),
        DiscoveryShape::Aggregated(version) => {
            let content_type = if version == "v2" {
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
            } else {
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
            };
            (documents.aggregated(path, version), content_type)
        }
    };
    let mut answer = cached(document.ok_or_else(ApiError::no_such_resource)?, content_type, headers);
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}

/// A document with its `ETag`; 304 when the client has it.
fn cached(document: &Document, content_type: &'static str, headers: &HeaderMap) -> Answer {
    let etag = format!("\"{}\"", document.hash);
    let known = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let fresh = known.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag);
    let (code, bytes) = if fresh {
        (StatusCode::NOT_MODIFIED, Bytes::new())
    } else {
        (StatusCode::OK, document.bytes.clone())
    };
    let mut answer = respond::with_type(code, content_type, ResponseBody::whole(bytes));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        answer.headers_mut().insert(ETAG, value);
    }
    answer
}

fn openapi(app: &App, group_version: &str, parts: &Parts) -> Result<Answer, Failure> {
    require_json(&parts.headers)?;
    let documents = app.registry.served().documents();
    let document = documents.openapi(group_version).ok_or_else(ApiError::no_such_resource)?;
    let mut answer = cached(&document, "application/json", &parts.headers);
    let asked = Query::parse(parts.uri.query())?;
    if asked.text("hash") == Some(document.hash.as_str()) {
        // The address names the content, so it never changes.
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        headers.insert(EXPIRES, HeaderValue::from_static("Thu, 31 Dec 2099 23:59:59 GMT"));
    }
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}

fn health(app: &App, root: &str, parts: &Parts) -> Result<Answer, Failure> {
    let query = Query::parse(parts.uri.query())?;
    let excluded = query.texts("exclude");
    let mut report = String::new();
    let mut healthy = true;
    for (name, check) in CHECKS {
        let line = match check(app) {
            _ if excluded.iter().any(|e| e == name) => format!("[+]{name} excluded: ok\n"),
            Ok(()) => format!("[+]{name} ok\n"),
            Err(why) => {
                healthy = false;
                format!("[-]{name} failed: {why}\n")
            }
        };
        report.push_str(&line);
    }
    let check = root.trim_start_matches('/');
    if !healthy {
        report.push_str(check);
        report.push_str(" check failed\n");
        return Ok(respond::text(StatusCode::INTERNAL_SERVER_ERROR, report));
    }
    if query.flag("verbose")? {
        report.push_str(check);
        report.push_str(" check passed\n");
        return Ok(respond::text(StatusCode::OK, report));
    }
    Ok(respond::text(StatusCode::OK, "ok"))
}

fn one_check(app: &App, name: &str) -> Result<Answer, Failure> {
    let (_, check) =
        CHECKS.iter().find(|(known, _)| *known == name).ok_or_else(ApiError::no_such_resource)?;
    match check(app) {
        Ok(()) => Ok(respond::text(StatusCode::OK, "ok")),
        Err(why) => Ok(respond::text(StatusCode::INTERNAL_SERVER_ERROR, why)),
    }
}

fn root(app: &App) -> serde_json::Value {
    let documents = app.registry.served().documents();
    let mut paths: Vec<&str> = documents.paths().collect();
    paths.extend(["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]);
    paths.extend(["/.well-known/openid-configuration", "/openid/v1/jwks"]);
    paths.sort_unstable();
    json!({ "paths": paths })
}

fn version() -> serde_json::Value {
    let platform = match std::env::consts::ARCH {
        "x86_64" => "linux/amd64".to_owned(),
        "aarch64" => "linux/arm64".to_owned(),
        other => format!("linux/{other}"),
    };
    json!({
        "major": "1",
        "minor": "37",
        "gitVersion": "v1.37.0+konzert",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": platform,
    })
}
