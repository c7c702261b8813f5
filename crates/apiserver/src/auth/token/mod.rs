//! Service account tokens: signed by a key of this engine, bound to live objects, for a time and an audience.
//!
//! A token says the truth only as long as its account, and the object it is bound to, are the ones it names by uid: that is
//! checked against the store at every use, so that a deleted pod's token ends with the pod.

mod jwt;
mod key;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use konzert_api::{ApiError, meta};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use self::jwt::{Bound, Claims, Private, TokenFault};
pub(crate) use self::key::SigningKey;
use super::User;
use crate::registry::Registry;

/// Objects that are being deleted vouch for their tokens this much longer, so that a pod can end in order.
const DELETION_LEEWAY_S: i64 = 60;
const EXTRA: &str = "authentication.kubernetes.io/";

/// Issues and verifies tokens.
pub(crate) struct Tokens {
    key: SigningKey,
    issuer: String,
}

/// A token that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) user: User,
    /// The audiences that were wanted and are in the token.
    pub(crate) audiences: Vec<String>,
}

/// What a token shall say.
pub(crate) struct Wanted {
    pub(crate) private: Private,
    pub(crate) audiences: Vec<String>,
    pub(crate) seconds: i64,
}

impl Tokens {
    pub(crate) fn new(key: SigningKey, issuer: String) -> Self {
        Self { key, issuer }
    }

    /// The audiences of this server.
    pub(crate) fn audiences(&self) -> Vec<String> {
        vec![self.issuer.clone()]
    }

    /// A token, and when it ends.
    pub(crate) fn issue(&self, wanted: Wanted, now: Timestamp) -> Result<(String, Timestamp), ApiError> {
        let issued = now.as_second();
        let expires = issued.saturating_add(wanted.seconds);
        let account = &wanted.private.serviceaccount.name;
        let claims = Claims {
            audiences: wanted.audiences,
            expires,
            issued,
            issuer: self.issuer.clone(),
            id: Uuid::new_v4().to_string(),
            not_before: issued,
            subject: format!("system:serviceaccount:{}:{account}", wanted.private.namespace),
            private: wanted.private,
        };
        let token = jwt::sign(&self.key, &claims)
            .ok_or_else(|| ApiError::internal("the token could not be signed"))?;
        let end = Timestamp::from_second(expires).map_err(ApiError::internal)?;
        Ok((token, end))
    }

    /// The user behind a token that is good for one of `audiences` at `now`.
    pub(crate) fn verify(
        &self,
        registry: &Registry,
        token: &str,
        audiences: &[String],
        now: Timestamp,
    ) -> Result<Verified, TokenFault> {
        let claims = jwt::verify(&self.key, token, now.as_second())?;
        if claims.issuer != self.issuer {
            return Err(TokenFault::Issuer(claims.issuer));
        }
        let common: Vec<String> =
            audiences.iter().filter(|a| claims.audiences.contains(a)).cloned().collect();
        if common.is_empty() {
            return Err(TokenFault::Audience { found: claims.audiences, wanted: audiences.to_vec() });
        }
        check_objects(registry, &claims.private, now)?;
        Ok(Verified { user: user(&claims), audiences: common })
    }

    /// The document at `/.well-known/openid-configuration`.
    pub(crate) fn openid_configuration(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "jwks_uri": format!("{}/openid/v1/jwks", self.issuer),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [key::ALGORITHM],
        })
    }

    /// The document at `/openid/v1/jwks`.
    pub(crate) fn key_set(&self) -> Value {
        json!({ "keys": [self.key.to_jwk()] })
    }
}

fn user(claims: &Claims) -> User {
    let private = &claims.private;
    let account = &private.serviceaccount;
    let mut user = User::service_account(&private.namespace, &account.name, &account.uid);
    let mut add = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(format!("{EXTRA}{key}"), vec![value.to_owned()]);
        }
    };
    if !claims.id.is_empty() {
        add("credential-id", &format!("JTI={}", claims.id));
    }
    for (kind, bound) in [("pod", &private.pod), ("node", &private.node)] {
        if let Some(bound) = bound {
            add(&format!("{kind}-name"), &bound.name);
            add(&format!("{kind}-uid"), &bound.uid);
        }
    }
    user
}

/// Every object that the token names must be there still, and be the same one.
fn check_objects(registry: &Registry, private: &Private, now: Timestamp) -> Result<(), TokenFault> {
    let namespace = Some(private.namespace.as_str());
    let check = |what, resource, namespace, bound: &Bound| {
        let vouches = live(registry, resource, namespace, &bound.name)
            .is_some_and(|object| meta::uid(&object) == bound.uid && !gone(&object, now));
        if vouches { Ok(()) } else { Err(TokenFault::Invalidated(what)) }
    };
    check("service account", "serviceaccounts", namespace, &private.serviceaccount)?;
    if let Some(secret) = &private.secret {
        check("secret", "secrets", namespace, secret)?;
    }
    if let Some(pod) = &private.pod {
        return check("pod", "pods", namespace, pod);
    }
    // With a pod, the node is only told; alone, it is what the token is bound to.
    match &private.node {
        Some(node) => check("node", "nodes", None, node),
        None => Ok(()),
    }
}

/// An object of the core group, as stored.
pub(crate) fn live(
    registry: &Registry,
    resource: &str,
    namespace: Option<&str>,
    name: &str,
) -> Option<Value> {
    // Both come from outside and become parts of a key.
    if name.contains('/') || namespace.is_some_and(|n| n.contains('/')) {
        return None;
    }
    let place = registry.served().place("", "v1", resource, namespace)?;
    let entry = registry.store.get(&place.key(name))?;
    place.read(&entry.value).ok()
}

fn gone(object: &Value, now: Timestamp) -> bool {
    meta::deletion_timestamp(object).is_some_and(|at| now.as_second() > at.as_second() + DELETION_LEEWAY_S)
}
