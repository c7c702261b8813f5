//! Certificates as values: issuing the authority and its leaves, and judging whether a stored one still serves.
//!
//! Does no I/O. The clock is an argument. Validity starts five minutes early so that clients whose clock runs behind are
//! not locked out.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::issue::{self, Leaf, Side, Usages};
use super::request::Request;
use super::{Identity, PkiError};

const DAY_S: i64 = 24 * 3600;
/// The authority outlives the engine's installation; replacing it invalidates every kubeconfig.
const CA_VALIDITY_S: i64 = 10 * 365 * DAY_S;
/// Leaves are short enough that renewal is exercised, long enough that a copied kubeconfig serves for a year.
const LEAF_VALIDITY_S: i64 = 365 * DAY_S;
/// A leaf is replaced when less than this remains.
const RENEW_BEFORE_S: i64 = 120 * DAY_S;
const BACKDATE_S: i64 = 300;

/// A certificate and its private key, both PEM.
#[derive(Clone)]
pub struct KeyedCertificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PKCS#8 PEM.
    pub key: String,
}

/// What a leaf is for.
pub(super) enum Purpose<'a> {
    /// Proves the server's names and addresses.
    Server(&'a [String]),
    /// Proves a user (common name) and its groups (organisations).
    Client { user: &'a str, groups: &'a [&'a str] },
}

/// A certificate authority able to sign.
pub(super) struct Authority {
    pub(super) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A fresh authority, and its key as PEM.
    pub(super) fn generate(now: Timestamp) -> Result<(Self, String), PkiError> {
        let key = KeyPair::generate().map_err(PkiError::Issue)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("konzert-ca@{}", now.as_second()));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid_for(&mut params, now, CA_VALIDITY_S);
        let pem = params.self_signed(&key).map_err(PkiError::Issue)?.pem();
        let key_pem = key.serialize_pem();
        Ok((Self { pem, issuer: Issuer::new(params, key) }, key_pem))
    }

    /// The authority stored as these two texts.
    pub(super) fn parse(pem: String, key_pem: &str) -> Result<Self, PkiError> {
        let key = KeyPair::from_pem(key_pem).map_err(PkiError::Issue)?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key).map_err(PkiError::Issue)?;
        Ok(Self { pem, issuer })
    }

    /// A new leaf with a new key.
    pub(super) fn issue(&self, purpose: &Purpose<'_>, now: Timestamp) -> Result<KeyedCertificate, PkiError> {
        match purpose {
            Purpose::Server(sans) => self.issue_server(sans, now),
            Purpose::Client { user, groups } => self.issue_client(user, groups, now),
        }
    }

    fn issue_server(&self, sans: &[String], now: Timestamp) -> Result<KeyedCertificate, PkiError> {
        let key = KeyPair::generate().map_err(PkiError::Issue)?;
        let mut params = CertificateParams::new(sans.to_vec()).map_err(PkiError::Issue)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "konzert-apiserver");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, now, LEAF_VALIDITY_S);
        let certificate = params.signed_by(&key, &self.issuer).map_err(PkiError::Issue)?.pem();
        Ok(KeyedCertificate { certificate, key: key.serialize_pem() })
    }

    fn issue_client(
        &self,
        user: &str,
        groups: &[&str],
        now: Timestamp,
    ) -> Result<KeyedCertificate, PkiError> {
        let key = KeyPair::generate().map_err(PkiError::Issue)?;
        let usages = Usages { side: Side::Client, signature: true, encipherment: false };
        let leaf = Leaf {
            subject: &issue::subject(user, groups),
            public_key: &issue::public_key(&key),
            alternative_names: None,
            usages,
            not_before: now - BACKDATE_S.seconds(),
            not_after: self.end_of(LEAF_VALIDITY_S, now),
        };
        let certificate = self.sign(&leaf)?;
        Ok(KeyedCertificate { certificate, key: key.serialize_pem() })
    }

    /// A certificate for a request from outside, valid for `seconds` as far as the authority itself is.
    pub(super) fn fulfil(
        &self,
        request: &Request,
        usages: Usages,
        seconds: i64,
        now: Timestamp,
    ) -> Result<String, PkiError> {
        self.sign(&Leaf {
            subject: &request.subject,
            public_key: &request.public_key,
            alternative_names: request.alternative_names.as_deref(),
            usages,
            not_before: now - BACKDATE_S.seconds(),
            not_after: self.end_of(seconds, now),
        })
    }

    fn sign(&self, leaf: &Leaf<'_>) -> Result<String, PkiError> {
        let ca = der(&self.pem).ok_or(PkiError::Pem { what: "authority certificate" })?;
        issue::sign(leaf, &ca, self.issuer.key())
    }

    /// No leaf outlives its authority.
    fn end_of(&self, seconds: i64, now: Timestamp) -> Timestamp {
        let seconds = seconds.min(LEAF_VALIDITY_S).min(remaining_seconds(&self.pem, now).unwrap_or(0));
        now + seconds.max(0).seconds()
    }
}

