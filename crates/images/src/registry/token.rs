//! Saying who one is: tokens of a token service (Docker token authentication; `OAuth2` for identity tokens), or name and password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderValue, InvalidHeaderValue};
use http::{Method, StatusCode, Uri};
use serde::Deserialize;

use super::challenge::{self, Challenge};
use super::credentials::Credential;
use super::error::RegistryError;
use super::session::{Answer, Ask, Session};

const MAX_TOKEN_BYTES: u64 = 1 << 20;
const CLIENT: &str = "konzert";

/// What a token service answers.
#[derive(Deserialize)]
struct Issued {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
}

impl Session {
    /// Makes the header that the registry asks for with a 401.
    pub(super) fn authenticate(&mut self, refused: Answer) -> Result<(), RegistryError> {
        let credential = self.options.credentials.find(&self.host, &self.repository).cloned();
        let fresh = self.authorization.take().is_none();
        let made = match (challenge::of(refused.response.headers()), credential) {
            (Some(Challenge::Bearer { .. }), Some(Credential::Bearer(token))) if fresh => bearer(&token),
            (Some(Challenge::Bearer { realm, service, scope }), credential) => {
                let scope = scope.filter(|scope| is_pull_only(scope));
                let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.repository));
                let token = self.token(&realm, service.as_deref(), &scope, credential.as_ref())?;
                bearer(&token)
            }
            (Some(Challenge::Basic), Some(Credential::Basic { username, password })) if fresh => {
                basic(&username, &password)
            }
            (Some(Challenge::Basic), _) => return Err(self.refusal(refused, "")),
            (None, _) => return Err(self.authentication("in no way that is known here")),
        };
        self.authorization = Some(made.map_err(|_not_a_header| self.unsendable("the token"))?);
        Ok(())
    }

    fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
        credential: Option<&Credential>,
    ) -> Result<String, RegistryError> {
        let realm = konzert_fetch::parse(realm)
            .map_err(|_no_address| self.authentication("its token service has no address of the web"))?;
        if !self.may_be_asked(&realm) {
            return Err(self.authentication("its token service speaks plain HTTP"));
        }
        let mut pairs = vec![("scope", scope)];
        pairs.extend(service.map(|service| ("service", service)));
        let mut ask = Ask { method: Method::GET, accept: "application/json".to_owned(), from: 0, form: None };
        let mut header = None;
        let uri = match credential {
            Some(Credential::Identity(token)) => {
                let more = [("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", token)];
                pairs.extend(more);
                ask.method = Method::POST;
                ask.form = Some(encode(&pairs));
                realm
            }
            other => {
                if let Some(Credential::Basic { username, password }) = other {
                    let made = basic(username, password);
                    header = Some(made.map_err(|_not_a_header| self.unsendable("the password"))?);
                }
                self.with_query(&realm, &pairs)?
            }
        };
        let answer = self.walk(&uri, &ask, header.as_ref())?;
        match answer.response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Err(self.denied(String::new())),
            _ => return Err(self.refusal(answer, "token")),
        }
        let body = self
            .read_whole(answer, MAX_TOKEN_BYTES, "the token")
            .map_err(|_unreadable| self.authentication("the answer of its token service cannot be read"))?;
        let issued: Option<Issued> = serde_json::from_slice(&body).ok();
        let token = issued.and_then(|issued| issued.token.or(issued.access_token)).filter(|t| !t.is_empty());
        token.ok_or_else(|| self.authentication("its token service answers without a token"))
    }

    fn with_query(&self, realm: &Uri, pairs: &[(&str, &str)]) -> Result<Uri, RegistryError> {
        let separator = if realm.query().is_some() { '&' } else { '?' };
        konzert_fetch::parse(&format!("{realm}{separator}{}", encode(pairs)))
            .map_err(|_no_address| self.authentication("its token service has no address of the web"))
    }

    fn authentication(&self, problem: &str) -> RegistryError {
        RegistryError::Authentication { host: self.host.clone(), problem: problem.to_owned() }
    }

    fn unsendable(&self, what: &'static str) -> RegistryError {
        RegistryError::Request { host: self.host.clone(), what }
    }
}

/// Whether a scope asks for reading one repository and nothing else: a registry does not choose what else a token is good for.
fn is_pull_only(scope: &str) -> bool {
    let plain = !scope.contains([' ', ',']);
    plain && scope.starts_with("repository:") && scope.ends_with(":pull")
}

fn bearer(token: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    secret(&format!("Bearer {token}"))
}

fn basic(username: &str, password: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    secret(&format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
}

fn secret(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Pairs as in a query or a form.
fn encode(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs.iter().map(|(key, value)| format!("{key}={}", escaped(value)));
    pairs.collect::<Vec<_>>().join("&")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_place() {
        let pairs = [("scope", "repository:a/b:pull"), ("service", "x&scope=y z\u{e4}")];
        assert_eq!(encode(&pairs), "scope=repository%3Aa%2Fb%3Apull&service=x%26scope%3Dy%20z%C3%A4");
    }

    #[test]
    fn a_registry_gets_no_token_for_more_than_reading() {
        assert!(is_pull_only("repository:a/b:pull"));
        for scope in
            ["repository:a/b:pull,push", "repository:a:push repository:b:pull", "registry:catalog:*", "aws"]
        {
            assert!(!is_pull_only(scope), "{scope}");
        }
    }
}
