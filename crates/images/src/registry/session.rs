//! Talking to one repository of one registry: addresses, redirects, and asking again with credentials.
//!
//! Reads documents whole; blobs are read by `blob`. Invariant: the `Authorization` header is sent to the origin it was made for only.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RANGE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use konzert_fetch::{FetchError, MAX_REDIRECTS, Patience};
use serde::Deserialize;
use tokio::runtime::Runtime;

use super::error::RegistryError;
use super::{PlainHttp, RegistryOptions};
use crate::document::{
    self, DOCKER_LIST, DOCKER_MANIFEST, Descriptor, ManifestKind, OCI_INDEX, OCI_MANIFEST,
};
use crate::error::ImageError;
use crate::ids::{DOCKER_HUB, ImageDigest, Reference, shown};
use crate::limits;
use crate::staging::digest_of;

/// Where Docker Hub's images really are.
const HUB_HOST: &str = "registry-1.docker.io";
const CONTENT_DIGEST: &str = "docker-content-digest";
/// Most bytes of an error that are read.
const MAX_ERROR_BYTES: u64 = 16 << 10;

/// A manifest or an index.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: ImageDigest,
    pub(super) kind: ManifestKind,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) accept: String,
    /// First byte wanted.
    pub(super) from: u64,
    /// A form to post.
    pub(super) form: Option<String>,
}

/// The beginning of an answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Who answered.
    pub(super) uri: Uri,
    pub(super) response: Response<Incoming>,
    /// Whether that is somebody else than who was asked.
    pub(super) elsewhere: bool,
}

/// Drives connections; may be dropped anywhere.
struct Driver(Option<Runtime>);

/// One repository of one registry.
pub(super) struct Session {
    driver: Arc<Driver>,
    pub(super) options: RegistryOptions,
    /// As the reference names it.
    pub(super) host: String,
    pub(super) repository: String,
    /// Scheme and authority.
    base: String,
    pub(super) authorization: Option<HeaderValue>,
}

