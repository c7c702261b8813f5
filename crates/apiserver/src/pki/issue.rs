//! Leaf certificates (RFC 5280) signed by the authority, put together here because their subjects come from outside or hold
//! several organisations, which the certificate library keeps only one of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SigningKey as _};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::PkiError;
use super::der::{element, oid, sequence, time, unsigned};

const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];
const SERVER_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const CLIENT_AUTH: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];
const TRUE: &[u8] = &[0x01, 0x01, 0xff];
const PEM_LINE: usize = 64;

/// Which side of a connection a certificate proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usages {
    pub(crate) side: Side,
    pub(crate) signature: bool,
    pub(crate) encipherment: bool,
}

/// The parts of a leaf that differ; all encoded but the times.
pub(super) struct Leaf<'a> {
    pub(super) subject: &'a [u8],
    pub(super) public_key: &'a [u8],
    pub(super) alternative_names: Option<&'a [u8]>,
    pub(super) usages: Usages,
    pub(super) not_before: Timestamp,
    pub(super) not_after: Timestamp,
}

/// A subject of a user and its groups, encoded.
pub(super) fn subject(user: &str, groups: &[&str]) -> Vec<u8> {
    let name =
        |kind: &[u8], text: &str| element(0x31, &sequence([&oid(kind), &element(0x0c, text.as_bytes())]));
    let mut names: Vec<u8> = groups.iter().flat_map(|group| name(ORGANIZATION, group)).collect();
    names.extend(name(COMMON_NAME, user));
    element(0x30, &names)
}

/// The public half of a key pair with its algorithm, encoded.
pub(super) fn public_key(key: &KeyPair) -> Vec<u8> {
    key.subject_public_key_info()
}

/// The signed leaf as PEM.
pub(super) fn sign(leaf: &Leaf<'_>, ca_der: &[u8], ca_key: &KeyPair) -> Result<String, PkiError> {
    let unusable = || PkiError::Pem { what: "authority certificate" };
    if ca_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
        return Err(PkiError::AuthorityKey);
    }
    let (_, ca) = X509Certificate::from_der(ca_der).map_err(|_x509| unusable())?;
    let algorithm = sequence([&oid(ECDSA_WITH_SHA256)]);
    let validity = sequence([&time(leaf.not_before), &time(leaf.not_after)]);
    let extensions = element(0xa3, &element(0x30, &extensions(leaf)));
    let certificate = sequence([
        &element(0xa0, &unsigned(&[2])),
        &unsigned(Uuid::new_v4().as_bytes()),
        &algorithm,
        ca.subject().as_raw(),
        &validity,
        leaf.subject,
        leaf.public_key,
        &extensions,
    ]);
    let signature = ca_key.sign(&certificate).map_err(PkiError::Issue)?;
    let signature = element(0x03, &[&[0], signature.as_slice()].concat());
    Ok(pem(&sequence([&certificate, &algorithm, &signature])))
}

fn extensions(leaf: &Leaf<'_>) -> Vec<u8> {
    let Usages { side, signature, encipherment } = leaf.usages;
    // Bits of KeyUsage from the left: digitalSignature is the first, keyEncipherment the third.
    let bits = (u8::from(signature) << 7) | (u8::from(encipherment) << 5);
    let unused = u8::try_from(bits.trailing_zeros().min(7)).unwrap_or(7);
    let purpose = match side {
        Side::Client => CLIENT_AUTH,
        Side::Server => SERVER_AUTH,
    };
    let mut all = Vec::new();
    if bits != 0 {
        all.extend(extension(KEY_USAGE, TRUE, &element(0x03, &[unused, bits])));
    }
    all.extend(extension(EXTENDED_KEY_USAGE, &[], &element(0x30, &oid(purpose))));
    all.extend(extension(BASIC_CONSTRAINTS, TRUE, &element(0x30, &[])));
    if let Some(names) = leaf.alternative_names {
        all.extend(extension(ALTERNATIVE_NAMES, &[], names));
    }
    all
}

fn extension(kind: &[u8], critical: &[u8], content: &[u8]) -> Vec<u8> {
    sequence([&oid(kind), critical, &element(0x04, content)])
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
