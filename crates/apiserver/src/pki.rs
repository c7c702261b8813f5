//! The engine's own certificate authority, its server certificate and its administrator.
//!
//! Invariants:
//! 1. Every file is mode 0600 and replaced atomically (`file.rs`).
//! 2. A leaf is re-issued long before it ends, at start and while running ([`Pki::renew_if_due`]); the TLS listener picks
//!    the new one up for the next handshake, without a restart.
//! 3. The authority is replaced only when it has expired, after ten years, and at a start only: replacing it invalidates every
//!    kubeconfig, certificate and service account's trust. From the day on which it has less life left than a leaf would,
//!    leaves end with it, and the log says so at every renewal; who wants to go earlier removes `ca.crt` and `ca.key`
//!    and starts the engine again.
//! 4. The key that signs service account tokens (`sa.key`) is made once and has no end; removing it ends all tokens.
//!
//! It does not verify peers; that is rustls' work (`serve.rs`).

mod der;
mod file;
mod issue;
mod leaf;
pub(crate) mod request;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use parking_lot::RwLock;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

pub(crate) use self::issue::{Side, Usages};
pub use self::leaf::KeyedCertificate;
pub(crate) use self::leaf::identity;
use self::leaf::{Authority, Purpose};
use self::request::Request;

const ADMIN_USER: &str = "kubernetes-admin";
const ADMIN_GROUPS: &[&str] = &["system:masters"];
/// Names every server certificate carries, whatever the caller adds.
const STANDING_SANS: &[&str] = &[
    "127.0.0.1",
    "::1",
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Why key material could not be read, made or used.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of the PKI directory could not be read or written.
    #[error("key material at {path}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A certificate could not be made or a stored one not parsed.
    #[error("certificate could not be issued or parsed")]
    Issue(#[source] rcgen::Error),
    /// One half of a key pair is missing.
    #[error("{path} exists but its private key does not; restore it or remove both")]
    HalfAPair {
        /// The certificate without a key.
        path: PathBuf,
    },
    /// The TLS library refused the material.
    #[error("TLS refused the server certificate")]
    Tls(#[source] rustls::Error),
    /// A PEM text holds no usable certificate or key.
    #[error("no usable {what} in its PEM text")]
    Pem {
        /// Which half.
        what: &'static str,
    },
    /// Certificates for requests are signed with ECDSA on P-256 only.
    #[error("the authority's key is not an ECDSA key on P-256")]
    AuthorityKey,
    /// Client certificates cannot be verified against this authority.
    #[error("client certificate verification cannot be set up")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

impl PkiError {
    fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), source }
    }
}

/// Whom a client certificate names, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) user: String,
    pub(crate) groups: Vec<String>,
    /// SHA-256 of the certificate, hexadecimal.
    pub(crate) fingerprint: String,
    pub(crate) until: Timestamp,
}

/// The private key for service account tokens in `dir`, PKCS#8 PEM; made when it is missing.
pub(crate) fn token_key(dir: &Path) -> Result<String, PkiError> {
    file::ensure_dir(dir)?;
    let path = dir.join("sa.key");
    if let Some(pem) = file::read(&path)? {
        return Ok(pem);
    }
    let pem = rcgen::KeyPair::generate().map_err(PkiError::Issue)?.serialize_pem();
    file::write(&path, &pem)?;
    Ok(pem)
}

/// The key material of one engine. Cheap to clone; clones share renewals.
#[derive(Clone)]
pub struct Pki(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    authority: Authority,
    sans: Vec<String>,
    provider: Arc<CryptoProvider>,
    leaves: RwLock<Leaves>,
    renewals: tokio::sync::watch::Sender<u64>,
}

struct Leaves {
    server: KeyedCertificate,
    server_tls: Arc<CertifiedKey>,
    admin: KeyedCertificate,
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki").field("dir", &self.0.dir).field("sans", &self.0.sans).finish_non_exhaustive()
    }
}