impl Session {
    /// Makes ready to talk; only a registry on this machine is asked something, namely whether it speaks TLS.
    pub(super) fn open(reference: &Reference, options: &RegistryOptions) -> Result<Self, ImageError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(RegistryError::Driver)?;
        let (host, repository) = reference.location();
        let authority = if host == DOCKER_HUB { HUB_HOST } else { host };
        let mut session = Self {
            driver: Arc::new(Driver(Some(runtime))),
            options: options.clone(),
            host: host.to_owned(),
            repository,
            base: format!("https://{authority}"),
            authorization: None,
        };
        let plain = format!("http://{authority}");
        if options.plain_http == PlainHttp::Always || session.speaks_no_tls(&plain)? {
            session.base = plain;
        }
        Ok(session)
    }

    fn speaks_no_tls(&self, plain: &str) -> Result<bool, RegistryError> {
        let uri = konzert_fetch::parse(plain)?;
        if !konzert_fetch::is_loopback(&uri) {
            return Ok(false);
        }
        let tls = konzert_fetch::parse(&format!("{}/v2/", self.base))?;
        let asked = self.wait(konzert_fetch::send(&tls, Request::default(), self.options.patience));
        match asked {
            Err(error) if error.is_no_tls() => Ok(true),
            // Nothing may be listening where TLS usually is.
            Err(FetchError::Connect { .. }) if uri.port_u16().is_none() => Ok(true),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(false),
        }
    }

    /// Waits for an exchange.
    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.driver.runtime().block_on(work)
    }

    /// A manifest or index by tag or digest.
    pub(super) fn manifest(
        &mut self,
        name: &str,
        expected: Option<&ImageDigest>,
    ) -> Result<Document, ImageError> {
        let what = format!("manifest {}", shown(name));
        let answer = self.get(&format!("manifests/{name}"), &Ask::manifest(Method::GET))?;
        let kind = document::manifest_kind(&media_type(&answer.response));
        let promised = content_digest(&answer.response);
        let bytes = self.read_whole(answer, limits::MAX_DOCUMENT_BYTES, &what)?;
        let digest = digest_of(&bytes);
        // Of a tag, only the registry itself can say what its digest should be.
        for promise in expected.into_iter().chain(&promised) {
            check_digest(&what, promise, &digest)?;
        }
        let kind = kind_of(&bytes, kind, &what)?;
        Ok(Document { bytes, digest, kind })
    }

    /// A manifest or index that an index names.
    pub(super) fn described_manifest(&mut self, descriptor: &Descriptor) -> Result<Document, ImageError> {
        let found = self.manifest(descriptor.digest.as_str(), Some(&descriptor.digest))?;
        check_size(descriptor, found.bytes.len())?;
        if document::manifest_kind(&descriptor.media_type) == Some(found.kind) {
            return Ok(found);
        }
        let what = format!("manifest {}", descriptor.digest);
        Err(ImageError::Malformed { what, reason: "it is not what its index says it is".to_owned() })
    }

    /// The configuration of an image.
    pub(super) fn config(&mut self, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
        let what = format!("image configuration {}", descriptor.digest);
        if descriptor.size > limits::MAX_DOCUMENT_BYTES {
            let limit = limits::MAX_DOCUMENT_BYTES;
            return Err(ImageError::TooLarge { what, limit, unit: "bytes" });
        }
        let answer = self.get(&format!("blobs/{}", descriptor.digest), &Ask::blob(0))?;
        let bytes = self.read_whole(answer, descriptor.size, &what)?;
        check_digest(&what, &descriptor.digest, &digest_of(&bytes))?;
        check_size(descriptor, bytes.len())?;
        Ok(bytes)
    }

    /// The digest of what a name stands for now, when the registry tells it without sending it.
    pub(super) fn head(&mut self, name: &str) -> Result<Option<ImageDigest>, ImageError> {
        let answer = self.get(&format!("manifests/{name}"), &Ask::manifest(Method::HEAD))?;
        Ok(content_digest(&answer.response))
    }

    /// Asks for something of the repository, with credentials when it must be; answers other than content are errors.
    pub(super) fn get(&mut self, path: &str, ask: &Ask) -> Result<Answer, RegistryError> {
        let uri = konzert_fetch::parse(&format!("{}/v2/{}/{path}", self.base, self.repository))?;
        let mut answer = self.walk(&uri, ask, self.authorization.as_ref())?;
        if answer.response.status() == StatusCode::UNAUTHORIZED && !answer.elsewhere {
            // A token may also have become too old on the way.
            self.authenticate(answer)?;
            answer = self.walk(&uri, ask, self.authorization.as_ref())?;
        }
        match answer.response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(answer),
            _ => Err(self.refusal(answer, path)),
        }
    }

    /// Sends a request and follows redirects; who is redirected to does not learn who asks.
    pub(super) fn walk(
        &self,
        start: &Uri,
        ask: &Ask,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let (mut uri, mut elsewhere) = (start.clone(), false);
        for _ in 0..=MAX_REDIRECTS {
            let request = ask.request(authorization.filter(|_| !elsewhere))?;
            let response = self.wait(konzert_fetch::send(&uri, request, self.patience()))?;
            let Some(next) = konzert_fetch::redirected(&uri, &response)? else {
                return Ok(Answer { uri, response, elsewhere });
            };
            if ask.form.is_some() || !self.may_be_asked(&next) {
                let problem = if ask.form.is_some() { "a secret is not sent on" } else { "plain HTTP" };
                let host = konzert_fetch::authority(&uri);
                return Err(FetchError::Redirect { host, to: next.to_string(), problem }.into());
            }
            elsewhere |= !konzert_fetch::is_same_origin(start, &next);
            uri = next;
        }
        Err(konzert_fetch::too_many_redirects(&uri).into())
    }

    /// Whether an address may be spoken to at all.
    pub(super) fn may_be_asked(&self, uri: &Uri) -> bool {
        uri.scheme_str() == Some("https")
            || self.options.plain_http == PlainHttp::Always
            || konzert_fetch::is_loopback(uri)
    }

    pub(super) fn patience(&self) -> Patience {
        self.options.patience
    }

    /// Reads an answer to its end.
    pub(super) fn read_whole(&self, answer: Answer, limit: u64, what: &str) -> Result<Vec<u8>, ImageError> {
        let too_large = || ImageError::TooLarge { what: what.to_owned(), limit, unit: "bytes" };
        if content_length(&answer.response).is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let (uri, patience) = (answer.uri, self.patience());
        let mut body = answer.response.into_body();
        let mut bytes = Vec::new();
        while let Some(chunk) =
            self.wait(konzert_fetch::next_chunk(&uri, &mut body, patience)).map_err(RegistryError::from)?
        {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// What an answer without content means.
    pub(super) fn refusal(&self, answer: Answer, path: &str) -> RegistryError {
        let host = konzert_fetch::authority(&answer.uri);
        let (status, elsewhere) = (answer.response.status(), answer.elsewhere);
        // What cannot be read says nothing, and the status says enough.
        let body = self.read_whole(answer, MAX_ERROR_BYTES, "the error").unwrap_or_default();
        let said = words(&body);
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if !elsewhere => self.denied(said),
            StatusCode::NOT_FOUND if !elsewhere => {
                let what = format!("{} ({path})", self.repository);
                RegistryError::NotFound { host: self.host.clone(), what, said }
            }
            status => RegistryError::Status { host, status, said },
        }
    }

    /// The registry says no to whoever asks.
    pub(super) fn denied(&self, said: String) -> RegistryError {
        let known = self.options.credentials.known(&self.host, &self.repository);
        let (host, repository) = (self.host.clone(), self.repository.clone());
        RegistryError::Denied { host, repository, said, known }
    }
}

