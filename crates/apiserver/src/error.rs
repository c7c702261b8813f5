//! Errors of this crate: what stops the server, and what becomes an answer.

use std::io;

use konzert_api::ApiError;
use konzert_store::{Compacted, WriteError};
use serde_json::{Value, json};

use crate::pki::PkiError;

/// Why the API server could not be opened or could not go on serving.
#[derive(Debug, thiserror::Error)]
pub enum ApiServerError {
    /// An object the server itself needs could not be written or read.
    #[error("cannot set up {what}")]
    Bootstrap {
        /// The object.
        what: String,
        /// Why.
        #[source]
        source: ApiError,
    },
    /// The service CIDR cannot be used.
    #[error("{cidr} cannot be used for services: {why}")]
    ServiceCidr {
        /// As configured.
        cidr: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// TLS could not be set up.
    #[error("cannot set up TLS")]
    Pki(#[from] PkiError),
    /// The listener failed.
    #[error("cannot accept connections")]
    Accept(#[source] io::Error),
}

/// An answer that is not the one hoped for: a `Status` and what goes beside it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ApiError,
    /// For a list whose continue token expired: the token that goes on, inconsistently.
    pub(crate) continue_token: Option<String>,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { error, continue_token: None }
    }
}

impl Failure {
    /// The `Status` object.
    pub(crate) fn to_status(&self) -> Value {
        let mut status = self.error.to_status();
        if let Some(token) = &self.continue_token {
            status["metadata"]["continue"] = json!(token);
        }
        status
    }

    /// Seconds after which the client may come back.
    pub(crate) fn retry_after_s(&self) -> Option<u64> {
        self.error.details.as_ref()?.get("retryAfterSeconds")?.as_u64()
    }
}

/// A write error that is not a conflict, as an answer.
pub(crate) fn write_failed(error: WriteError) -> ApiError {
    match error {
        WriteError::TooLarge { .. } => ApiError::too_large(error),
        WriteError::Closed => ApiError::service_unavailable("the server is shutting down"),
        other => ApiError::internal(describe(&other)),
    }
}

/// A revision that cannot be served, as an answer.
pub(crate) fn revision_gone(error: Compacted) -> ApiError {
    if error.is_future() {
        let mut timeout = ApiError::timeout(format!(
            "Too large resource version: {}, current: {}",
            error.requested, error.current
        ));
        timeout.details = Some(json!({
            "retryAfterSeconds": 1,
            "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }],
        }));
        return timeout;
    }
    ApiError::gone_expired(format!("too old resource version: {} ({})", error.requested, error.oldest))
}

/// An error with all its sources in one line.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}
