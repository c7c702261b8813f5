//! Building answers: JSON, `Status`, warnings, compression.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY, WARNING};
use http::{HeaderMap, Response, StatusCode};
use konzert_api::ApiError;
use serde_json::Value;

use crate::body::ResponseBody;
use crate::error::Failure;
use crate::rendering::Rendering;

pub(crate) type Answer = Response<ResponseBody>;

const JSON: &str = "application/json";
/// Smaller bodies are not worth compressing; the limit is Kubernetes'.
const GZIP_MIN_BYTES: u64 = 128 * 1024;
const MAX_WARNINGS: usize = 64;
const MAX_WARNING_BYTES: usize = 1024;

/// An answer with a JSON body.
pub(crate) fn json(code: StatusCode, bytes: Bytes) -> Answer {
    with_type(code, JSON, ResponseBody::whole(bytes))
}

/// An answer with any body.
pub(crate) fn with_type(code: StatusCode, content_type: &'static str, body: ResponseBody) -> Answer {
    let mut answer = Response::new(body);
    *answer.status_mut() = code;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Plain text.
pub(crate) fn text(code: StatusCode, text: impl Into<Bytes>) -> Answer {
    with_type(code, "text/plain; charset=utf-8", ResponseBody::whole(text))
}

/// A JSON value.
pub(crate) fn value(code: StatusCode, value: &Value) -> Result<Answer, ApiError> {
    Ok(json(code, crate::present::to_bytes(value)?))
}

/// A failure as `Status`, or as text where nobody speaks for the path.
pub(crate) fn failure(failure: &Failure) -> Answer {
    let code = StatusCode::from_u16(failure.error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = if failure.error.is_plain_text() {
        text(code, format!("{}\n", failure.error.message))
    } else {
        json(code, Bytes::from(failure.to_status().to_string()))
    };
    warn(&mut answer, failure.error.warnings.iter().map(String::as_str));
    if let Some(seconds) = failure.retry_after_s() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// Adds `Warning: 299` headers.
pub(crate) fn warn<'a>(answer: &mut Answer, warnings: impl IntoIterator<Item = &'a str>) {
    for warning in warnings.into_iter().take(MAX_WARNINGS) {
        let cut: String = warning.chars().filter(|c| !c.is_control()).take(MAX_WARNING_BYTES).collect();
        let quoted = cut.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(header) = HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()) {
            answer.headers_mut().append(WARNING, header);
        }
    }
}

/// The last step: the form asked for, length, and compression of large bodies for clients that take it.
pub(crate) async fn finish(answer: Answer, rendering: Rendering) -> Answer {
    let answer = render(answer, rendering).await;
    let (mut parts, body) = answer.into_parts();
    let Some(length) = body.exact_len() else { return Response::from_parts(parts, body) };
    if !rendering.gzip || length < GZIP_MIN_BYTES || parts.headers.contains_key(CONTENT_ENCODING) {
        set_length(&mut parts.headers, length);
        return Response::from_parts(parts, body);
    }
    let chunks = match body.into_chunks() {
        Ok(chunks) => chunks,
        Err(stream) => return Response::from_parts(parts, stream),
    };
    let plain = chunks.clone();
    // Compression of some megabytes takes milliseconds; it must not hold up the other requests of this thread.
    let body = match tokio::task::spawn_blocking(move || compress(&chunks)).await {
        Ok(Ok(compressed)) => {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
            ResponseBody::whole(compressed)
        }
        _ => ResponseBody::pieces(plain),
    };
    set_length(&mut parts.headers, body.exact_len().unwrap_or(0));
    Response::from_parts(parts, body)
}

/// Whole JSON answers in another form; what cannot be rendered stays as it is.
async fn render(answer: Answer, rendering: Rendering) -> Answer {
    let (mut parts, body) = answer.into_parts();
    let is_json = parts.headers.get(CONTENT_TYPE).is_some_and(|value| value == JSON)
        && !parts.headers.contains_key(CONTENT_ENCODING);
    if rendering.is_compact_json() || !is_json || body.exact_len().unwrap_or(0) == 0 {
        return Response::from_parts(parts, body);
    }
    let chunks = match body.into_chunks() {
        Ok(chunks) => chunks,
        Err(stream) => return Response::from_parts(parts, stream),
    };
    let plain = chunks.clone();
    let body = match tokio::task::spawn_blocking(move || rendering.render(&chunks.concat())).await {
        Ok(Ok(rendered)) => {
            rendering.label(&mut parts.headers);
            ResponseBody::whole(rendered)
        }
        _ => ResponseBody::pieces(plain),
    };
    Response::from_parts(parts, body)
}

fn set_length(headers: &mut HeaderMap, length: u64) {
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
}

fn compress(chunks: &[Bytes]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for chunk in chunks {
        encoder.write_all(chunk)?;
    }
    encoder.finish()
}
