//! Tokens: what holds, what does not, and what a changed bit does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;

fn key() -> SigningKey {
    SigningKey::from_pem(&rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap()
}

fn claims() -> Claims {
    Claims {
        audiences: vec!["api".to_owned()],
        expires: 2000,
        issued: 1000,
        not_before: 1000,
        issuer: "https://issuer".to_owned(),
        id: "j".to_owned(),
        subject: "system:serviceaccount:ns:sa".to_owned(),
        private: Private {
            namespace: "ns".to_owned(),
            serviceaccount: Bound { name: "sa".to_owned(), uid: "u".to_owned() },
            pod: Some(Bound { name: "p".to_owned(), uid: "pu".to_owned() }),
            ..Private::default()
        },
    }
}

#[test]
fn what_was_signed_is_what_is_read() {
    let key = key();
    let token = jwt::sign(&key, &claims()).unwrap();
    assert_eq!(jwt::verify(&key, &token, 1500).unwrap(), claims());
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["kubernetes.io"]["pod"], json!({ "name": "p", "uid": "pu" }));
    assert_eq!(payload["aud"], json!(["api"]));
}

#[test]
fn times_bound_a_token() {
    let key = key();
    let token = jwt::sign(&key, &claims()).unwrap();
    for (now, outcome) in
        [(999, Err(TokenFault::TooEarly)), (1000, Ok(())), (1999, Ok(())), (2000, Err(TokenFault::Expired))]
    {
        assert_eq!(jwt::verify(&key, &token, now).map(drop), outcome, "{now}");
    }
}

#[test]
fn nothing_but_our_signature_over_these_bytes_holds() {
    let key = key();
    let token = jwt::sign(&key, &claims()).unwrap();
    let refused =
        |token: &str| assert_eq!(jwt::verify(&key, token, 1500), Err(TokenFault::NotOurs), "{token}");
    let foreign = self::key();
    refused(&jwt::sign(&foreign, &claims()).unwrap());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    for text in ["", ".", "..", "a.b.c", &signed[1..], &"x".repeat(100_000)] {
        refused(text);
    }
    for header in [json!({ "alg": "none" }), json!({ "alg": "HS256", "kid": key.id() }), json!({})] {
        refused(&format!("{}.{payload}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string())));
        refused(&format!("{}.{payload}.", URL_SAFE_NO_PAD.encode(header.to_string())));
    }
    let other = Claims { subject: "system:serviceaccount:kube-system:root".to_owned(), ..claims() };
    let other = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
    refused(&format!("{header}.{other}.{signature}"));
}

#[test]
fn the_user_carries_what_the_token_is_bound_to() {
    let user = user(&claims());
    assert_eq!(user.name, "system:serviceaccount:ns:sa");
    assert_eq!(user.uid, "u");
    assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
    assert_eq!(
        serde_json::to_value(&user.extra).unwrap(),
        json!({
            "authentication.kubernetes.io/credential-id": ["JTI=j"],
            "authentication.kubernetes.io/pod-name": ["p"],
            "authentication.kubernetes.io/pod-uid": ["pu"],
        })
    );
}

#[test]
fn the_public_key_is_published_by_its_id() {
    let tokens = Tokens::new(key(), "https://issuer".to_owned());
    let set = tokens.key_set();
    let jwk = &set["keys"][0];
    assert_eq!(jwk["kid"], tokens.key.id());
    assert_eq!((jwk["x"].as_str().unwrap().len(), jwk["y"].as_str().unwrap().len()), (43, 43));
    assert_eq!(tokens.openid_configuration()["jwks_uri"], "https://issuer/openid/v1/jwks");
}
