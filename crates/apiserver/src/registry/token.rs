//! Continue tokens: where a list goes on, as an opaque text.
//!
//! The text is base64url of `{"v":"meta.k8s.io/v1","rv":N,"start":"ns/name\0"}`, the form other servers use too. `rv` -1
//! stands for a list that goes on inconsistently, at the most recent revision.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use konzert_api::ApiError;
use konzert_store::Revision;
use serde::{Deserialize, Serialize};

const VERSION: &str = "meta.k8s.io/v1";
const MAX_TOKEN_BYTES: usize = 4096;

#[derive(Serialize, Deserialize)]
struct Wire {
    v: String,
    rv: i64,
    start: String,
}

/// A decoded token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// `None`: inconsistent, at the most recent revision.
    pub(crate) revision: Option<Revision>,
    /// The key behind which the list goes on, relative to the prefix of the kind.
    pub(crate) after: String,
}

impl Token {
    pub(crate) fn encode(&self) -> String {
        let rv = self.revision.map_or(-1, |r| i64::try_from(r.0).unwrap_or(-1));
        let wire = Wire { v: VERSION.to_owned(), rv, start: format!("{}\0", self.after) };
        let json = serde_json::to_vec(&wire).expect("a token is plain text and numbers");
        URL_SAFE_NO_PAD.encode(json)
    }

    pub(crate) fn decode(text: &str) -> Result<Self, ApiError> {
        let invalid = || ApiError::bad_request("continue key is not valid");
        if text.len() > MAX_TOKEN_BYTES {
            return Err(invalid());
        }
        let json = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_e| invalid())?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_e| invalid())?;
        let after = wire.start.strip_suffix('\0').unwrap_or(&wire.start).to_owned();
        if wire.v != VERSION || after.is_empty() || after.contains("..") {
            return Err(invalid());
        }
        let revision = match wire.rv {
            -1 => None,
            rv => Some(Revision(u64::try_from(rv).ok().filter(|rv| *rv > 0).ok_or_else(invalid)?)),
        };
        Ok(Self { revision, after })
    }
}

/// Whether a text is a token.
pub(crate) fn is_continue_token(text: &str) -> bool {
    Token::decode(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_rubbish() {
        for revision in [None, Some(Revision(7))] {
            let token = Token { revision, after: "ns/name".to_owned() };
            assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        }
        for bad in ["", "x", "e30", &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#)] {
            assert_eq!(Token::decode(bad).unwrap_err().code, 400, "{bad}");
        }
    }
}