impl Pki {
    /// Reads the key material in `dir`, making what is missing, expired, about to expire or for other names.
    ///
    /// `sans` are the names and addresses clients use, besides the standing ones (localhost, `kubernetes.default.svc`, …).
    pub fn load_or_create(dir: &Path, sans: &[String]) -> Result<Self, PkiError> {
        Self::load_or_create_at(dir, sans, Timestamp::now())
    }

    /// As [`Pki::load_or_create`], as if it were `now`.
    pub fn load_or_create_at(dir: &Path, sans: &[String], now: Timestamp) -> Result<Self, PkiError> {
        file::ensure_dir(dir)?;
        let mut all: Vec<String> = STANDING_SANS.iter().map(|s| (*s).to_owned()).collect();
        all.extend(sans.iter().filter(|s| !s.is_empty()).cloned());
        all.sort();
        all.dedup();
        let authority = load_or_create_authority(dir, now)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let leaves = Leaves::load_or_issue(dir, &authority, &all, &provider, now)?;
        let (renewals, _) = tokio::sync::watch::channel(0);
        Ok(Self(Arc::new(Inner {
            dir: dir.to_owned(),
            authority,
            sans: all,
            provider,
            leaves: RwLock::new(leaves),
            renewals,
        })))
    }

    /// Replaces leaves that are due at `now`. True when something was replaced.
    pub fn renew_if_due(&self, now: Timestamp) -> Result<bool, PkiError> {
        if self.seconds_until_renewal(now) > 0 {
            return Ok(false);
        }
        let inner = &self.0;
        let fresh = Leaves::load_or_issue(&inner.dir, &inner.authority, &inner.sans, &inner.provider, now)?;
        *inner.leaves.write() = fresh;
        inner.renewals.send_modify(|n| *n += 1);
        Ok(true)
    }

    /// Seconds until the next leaf is due; zero: now.
    pub fn seconds_until_renewal(&self, now: Timestamp) -> u64 {
        let leaves = self.0.leaves.read();
        [&leaves.server, &leaves.admin]
            .into_iter()
            .map(|leaf| leaf::seconds_until_renewal(&leaf.certificate, now).unwrap_or(0))
            .min()
            .and_then(|s| u64::try_from(s).ok())
            .unwrap_or(0)
    }

    /// Changes after each renewal: whoever wrote a kubeconfig writes it again.
    pub fn renewals(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.renewals.subscribe()
    }

    /// The authority's certificate, PEM.
    pub fn ca_certificate(&self) -> &str {
        &self.0.authority.pem
    }

    /// A client certificate for `user` in `groups`, signed by this authority and valid for a year.
    pub fn issue_client(&self, user: &str, groups: &[&str]) -> Result<KeyedCertificate, PkiError> {
        self.0.authority.issue(&Purpose::Client { user, groups }, Timestamp::now())
    }

    /// A certificate for a request from outside, PEM; `seconds` are cut to what the authority gives.
    pub(crate) fn fulfil(
        &self,
        request: &Request,
        usages: Usages,
        seconds: i64,
        now: Timestamp,
    ) -> Result<String, PkiError> {
        self.0.authority.fulfil(request, usages, seconds, now)
    }

    /// A kubeconfig for the administrator with everything embedded; `server` is a URL such as `https://127.0.0.1:6443`.
    pub fn admin_kubeconfig(&self, server: &str) -> String {
        let admin = self.0.leaves.read().admin.clone();
        self.kubeconfig(server, ADMIN_USER, &admin)
    }

    /// A kubeconfig for any client certificate of this authority.
    pub fn kubeconfig(&self, server: &str, user: &str, client: &KeyedCertificate) -> String {
        let ca = STANDARD.encode(self.ca_certificate());
        let certificate = STANDARD.encode(&client.certificate);
        let key = STANDARD.encode(&client.key);
        // JSON strings are YAML strings, so names with special characters stay safe.
        let [server, user] = [server, user].map(|s| serde_json::Value::from(s).to_string());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: konzert\nclusters:\n- name: konzert\n  cluster:\n    \
             server: {server}\n    certificate-authority-data: {ca}\nusers:\n- name: {user}\n  user:\n    \
             client-certificate-data: {certificate}\n    client-key-data: {key}\ncontexts:\n- name: konzert\n  \
             context:\n    cluster: konzert\n    user: {user}\n    namespace: default\n"
        )
    }

    /// A TLS server configuration: our certificate, client certificates asked for but not required, HTTP/2 and 1.1.
    pub(crate) fn server_config(&self) -> Result<ServerConfig, PkiError> {
        let verifier = self.client_verifier()?;
        let mut config = ServerConfig::builder_with_provider(self.0.provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(PkiError::Tls)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Resolver(self.clone())));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    fn client_verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, PkiError> {
        let ca = leaf::der(self.ca_certificate()).ok_or(PkiError::Pem { what: "authority certificate" })?;
        let mut roots = RootCertStore::empty();
        roots.add(ca).map_err(PkiError::Tls)?;
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.0.provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(PkiError::Verifier)
    }
}

