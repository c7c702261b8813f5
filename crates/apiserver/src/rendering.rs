//! How an answer is written down: JSON or YAML, compact or indented, compressed or not.
//!
//! Everything in this server makes compact JSON. Another form is made at the very end, from whole answers only; streams stay
//! as they are.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_TYPE, HeaderValue, USER_AGENT};
use konzert_api::ApiError;
use serde_json::Value;

use crate::negotiate::{accepts_gzip, prefers_yaml};
use crate::options::Query;
use crate::yaml::to_yaml;

/// Programs behind which a person sits; they get indented JSON, as from Kubernetes.
const PEOPLE: &[&str] = &["curl", "Wget", "Mozilla/5.0"];

/// What the client wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rendering {
    pub(crate) gzip: bool,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Compact,
    Indented,
    Yaml,
}

impl Rendering {
    pub(crate) fn of(headers: &HeaderMap, query: &Query) -> Self {
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let person = PEOPLE.iter().any(|name| agent.starts_with(name));
        let pretty = match query.text("pretty") {
            Some(text) => !matches!(text.to_ascii_lowercase().as_str(), "0" | "false" | "f"),
            None => person,
        };
        let form = match (prefers_yaml(headers), pretty) {
            (true, _) => Form::Yaml,
            (false, true) => Form::Indented,
            (false, false) => Form::Compact,
        };
        Self { gzip: accepts_gzip(headers), form }
    }

    /// Whether answers stay as they are made.
    pub(crate) fn is_compact_json(self) -> bool {
        self.form == Form::Compact
    }

    /// Compact JSON in the form asked for.
    pub(crate) fn render(self, json: &[u8]) -> Result<Bytes, ApiError> {
        let read = || serde_json::from_slice::<Value>(json).map_err(ApiError::internal);
        Ok(match self.form {
            Form::Compact => Bytes::copy_from_slice(json),
            Form::Indented => {
                let mut text = serde_json::to_vec_pretty(&read()?).map_err(ApiError::internal)?;
                text.push(b'\n');
                text.into()
            }
            Form::Yaml => to_yaml(&read()?).into(),
        })
    }

    /// Names the form in the answer.
    pub(crate) fn label(self, headers: &mut HeaderMap) {
        if self.form == Form::Yaml {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/yaml"));
        }
    }
}
