//! JSON Web Tokens (RFC 7519) in compact form, with one algorithm and one key: what is said in them, and whether it holds.
//!
//! Knows no accounts. The clock is an argument.
//!
//! Invariant: claims are looked at only after the signature held, and the algorithm is ours, never the token's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::key::{ALGORITHM, SigningKey};

/// Longer tokens are not looked at.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenFault {
    /// Not a token of this form, or not signed by our key.
    #[error("invalid bearer token")]
    NotOurs,
    /// From another issuer.
    #[error("the token was issued by {0:?}")]
    Issuer(String),
    /// Past its end.
    #[error("service account token has expired")]
    Expired,
    /// Before its beginning.
    #[error("the token is not valid yet")]
    TooEarly,
    /// For somebody else.
    #[error("token audiences {found:?} is invalid for the target audiences {wanted:?}")]
    Audience {
        /// In the token.
        found: Vec<String>,
        /// One of which is needed.
        wanted: Vec<String>,
    },
    /// What the token is bound to has gone or is another one.
    #[error("{0} has been invalidated")]
    Invalidated(&'static str),
}

/// A name and the uid that makes it one certain object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

/// What Kubernetes keeps under `kubernetes.io`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Private {
    pub(crate) namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Bound>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Bound>,
    pub(crate) serviceaccount: Bound,
}

/// All claims of a service account token; times are seconds since the epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(rename = "aud")]
    pub(crate) audiences: Vec<String>,
    #[serde(rename = "exp")]
    pub(crate) expires: i64,
    #[serde(rename = "iat")]
    pub(crate) issued: i64,
    #[serde(rename = "iss")]
    pub(crate) issuer: String,
    #[serde(rename = "jti")]
    pub(crate) id: String,
    #[serde(rename = "kubernetes.io")]
    pub(crate) private: Private,
    #[serde(rename = "nbf")]
    pub(crate) not_before: i64,
    #[serde(rename = "sub")]
    pub(crate) subject: String,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    #[serde(default)]
    crit: Vec<String>,
}

/// The token; `None` when the key cannot sign.
pub(super) fn sign(key: &SigningKey, claims: &Claims) -> Option<String> {
    let header = json!({ "alg": ALGORITHM, "kid": key.id() }).to_string();
    let claims = serde_json::to_vec(claims).ok()?;
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(signed.as_bytes())?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// The claims of a token that our key signed and that holds at `now_s`.
pub(super) fn verify(key: &SigningKey, token: &str, now_s: i64) -> Result<Claims, TokenFault> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenFault::NotOurs);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenFault::NotOurs)?;
    let (header, payload) = signed.split_once('.').ok_or(TokenFault::NotOurs)?;
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_base64| TokenFault::NotOurs);
    let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_json| TokenFault::NotOurs)?;
    let ours = header.alg == ALGORITHM && header.kid == key.id() && header.crit.is_empty();
    if !ours || !key.verifies(signed.as_bytes(), &decode(signature)?) {
        return Err(TokenFault::NotOurs);
    }
    let claims: Claims = serde_json::from_slice(&decode(payload)?).map_err(|_json| TokenFault::NotOurs)?;
    if now_s >= claims.expires {
        return Err(TokenFault::Expired);
    }
    if now_s < claims.not_before {
        return Err(TokenFault::TooEarly);
    }
    Ok(claims)
}
