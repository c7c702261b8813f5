//! Everything that is no resource: discovery, `OpenAPI`, version, health, metrics.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, ETAG, EXPIRES, HeaderValue, IF_NONE_MATCH, LOCATION, VARY,
};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use konzert_api::ApiError;
use konzert_api::openapi::V2Encoding;
use serde_json::json;

use crate::body::ResponseBody;
use crate::discovery::{Document, Documents};
use crate::dispatch::App;
use crate::error::Failure;
use crate::metrics::Gauges;
use crate::negotiate::{
    DiscoveryShape, accepts_gzip, discovery_shape, names_media_type, only_json, require_json,
};
use crate::options::Query;
use crate::packed::Packed;
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
pub(crate) async fn answer(app: &App, path: &str, parts: &Parts) -> Result<Answer, Failure> {
    if path.starts_with("/api") || path.starts_with("/openapi/") {
        app.registry.definitions_settled().await;
    }
    match path {
        "/" => Ok(respond::value(StatusCode::OK, &root(app))?),
        "/version" => {
            require_json(&parts.headers)?;
            let text = serde_json::to_vec_pretty(&Version::of_this_server()).map_err(ApiError::internal)?;
            Ok(respond::json(StatusCode::OK, text.into()))
        }
        "/metrics" => Ok(respond::text(StatusCode::OK, app.metrics.render(&gauges(app)))),
        "/.well-known/openid-configuration" => {
            Ok(respond::value(StatusCode::OK, &app.tokens.openid_configuration())?)
        }
        "/openid/v1/jwks" => {
            let keys = app.tokens.key_set().to_string();
            Ok(respond::with_type(StatusCode::OK, "application/jwk-set+json", ResponseBody::whole(keys)))
        }
        "/api" | "/apis" => discovery(app, path, &parts.headers),
        "/openapi/v3" => {
            only_json(&parts.headers)?;
            let index = blocking(app, Documents::openapi_index).await?;
            Ok(cached(&Document::of(&index), "application/json", &parts.headers))
        }
        "/openapi/v2" => openapi_v2(app, &parts.headers).await,
        _ => match path.strip_prefix("/openapi/v3/") {
            Some(group_version) => openapi(app, group_version, parts).await,
            None => other(app, path, parts),
        },
    }
}

/// Large documents are made apart from the threads that answer other requests.
async fn blocking<T: Send + 'static>(
    app: &App,
    make: impl FnOnce(&Documents) -> std::io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    let served = app.registry.served();
    let made = tokio::task::spawn_blocking(move || make(&served.documents())).await;
    made.map_err(ApiError::internal)?.map_err(ApiError::internal)
}

async fn openapi_v2(app: &App, headers: &HeaderMap) -> Result<Answer, Failure> {
    const ASKED: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    // `@` has no place in a media type (RFC 9110, token), and clients refuse to parse it in an answer.
    const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
    let (encoding, content_type) = if names_media_type(headers, ASKED) || names_media_type(headers, PROTOBUF)
    {
        (V2Encoding::Protobuf, PROTOBUF)
    } else {
        only_json(headers)?;
        (V2Encoding::Json, "application/json")
    };
    let document = blocking(app, move |documents| documents.openapi_v2(encoding)).await?;
    let mut answer = unpacked(&document, content_type, headers)?;
    answer.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}

/// What the gauges of `/metrics` show.
fn gauges(app: &App) -> Gauges {
    let (registry, served) = (&app.registry, app.registry.served());
    let mut objects = BTreeMap::new();
    for kind in served.catalogue.kinds() {
        let place = served.place_of(kind.clone(), None);
        objects
            .entry(kind.group_resource().to_string())
            .or_insert_with(|| registry.store.count(&place.prefix()));
    }
    Gauges { store: registry.store.stats(), objects: objects.into_iter().collect() }
}

/// Whether the path is one of the health checks, which answer whatever the method.
pub(crate) fn is_health(path: &str) -> bool {
    ["/healthz", "/livez", "/readyz"].iter().any(|root| path.starts_with(root))
}

fn other(app: &App, path: &str, parts: &Parts) -> Result<Answer, Failure> {
    for root in ["/healthz", "/livez", "/readyz"] {
        match path.strip_prefix(root) {
            Some("") => return health(app, root, parts),
            Some(check) if check.starts_with('/') => return one_check(app, &check[1..]),
            _ => {}
        }
    }
    let documents = app.registry.served().documents();
    let document = documents.plain(path).ok_or_else(ApiError::no_such_page)?;
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
    let mut answer = cached(document.ok_or_else(ApiError::no_such_page)?, content_type, headers);
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    Ok(answer)
}

/// A document with its `ETag`; 304 when the client has it.
fn cached(document: &Document, content_type: &'static str, headers: &HeaderMap) -> Answer {
    let bytes = if is_known(&document.hash, headers) { None } else { Some(document.bytes.clone()) };
    tagged(&document.hash, content_type, bytes)
}

