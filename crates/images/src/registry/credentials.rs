//! Who one is, by registry: the `auths` of `~/.docker/config.json`, of `$REGISTRY_AUTH_FILE` and of Secrets.
//!
//! Reads no files and runs no helper programs; it knows when a helper would be asked. Invariant: nothing secret is in what `Debug` shows.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::error::Known;
use crate::ids::DOCKER_HUB;

/// Some tools write padding, some do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Names of Docker Hub in such files.
const HUB_NAMES: [&str; 3] = [DOCKER_HUB, "index.docker.io", "registry-1.docker.io"];

/// What proves who one is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// Name and password.
    Basic {
        /// Name.
        username: String,
        /// Password or access token.
        password: String,
    },
    /// A token that the token service exchanges (`identitytoken`).
    Identity(String),
    /// A token for the registry itself (`registrytoken`).
    Bearer(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic { .. } => "Basic(…)",
            Self::Identity(_) => "Identity(…)",
            Self::Bearer(_) => "Bearer(…)",
        })
    }
}

/// Credentials by registry. The most exact entry wins; among equals, the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// By host, or host and beginning of the repository; `*` stands for a part of a host's label.
    entries: Vec<(String, Credential)>,
    /// Registries whose credentials a helper has.
    helpers: Vec<String>,
    /// A helper may have those of any registry.
    store: bool,
}

/// A file of credentials that is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// Not the JSON it should be. The source is not kept: it could show a secret.
    #[error("not a Docker configuration: line {line}, column {column}")]
    Malformed {
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// An entry without a name and a password.
    #[error("the credentials for {registry:?} are not a name and a password in base64")]
    Entry {
        /// Whose.
        registry: String,
    },
}

#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: Option<BTreeMap<String, Entry>>,
    #[serde(default, rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Credentials {
    /// Reads a Docker configuration file, or the `.dockerconfigjson` of a Secret.
    pub fn from_docker_config(bytes: &[u8]) -> Result<Self, CredentialsError> {
        let config: DockerConfig = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
        let mut read = Self::of(config.auths.unwrap_or_default())?;
        read.helpers = config.helpers.unwrap_or_default().into_keys().map(|key| plain_key(&key)).collect();
        read.store = config.store.is_some_and(|store| !store.is_empty());
        Ok(read)
    }

    /// Reads the `.dockercfg` of an old Secret: `auths` without the word.
    pub fn from_dockercfg(bytes: &[u8]) -> Result<Self, CredentialsError> {
        Self::of(serde_json::from_slice(bytes).map_err(|error| malformed(&error))?)
    }

    /// Adds more; what is here already goes before.
    pub fn extend(&mut self, more: Self) {
        self.entries.extend(more.entries);
        self.helpers.extend(more.helpers);
        self.store |= more.store;
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn of(auths: BTreeMap<String, Entry>) -> Result<Self, CredentialsError> {
        let mut read = Self::default();
        for (registry, entry) in auths {
            // With a credential store, the entries are there and empty.
            if let Some(credential) = entry.credential(&registry)? {
                read.entries.push((plain_key(&registry), credential));
            }
        }
        Ok(read)
    }

    /// What is for this repository.
    pub(super) fn find(&self, host: &str, repository: &str) -> Option<&Credential> {
        let mut best: Option<(&String, &Credential)> = None;
        for (key, credential) in &self.entries {
            let rank = |key: &str| (!key.contains('*'), key.len());
            let better = best.is_none_or(|(known, _)| rank(key) > rank(known));
            if better && matches(key, host, repository) {
                best = Some((key, credential));
            }
        }
        best.map(|(_, credential)| credential)
    }

    /// What is known of credentials for this repository.
    pub(super) fn known(&self, host: &str, repository: &str) -> Known {
        if self.find(host, repository).is_some() {
            return Known::Credentials;
        }
        let helper = self.store || self.helpers.iter().any(|key| matches(key, host, repository));
        if helper { Known::Helper } else { Known::None }
    }
}