fn valid_for(params: &mut CertificateParams, now: Timestamp, seconds: i64) {
    let epoch = date_time_ymd(1970, 1, 1);
    let since_epoch = |s: i64| Duration::from_secs(u64::try_from(s).unwrap_or(0));
    params.not_before = epoch + since_epoch(now.as_second() - BACKDATE_S);
    params.not_after = epoch + since_epoch(now.as_second() + seconds);
}

/// Whether the authority's certificate is past its end.
pub(super) fn expired(certificate_pem: &str, now: Timestamp) -> bool {
    remaining_seconds(certificate_pem, now).is_none_or(|left| left <= 0)
}

/// Seconds until a leaf has to be replaced; zero or less: now. `None`: unreadable, so now as well.
pub(super) fn seconds_until_renewal(certificate_pem: &str, now: Timestamp) -> Option<i64> {
    remaining_seconds(certificate_pem, now).map(|left| left - RENEW_BEFORE_S)
}

/// Whether `leaf` can go on serving: readable, signed by this authority, not due, and for all wanted names.
pub(super) fn still_serves(
    leaf: &KeyedCertificate,
    ca_pem: &str,
    purpose: &Purpose<'_>,
    now: Timestamp,
) -> bool {
    let wanted_sans: &[String] = match purpose {
        Purpose::Server(sans) => sans,
        Purpose::Client { .. } => &[],
    };
    KeyPair::from_pem(&leaf.key).is_ok()
        && seconds_until_renewal(&leaf.certificate, now).is_some_and(|left| left > 0)
        && signed_by(&leaf.certificate, ca_pem)
        && covers(&leaf.certificate, wanted_sans)
}

fn remaining_seconds(certificate_pem: &str, now: Timestamp) -> Option<i64> {
    let der = der(certificate_pem)?;
    let (_, parsed) = X509Certificate::from_der(&der).ok()?;
    Some(parsed.validity().not_after.timestamp() - now.as_second())
}

fn signed_by(certificate_pem: &str, ca_pem: &str) -> bool {
    let (Some(leaf), Some(ca)) = (der(certificate_pem), der(ca_pem)) else { return false };
    let (Ok((_, leaf)), Ok((_, ca))) = (X509Certificate::from_der(&leaf), X509Certificate::from_der(&ca))
    else {
        return false;
    };
    // The name carries the instant the authority was made, so an authority that was replaced is noticed.
    leaf.issuer() == ca.subject()
}

fn covers(certificate_pem: &str, wanted: &[String]) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let Some(der) = der(certificate_pem) else { return false };
    let Ok((_, parsed)) = X509Certificate::from_der(&der) else { return false };
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return false };
    let present: Vec<String> = extension.value.general_names.iter().filter_map(san_text).collect();
    wanted.iter().all(|name| present.iter().any(|p| p == name))
}

fn san_text(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(dns) => Some((*dns).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|b| IpAddr::from(b).to_string()),
            _ => None,
        },
        _ => None,
    }
}

/// The first certificate in a PEM text.
pub(super) fn der(pem: &str) -> Option<CertificateDer<'static>> {
    rustls_pemfile::certs(&mut pem.as_bytes()).next()?.ok()
}

/// Whom a client certificate names: user (common name) and groups (organisations).
pub(crate) fn identity(certificate: &CertificateDer<'_>) -> Option<Identity> {
    use std::fmt::Write as _;
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let user = parsed.subject().iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups =
        parsed.subject().iter_organization().filter_map(|o| o.as_str().ok().map(str::to_owned)).collect();
    let mut fingerprint = String::with_capacity(64);
    for byte in ring::digest::digest(&ring::digest::SHA256, certificate).as_ref() {
        write!(fingerprint, "{byte:02x}").ok()?;
    }
    let until = Timestamp::from_second(parsed.validity().not_after.timestamp()).ok()?;
    Some(Identity { user, groups, fingerprint, until })
}