/// As [`cached`], for a compressed document: it is sent as it is to clients that can read it.
fn unpacked(document: &Packed, content_type: &'static str, headers: &HeaderMap) -> Result<Answer, ApiError> {
    if is_known(&document.hash, headers) {
        return Ok(tagged(&document.hash, content_type, None));
    }
    let gzip = accepts_gzip(headers);
    let bytes = if gzip { document.gzip.clone() } else { document.unpack().map_err(ApiError::internal)? };
    let mut answer = tagged(&document.hash, content_type, Some(bytes));
    if gzip {
        answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    answer.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
    Ok(answer)
}

fn is_known(hash: &str, headers: &HeaderMap) -> bool {
    let known = headers.get(IF_NONE_MATCH).and_then(|v| v.to_str().ok()).unwrap_or_default();
    known.split(',').any(|tag| tag.trim().trim_start_matches("W/").trim_matches('"') == hash)
}

/// `None`: the client has it.
fn tagged(hash: &str, content_type: &'static str, bytes: Option<Bytes>) -> Answer {
    let (code, bytes) = match bytes {
        Some(bytes) => (StatusCode::OK, bytes),
        None => (StatusCode::NOT_MODIFIED, Bytes::new()),
    };
    let mut answer = respond::with_type(code, content_type, ResponseBody::whole(bytes));
    if let Ok(value) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        answer.headers_mut().insert(ETAG, value);
    }
    answer
}

async fn openapi(app: &App, group_version: &str, parts: &Parts) -> Result<Answer, Failure> {
    only_json(&parts.headers)?;
    let wanted = group_version.to_owned();
    let document = blocking(app, move |documents| documents.openapi(&wanted)).await?;
    let Some(document) = document else { return Ok(respond::text(StatusCode::NOT_FOUND, "")) };
    let asked = Query::parse(parts.uri.query())?;
    let asked = asked.text("hash");
    if asked.is_some_and(|hash| hash != document.hash) {
        // The address names a content that is gone; the new one stands elsewhere.
        let address = format!("/openapi/v3/{group_version}?hash={}", document.hash);
        let mut answer = respond::text(StatusCode::MOVED_PERMANENTLY, "");
        answer.headers_mut().insert(LOCATION, HeaderValue::from_str(&address).map_err(ApiError::internal)?);
        return Ok(answer);
    }
    let mut answer = unpacked(&document, "application/json", &parts.headers)?;
    let headers = answer.headers_mut();
    if asked.is_some() {
        // The address names the content, so it never changes.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        headers.insert(EXPIRES, HeaderValue::from_static("Thu, 31 Dec 2099 23:59:59 GMT"));
    }
    headers.append(VARY, HeaderValue::from_static("Accept"));
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
    let strangers: Vec<&str> =
        excluded.iter().map(String::as_str).filter(|e| CHECKS.iter().all(|(name, _)| name != e)).collect();
    if !strangers.is_empty() {
        let list = strangers.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(",");
        report.push_str("warn: some health checks cannot be excluded: no matches for ");
        report.push_str(&list);
        report.push('\n');
    }
    if !healthy {
        report.push_str(check);
        report.push_str(" check failed\n");
        return Ok(respond::text(StatusCode::INTERNAL_SERVER_ERROR, report));
    }
    if query.flag("verbose") {
        report.push_str(check);
        report.push_str(" check passed\n");
        return Ok(respond::text(StatusCode::OK, report));
    }
    Ok(respond::text(StatusCode::OK, "ok"))
}

fn one_check(app: &App, name: &str) -> Result<Answer, Failure> {
    let (_, check) = CHECKS.iter().find(|(known, _)| *known == name).ok_or_else(ApiError::no_such_page)?;
    match check(app) {
        Ok(()) => Ok(respond::text(StatusCode::OK, "ok")),
        Err(why) => {
            Ok(respond::text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {why}")))
        }
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

/// The answer of `/version`, its members in the order of Kubernetes.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the members are named by Kubernetes")]
struct Version {
    major: &'static str,
    minor: &'static str,
    emulation_major: &'static str,
    emulation_minor: &'static str,
    min_compatibility_major: &'static str,
    min_compatibility_minor: &'static str,
    git_version: &'static str,
    git_commit: &'static str,
    git_tree_state: &'static str,
    build_date: &'static str,
    go_version: &'static str,
    compiler: &'static str,
    platform: String,
}

impl Version {
    fn of_this_server() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            major: "1",
            minor: "37",
            emulation_major: "1",
            emulation_minor: "37",
            min_compatibility_major: "1",
            min_compatibility_minor: "36",
            git_version: "v1.37.0+konzert",
            git_commit: "",
            git_tree_state: "clean",
            build_date: "",
            go_version: "",
            compiler: "rustc",
            platform: format!("linux/{architecture}"),
        }
    }
}
