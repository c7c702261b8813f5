//! What one client may take from the others: requests at the same time, time, bytes.
//!
//! Requests that run at the same time are counted apart for reading and for writing; one over the limit is answered 429 with
//! a `Retry-After`, at once. Members of `system:masters`, which are the engine's own parts and its administrator, always get
//! through: without them nobody could repair an overloaded server. Watches and followed logs are not counted: they cost
//! memory, not time.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body_util::BodyExt;
use hyper::body::Body;
use konzert_api::ApiError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::options::Query;
use crate::request::Verb;

/// Larger request bodies are refused with 413.
pub(crate) const MAX_BODY_BYTES: usize = 3 * 1024 * 1024;
/// A request that is no stream is answered within this time; `timeout` may ask for less.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// The defaults of Kubernetes.
const MAX_READING: usize = 400;
const MAX_WRITING: usize = 200;
const RETRY_AFTER_S: u32 = 1;
/// A client that is still sending cannot read an answer; this much more is read and thrown away before the connection ends.
const MAX_DRAINED_BYTES: usize = 64 * 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const AUDIT_ID: &str = "audit-id";
const MAX_AUDIT_ID_BYTES: usize = 64;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Requests that may run at the same time.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    reading: Arc<Semaphore>,
    writing: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(MAX_READING, MAX_WRITING)
    }
}

/// Held while a request runs.
#[derive(Debug)]
pub(crate) struct Admitted(#[expect(dead_code, reason = "held, not read")] Option<OwnedSemaphorePermit>);

impl Limits {
    fn new(reading: usize, writing: usize) -> Self {
        Self { reading: Arc::new(Semaphore::new(reading)), writing: Arc::new(Semaphore::new(writing)) }
    }

    /// A place among the running requests, or 429.
    pub(crate) fn admit(&self, verb: Verb, privileged: bool) -> Result<Admitted, ApiError> {
        let class = match verb {
            Verb::Watch => return Ok(Admitted(None)),
            Verb::Get | Verb::List => &self.reading,
            Verb::Create | Verb::Update | Verb::Patch | Verb::Delete | Verb::DeleteCollection => {
                &self.writing
            }
        };
        match class.clone().try_acquire_owned() {
            Ok(permit) => Ok(Admitted(Some(permit))),
            Err(_full) if privileged => Ok(Admitted(None)),
            Err(_full) => {
                Err(ApiError::too_many_requests("Too many requests, please try again later.", RETRY_AFTER_S))
            }
        }
    }
}

/// The time a request has: the parameter `timeout`, but not more than [`REQUEST_TIMEOUT`].
pub(crate) fn deadline(query: &Query) -> Result<Duration, ApiError> {
    let Some(text) = query.text("timeout") else { return Ok(REQUEST_TIMEOUT) };
    let asked = duration(text).ok_or_else(|| {
        ApiError::bad_request(format!(
            "invalid timeout specified in the request URL - time: invalid duration {text:?}"
        ))
    })?;
    // Zero has always meant "no wish of my own".
    Ok(if asked.is_zero() { REQUEST_TIMEOUT } else { asked.min(REQUEST_TIMEOUT) })
}

/// A duration as Go writes it, `1m30.5s`. `None` when it is not one, or negative.
fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut total) = (text.strip_prefix('+').unwrap_or(text), 0.0_f64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * seconds;
        rest = after;
    }
    Duration::try_from_secs_f64(total).ok()
}

