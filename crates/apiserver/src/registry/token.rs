//! Continue tokens: where a list goes on, as an opaque text.
//!
//! The text is base64url of `{"v":"meta.k8s.io/v1","rv":N,"start":"ns/name\0"}`, the form other servers use too. `rv` -1
//! stands for a list that goes on inconsistently, at the most recent revision.

use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use base64::{DecodeError, Engine as _};
use konzert_api::ApiError;
use konzert_api::schema::syntax_error;
use konzert_store::Revision;
use serde::{Deserialize, Serialize};

const VERSION: &str = "meta.k8s.io/v1";
const MAX_TOKEN_BYTES: usize = 4096;

/// As lenient about the last bits as the reader of Kubernetes.
const READER: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    #[serde(default)]
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
        if text.len() > MAX_TOKEN_BYTES {
            return Err(invalid("the token is too long"));
        }
        let json = READER.decode(text.trim_end_matches('=')).map_err(|error| invalid(&not_base64(&error)))?;
        if let Some(why) = syntax_error(&json) {
            return Err(invalid(&why));
        }
        let wire: Wire = serde_json::from_slice(&json).map_err(|error| invalid(&error.to_string()))?;
        if wire.v != VERSION {
            return Err(invalid(&format!("server does not recognize this encoded version {}", wire.v)));
        }
        let after = wire.start.strip_suffix('\0').unwrap_or(&wire.start).to_owned();
        if after.is_empty() || after.split('/').any(|part| part == "..") {
            return Err(invalid(&wire.start));
        }
        let unknown = || invalid(&format!("incorrect encoded start resourceVersion (version {VERSION})"));
        let revision = match wire.rv {
            -1 => None,
            rv => Some(Revision(u64::try_from(rv).ok().filter(|rv| *rv > 0).ok_or_else(unknown)?)),
        };
        Ok(Self { revision, after })
    }
}

fn invalid(why: &str) -> ApiError {
    ApiError::bad_request(format!("invalid continue token: continue key is not valid: {why}"))
}

/// Says where the text stops being base64, counted as Kubernetes counts.
fn not_base64(error: &DecodeError) -> String {
    let at = match error {
        DecodeError::InvalidByte(at, _) | DecodeError::InvalidLastSymbol(at, _) => *at,
        DecodeError::InvalidLength(length) => length / 4 * 4,
        DecodeError::InvalidPadding => 0,
    };
    format!("illegal base64 data at input byte {at}")
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
        let table = [
            ("x", "illegal base64 data at input byte 0"),
            ("%%", "illegal base64 data at input byte 0"),
            ("e30", "server does not recognize this encoded version "),
            ("bm8", "invalid character 'o' in literal null (expecting 'u')"),
            ("ab", "invalid character 'i' looking for beginning of value"),
        ];
        for (text, why) in table {
            let want = format!("invalid continue token: continue key is not valid: {why}");
            assert_eq!(Token::decode(text).unwrap_err().message, want, "{text}");
        }
    }
}
