//! The key that signs service account tokens: ECDSA on P-256 (ES256), named by a digest of its public half.
//!
//! Keeps no files; [`crate::pki`] does.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::pki::PkiError;

/// The algorithm's name in tokens and key sets.
pub(super) const ALGORITHM: &str = "ES256";
/// A point in its plain form: a marker byte and two coordinates.
const POINT_BYTES: usize = 65;
const COORDINATE_BYTES: usize = 32;

pub(crate) struct SigningKey {
    pair: EcdsaKeyPair,
    random: SystemRandom,
    id: String,
}

impl SigningKey {
    /// From a private key as PKCS#8 PEM.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, PkiError> {
        let unusable = || PkiError::Pem { what: "key for service account tokens" };
        let parsed = rcgen::KeyPair::from_pem(pem).map_err(PkiError::Issue)?;
        let random = SystemRandom::new();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, parsed.serialized_der(), &random)
                .map_err(|_rejected| unusable())?;
        let point = pair.public_key().as_ref();
        if point.len() != POINT_BYTES {
            return Err(unusable());
        }
        let id = URL_SAFE_NO_PAD.encode(digest(&SHA256, point));
        Ok(Self { pair, random, id })
    }

    /// Names the key in the header of a token.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.pair.sign(&self.random, message).ok().map(|signature| signature.as_ref().to_vec())
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        public.verify(message, signature).is_ok()
    }

    /// The public half as a JSON Web Key (RFC 7517).
    pub(super) fn to_jwk(&self) -> Value {
        let coordinates = &self.pair.public_key().as_ref()[1..];
        let (x, y) = coordinates.split_at(COORDINATE_BYTES);
        json!({
            "use": "sig",
            "kty": "EC",
            "kid": self.id,
            "crv": "P-256",
            "alg": ALGORITHM,
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}