/// Names the request in the answer and in logs: what the client sent, or a new id.
pub(crate) fn audit_id(headers: &HeaderMap) -> String {
    let sent = headers.get(AUDIT_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fits =
        !sent.is_empty() && sent.len() <= MAX_AUDIT_ID_BYTES && sent.bytes().all(|b| b.is_ascii_graphic());
    if fits { sent.to_owned() } else { Uuid::new_v4().to_string() }
}

fn too_large() -> ApiError {
    ApiError::too_large(format!("limit is {MAX_BODY_BYTES}"))
}

/// The whole body, or 413 after the client had the chance to finish sending, so that it reads the answer.
pub(crate) async fn read_body<B>(headers: &HeaderMap, body: B) -> Result<Bytes, ApiError>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<BoxError>,
{
    let said = body.size_hint().lower();
    let waits =
        headers.get(http::header::EXPECT).is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if waits && said > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    let mut body = std::pin::pin!(body);
    let mut first = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            ApiError::bad_request(format!("the request body could not be read: {}", error.into()))
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let read = all.len() + first.as_ref().map_or(0, Bytes::len) + data.len();
        if read > MAX_BODY_BYTES {
            drain(body, read).await;
            return Err(too_large());
        }
        // Most bodies are one frame, which needs no copy.
        if all.is_empty() && first.is_none() {
            first = Some(data);
            continue;
        }
        if let Some(first) = first.take() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

async fn drain<B>(mut body: std::pin::Pin<&mut B>, mut read: usize)
where
    B: Body<Data = Bytes>,
{
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > MAX_DRAINED_BYTES {
                break;
            }
        }
    };
    if tokio::time::timeout(DRAIN_TIMEOUT, rest).await.is_err() {
        tracing::debug!("a client went on sending a body that is too large");
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;

    use super::*;

    fn deadline_of(raw: &str) -> Result<Duration, u16> {
        deadline(&Query::parse(Some(raw)).unwrap()).map_err(|error| error.code)
    }

    #[test]
    fn deadlines() {
        for (raw, want) in [
            ("", Ok(60_000)),
            ("timeout=32s", Ok(32_000)),
            ("timeout=1500ms", Ok(1500)),
            ("timeout=0s", Ok(60_000)),
            ("timeout=1h", Ok(60_000)),
            ("timeout=0m5.5s", Ok(5500)),
            ("timeout=5", Err(400)),
            ("timeout=soon", Err(400)),
            ("timeout=-1s", Err(400)),
            ("timeout=1e9s", Err(400)),
        ] {
            assert_eq!(deadline_of(raw), want.map(Duration::from_millis), "{raw}");
        }
    }

    #[test]
    fn one_too_many_is_told_to_come_back() {
        let limits = Limits::new(1, 1);
        let running = limits.admit(Verb::Get, false).unwrap();
        let refused = limits.admit(Verb::List, false).unwrap_err();
        assert_eq!((refused.code, refused.reason), (429, "TooManyRequests"));
        assert_eq!(refused.details.unwrap()["retryAfterSeconds"], 1);
        limits.admit(Verb::List, true).unwrap();
        limits.admit(Verb::Watch, false).unwrap();
        limits.admit(Verb::Create, false).unwrap();
        drop(running);
        limits.admit(Verb::List, false).unwrap();
    }

    #[test]
    fn audit_ids() {
        let mut headers = HeaderMap::new();
        assert_eq!(audit_id(&headers).len(), 36);
        headers.insert(AUDIT_ID, "mine-1".parse().unwrap());
        assert_eq!(audit_id(&headers), "mine-1");
        headers.insert(AUDIT_ID, "x".repeat(65).parse().unwrap());
        assert_eq!(audit_id(&headers).len(), 36);
    }

    #[tokio::test]
    async fn bodies() {
        let headers = HeaderMap::new();
        let whole = read_body(&headers, Full::new(Bytes::from_static(b"abc"))).await.unwrap();
        assert_eq!(whole, "abc");
        let frames = |count: usize| {
            let frame = Bytes::from(vec![b'x'; 1024 * 1024]);
            StreamBody::new(futures::stream::iter(
                (0..count).map(move |_| Ok::<_, std::io::Error>(Frame::data(frame.clone()))),
            ))
        };
        assert_eq!(read_body(&headers, frames(3)).await.unwrap().len(), MAX_BODY_BYTES);
        let refused = read_body(&headers, frames(4)).await.unwrap_err();
        assert_eq!(refused.message, "Request entity too large: limit is 3145728");
    }
}