/// Answers each handshake with the newest certificate.
struct Resolver(Pki);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.0.leaves.read().server_tls.clone())
    }
}

impl Leaves {
    fn load_or_issue(
        dir: &Path,
        authority: &Authority,
        sans: &[String],
        provider: &CryptoProvider,
        now: Timestamp,
    ) -> Result<Self, PkiError> {
        let server = load_or_issue(dir, "server", authority, &Purpose::Server(sans), now)?;
        let admin_purpose = Purpose::Client { user: ADMIN_USER, groups: ADMIN_GROUPS };
        let admin = load_or_issue(dir, "admin", authority, &admin_purpose, now)?;
        let server_tls = Arc::new(certified_key(&server, provider)?);
        Ok(Self { server, server_tls, admin })
    }
}

fn certified_key(leaf: &KeyedCertificate, provider: &CryptoProvider) -> Result<CertifiedKey, PkiError> {
    let certificate = leaf::der(&leaf.certificate).ok_or(PkiError::Pem { what: "certificate" })?;
    let key: PrivateKeyDer<'static> = rustls_pemfile::private_key(&mut leaf.key.as_bytes())
        .ok()
        .flatten()
        .ok_or(PkiError::Pem { what: "private key" })?;
    CertifiedKey::from_der(vec![certificate], key, provider).map_err(PkiError::Tls)
}

fn load_or_create_authority(dir: &Path, now: Timestamp) -> Result<Authority, PkiError> {
    let (certificate_path, key_path) = (dir.join("ca.crt"), dir.join("ca.key"));
    if let Some(pem) = file::read(&certificate_path)? {
        let key = file::read(&key_path)?.ok_or(PkiError::HalfAPair { path: certificate_path.clone() })?;
        if !leaf::expired(&pem, now) {
            return Authority::parse(pem, &key);
        }
        tracing::warn!(path = %certificate_path.display(), "the certificate authority has expired; making a new one");
    }
    let (authority, key) = Authority::generate(now)?;
    // The key first: a crash in between leaves a key without certificate, which the next start replaces.
    file::write(&key_path, &key)?;
    file::write(&certificate_path, &authority.pem)?;
    Ok(authority)
}

fn load_or_issue(
    dir: &Path,
    name: &str,
    authority: &Authority,
    purpose: &Purpose<'_>,
    now: Timestamp,
) -> Result<KeyedCertificate, PkiError> {
    let (certificate_path, key_path) = (dir.join(format!("{name}.crt")), dir.join(format!("{name}.key")));
    if let (Some(certificate), Some(key)) = (file::read(&certificate_path)?, file::read(&key_path)?) {
        let stored = KeyedCertificate { certificate, key };
        if leaf::still_serves(&stored, &authority.pem, purpose, now) && pair_matches(&stored) {
            return Ok(stored);
        }
    }
    let fresh = authority.issue(purpose, now)?;
    file::write(&key_path, &fresh.key)?;
    file::write(&certificate_path, &fresh.certificate)?;
    Ok(fresh)
}

/// A crash between the two writes leaves a new key beside an old certificate; such a pair is not used.
fn pair_matches(leaf: &KeyedCertificate) -> bool {
    let provider = rustls::crypto::ring::default_provider();
    certified_key(leaf, &provider).is_ok_and(|pair| pair.keys_match().is_ok())
}

#[cfg(test)]
mod tests;
