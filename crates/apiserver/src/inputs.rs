//! The readers of what strangers send, by themselves: for fuzzing, and for nothing else.

use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue};
use jiff::Timestamp;
use serde_json::Value;

use crate::decode::RawBody;
use crate::options::{ListOptions, LogOptions, Query, WriteOptions};
use crate::registry::{DeleteOptions, is_continue_token};
use crate::{limits, negotiate, request};

/// A request body; `None` when it is refused.
pub fn body(content_type: &str, bytes: &[u8]) -> Option<Value> {
    let body = RawBody { content_type: content_type.to_owned(), bytes: bytes.to_vec().into() };
    body.document().ok().map(|document| document.value)
}

/// Whether the text is a continue token.
pub fn continue_token(text: &str) -> bool {
    is_continue_token(text)
}

/// Path, query and `Accept` of a request. Returns whether all of it is understood.
pub fn request(target: &str, accept: &str) -> bool {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(accept) {
        headers.insert(ACCEPT, value);
    }
    let path = request::target(path).is_ok();
    let accepted = negotiate::shape(&headers).is_ok() | negotiate::discovery_shape(&headers).is_ok();
    let Ok(query) = Query::parse(query) else { return false };
    let nothing = RawBody { content_type: String::new(), bytes: bytes::Bytes::new() };
    let options = [
        ListOptions::parse(&query, true).is_ok(),
        ListOptions::parse(&query, false).is_ok(),
        WriteOptions::parse(&query, "CreateOptions").is_ok(),
        LogOptions::parse(&query, Timestamp::UNIX_EPOCH).is_ok(),
        DeleteOptions::parse(&nothing, &query).is_ok(),
        limits::deadline(&query).is_ok(),
    ];
    path && accepted && options.iter().all(|understood| *understood)
}