impl Ask {
    fn manifest(method: Method) -> Self {
        let accept = [OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST].join(", ");
        Self { method, accept, from: 0, form: None }
    }

    pub(super) fn blob(from: u64) -> Self {
        Self { method: Method::GET, accept: "*/*".to_owned(), from, form: None }
    }

    fn request(&self, authorization: Option<&HeaderValue>) -> Result<Request<Full<Bytes>>, FetchError> {
        let mut request = Request::builder().method(&self.method).header(ACCEPT, &self.accept);
        if self.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", self.from));
        }
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if self.form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let body = self.form.clone().map(Full::from).unwrap_or_default();
        request.body(body).map_err(|_bad_header| FetchError::Address)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The header is a secret.
        let (base, repository) = (&self.base, &self.repository);
        f.debug_struct("Session").field("base", base).field("repository", repository).finish_non_exhaustive()
    }
}

impl Driver {
    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("it is taken in drop only")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A look-up of a name may still hang; nobody waits for it.
            runtime.shutdown_background();
        }
    }
}

/// `Content-Length`, when there is one.
pub(super) fn content_length<B>(response: &Response<B>) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn media_type<B>(response: &Response<B>) -> String {
    let value =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn content_digest<B>(response: &Response<B>) -> Option<ImageDigest> {
    // Digests of other algorithms cannot be compared; the content's own is checked by whoever knows it.
    ImageDigest::parse(response.headers().get(CONTENT_DIGEST)?.to_str().ok()?).ok()
}

fn check_digest(what: &str, expected: &ImageDigest, actual: &ImageDigest) -> Result<(), ImageError> {
    if expected == actual {
        return Ok(());
    }
    let (expected, actual) = (expected.to_string(), actual.to_string());
    Err(ImageError::DigestMismatch { what: what.to_owned(), expected, actual })
}

fn check_size(descriptor: &Descriptor, actual: usize) -> Result<(), ImageError> {
    let actual = actual as u64;
    if descriptor.size == actual {
        return Ok(());
    }
    let (digest, expected) = (descriptor.digest.to_string(), descriptor.size);
    Err(ImageError::SizeMismatch { digest, expected, actual })
}

/// What tells a manifest from an index.
#[derive(Deserialize)]
struct Shape {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    layers: Option<serde::de::IgnoredAny>,
    #[serde(rename = "schemaVersion", default)]
    schema: Option<u64>,
}

/// A document is one thing, whatever header it comes with: one that could be read as both would mean different images to different
/// readers.
fn kind_of(bytes: &[u8], header: Option<ManifestKind>, what: &str) -> Result<ManifestKind, ImageError> {
    let shape: Shape = document::parse(bytes, || what.to_owned())?;
    if shape.schema == Some(1) {
        let media_type = "application/vnd.docker.distribution.manifest.v1+json".to_owned();
        return Err(ImageError::UnsupportedMediaType { what: what.to_owned(), media_type });
    }
    let malformed = |reason: &str| ImageError::Malformed { what: what.to_owned(), reason: reason.to_owned() };
    let looks = match (shape.manifests.is_some(), shape.layers.is_some()) {
        (true, true) => return Err(malformed("it is both an image and an index")),
        (true, false) => ManifestKind::Index,
        (false, _) => ManifestKind::Image,
    };
    let named = match shape.media_type.as_str() {
        "" => None,
        named => Some(document::manifest_kind(named).ok_or_else(|| ImageError::UnsupportedMediaType {
            what: what.to_owned(),
            media_type: shown(named),
        })?),
    };
    if named.or(header).is_some_and(|kind| kind != looks)
        || (named.is_some() && header.is_some() && named != header)
    {
        return Err(malformed("its media type does not fit its content"));
    }
    Ok(looks)
}

#[derive(Deserialize)]
struct ErrorList {
    errors: Vec<ErrorItem>,
}

#[derive(Deserialize)]
struct ErrorItem {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// A registry's own words (distribution specification, error codes), as `: CODE: message`.
fn words(body: &[u8]) -> String {
    let Ok(list) = serde_json::from_slice::<ErrorList>(body) else { return String::new() };
    let Some(first) = list.errors.first() else { return String::new() };
    let parts = [shown(&first.code), shown(&first.message)];
    parts.iter().filter(|part| !part.is_empty()).fold(String::new(), |text, part| format!("{text}: {part}"))
}