impl Entry {
    fn credential(self, registry: &str) -> Result<Option<Credential>, CredentialsError> {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = filled(self.identitytoken) {
            return Ok(Some(Credential::Identity(token)));
        }
        if let Some(token) = filled(self.registrytoken) {
            return Ok(Some(Credential::Bearer(token)));
        }
        if let Some(username) = filled(self.username) {
            return Ok(Some(Credential::Basic { username, password: self.password.unwrap_or_default() }));
        }
        let Some(auth) = filled(self.auth) else { return Ok(None) };
        let wrong = || CredentialsError::Entry { registry: crate::ids::shown(registry) };
        let pair = BASE64.decode(auth.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = pair.ok_or_else(wrong)?;
        let (username, password) = pair.split_once(':').ok_or_else(wrong)?;
        let password = password.trim_end_matches('\0').to_owned();
        Ok(Some(Credential::Basic { username: username.to_owned(), password }))
    }
}

fn malformed(error: &serde_json::Error) -> CredentialsError {
    CredentialsError::Malformed { line: error.line(), column: error.column() }
}

/// `https://index.docker.io/v1/` and the like as host and path.
fn plain_key(key: &str) -> String {
    let key = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let key = key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(key);
    match key.split_once('/') {
        Some((host, path)) => format!("{}/{path}", host.to_ascii_lowercase()),
        None => key.to_ascii_lowercase(),
    }
}

fn matches(key: &str, host: &str, repository: &str) -> bool {
    let (pattern, path) = key.split_once('/').unwrap_or((key, ""));
    let same_host = if host == DOCKER_HUB {
        HUB_NAMES.contains(&pattern)
    } else {
        host_matches(pattern, &host.to_ascii_lowercase())
    };
    let below = |rest: &str| rest.is_empty() || rest.starts_with('/');
    same_host && (path.is_empty() || repository.strip_prefix(path).is_some_and(below))
}

/// As Kubernetes does it: label by label, `*` within a label.
fn host_matches(pattern: &str, host: &str) -> bool {
    let (patterns, labels): (Vec<&str>, Vec<&str>) =
        (pattern.split('.').collect(), host.split('.').collect());
    patterns.len() == labels.len() && patterns.iter().zip(labels).all(|(p, l)| label_matches(p, l))
}

fn label_matches(pattern: &str, label: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == label };
    // One star is what people write; a second one stands for nothing.
    label.strip_prefix(before).is_some_and(|rest| rest.ends_with(&after.replace('*', "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Credential {
        Credential::Basic { username: username.to_owned(), password: password.to_owned() }
    }

    #[test]
    fn the_most_exact_entry_wins() {
        let file = br#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "quay.io": {"username": "q", "password": "1"},
            "quay.io/team": {"auth": "dGVhbTpwOnc"},
            "*.corp.example": {"auth": "c3RhcjpwAAA="},
            "r.corp.example:5000": {"identitytoken": "id"},
            "empty.example": {}
        }, "credHelpers": {"gcr.io": "gcloud"}}"#;
        let read = Credentials::from_docker_config(file).expect("a file");
        let rows = [
            ("docker.io", "library/nginx", Some(basic("hub", "pw"))),
            ("quay.io", "other/app", Some(basic("q", "1"))),
            ("quay.io", "team/app", Some(basic("team", "p:w"))),
            ("quay.io", "teams/app", Some(basic("q", "1"))),
            ("a.corp.example", "x", Some(basic("star", "p"))),
            ("a.b.corp.example", "x", None),
            ("r.corp.example:5000", "x", Some(Credential::Identity("id".to_owned()))),
            ("empty.example", "x", None),
            ("evilquay.io", "x", None),
        ];
        for (host, repository, want) in rows {
            assert_eq!(read.find(host, repository), want.as_ref(), "{host}/{repository}");
        }
        assert_eq!(read.known("gcr.io", "x"), Known::Helper);
        assert_eq!(read.known("ghcr.io", "x"), Known::None);
        let stored = Credentials::from_docker_config(br#"{"credsStore": "desktop"}"#).expect("a file");
        assert_eq!(stored.known("ghcr.io", "x"), Known::Helper);
        assert!(!format!("{read:?}").contains("pw"), "{read:?}");
    }

    #[test]
    fn wrong_files_are_told_without_their_secrets() {
        for (file, want) in [
            ("{", "line 1"),
            (r#"{"auths": {"a": {"auth": "c2VjcmV0"}}}"#, "\"a\""),
            (r#"{"auths": {"a": {"auth": "%%secret"}}}"#, "\"a\""),
            (r#"{"auths": {"a": {"auth": 7}}}"#, "line 1"),
        ] {
            let error = Credentials::from_docker_config(file.as_bytes()).expect_err(file).to_string();
            assert!(error.contains(want) && !error.contains("secret"), "{error}");
        }
        let old = Credentials::from_dockercfg(br#"{"r.example": {"auth": "dTpw"}}"#).expect("a file");
        assert_eq!(old.find("r.example", "x"), Some(&basic("u", "p")));
    }
}
