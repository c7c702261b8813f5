//! Authentication: the client certificate of the connection, else a bearer token, else nobody.
//!
//! A proof that does not hold is an error (401); no proof makes `system:anonymous`, whom authorization allows next to nothing.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use konzert_api::ApiError;

use super::User;
use crate::dispatch::App;

/// Becomes true when watches and followed logs of this caller have to end.
pub(crate) type EndOfStreams = tokio::sync::watch::Receiver<bool>;

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// Whom the connection belongs to; `None`: each request says it.
    pub(crate) user: Option<User>,
    /// When the certificate of the connection ends; connections may outlive it, rights do not.
    pub(crate) until: Option<Timestamp>,
    pub(crate) end_of_streams: EndOfStreams,
}

/// The user behind a request.
pub(crate) fn authenticate(
    app: &App,
    caller: &Caller,
    headers: &HeaderMap,
    now: Timestamp,
) -> Result<User, ApiError> {
    if let Some(user) = &caller.user {
        let over = caller.until.is_some_and(|until| now > until);
        return if over { Err(ApiError::unauthorized()) } else { Ok(user.clone()) };
    }
    let Some(token) = bearer(headers) else { return Ok(User::anonymous()) };
    let audiences = app.tokens.audiences();
    match app.tokens.verify(&app.registry, token, &audiences, now) {
        Ok(verified) => Ok(verified.user),
        Err(fault) => {
            tracing::debug!(%fault, "a bearer token was refused");
            Err(ApiError::unauthorized())
        }
    }
}

/// The bearer token, when there is one; other schemes prove nothing here.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
