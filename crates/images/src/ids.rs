//! Names of things: image digests, layer diff ids and image references.
//!
//! Does not look anything up. Invariants: a digest is `sha256:` and 64 lower-case hex digits; a reference is kept in
//! its familiar form, so that `docker.io/library/x`, `library/x` and `x` are one name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ImageError;

/// The registry of names that name none.
pub(crate) const DOCKER_HUB: &str = "docker.io";
const ALGORITHM: &str = "sha256:";
const MAX_NAME_BYTES: usize = 255;
const MAX_TAG_BYTES: usize = 128;

/// The digest of an image manifest, `sha256:<hex>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageDigest(String);

/// The digest of a layer's uncompressed tar, `sha256:<hex>` (OCI image configuration, `rootfs.diff_ids`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerDiffId(String);

/// True for 64 lower-case hex digits.
pub(crate) fn is_sha256_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn parse_digest(text: &str) -> Result<String, ImageError> {
    match text.strip_prefix(ALGORITHM) {
        Some(hex) if is_sha256_hex(hex) => Ok(text.to_owned()),
        _ => Err(ImageError::BadDigest { text: shown(text) }),
    }
}

/// Untrusted text, cut to a length that fits a message.
pub(crate) fn shown(text: &str) -> String {
    const MAX_CHARS: usize = 200;
    let clean: String =
        text.chars().take(MAX_CHARS).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MAX_CHARS).is_some() { format!("{clean}…") } else { clean }
}

macro_rules! digest_newtype {
    ($name:ident) => {
        impl $name {
            /// Parses `sha256:<hex>`.
            pub fn parse(text: &str) -> Result<Self, ImageError> {
                parse_digest(text).map(Self)
            }

            /// From the raw hash.
            pub(crate) fn from_hash(hash: [u8; 32]) -> Self {
                Self(format!("{ALGORITHM}{}", hex::encode(hash)))
            }

            /// The full text, `sha256:<hex>`.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The 64 hex digits alone.
            pub fn hex(&self) -> &str {
                &self.0[ALGORITHM.len()..]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ImageError;
            fn from_str(text: &str) -> Result<Self, ImageError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ImageError;
            fn try_from(text: String) -> Result<Self, ImageError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
    };
}

digest_newtype!(ImageDigest);
digest_newtype!(LayerDiffId);

/// An image reference: `name`, `name:tag`, `name@sha256:…` or `name:tag@sha256:…`.
///
/// Without tag and digest the tag is `latest`. `docker.io/library/` (and `library/` alone) is dropped, `docker.io/` too:
/// these are the same image to every user.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    /// Repository in familiar form, `nginx`, `team/app`, `registry.example:5000/app`.
    pub name: String,
    /// Tag; `None` only when a digest is given without one.
    pub tag: Option<String>,
    /// Digest; when present it decides, the tag is only a label.
    pub digest: Option<ImageDigest>,
}

impl Reference {
    /// Parses a reference as users write it.
    pub fn parse(text: &str) -> Result<Self, ImageError> {
        let bad = |reason: &'static str| ImageError::BadReference { text: shown(text), reason };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(ImageDigest::parse(digest)?)),
            None => (text, None),
        };
        // A colon is a tag only behind the last slash; before it, it is the port of a registry.
        let base = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[base..].rfind(':') {
            Some(colon) => (&rest[..base + colon], Some(&rest[base + colon + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(tag).map_err(bad)?;
        }
        let name = familiar(name);
        check_name(&name).map_err(bad)?;
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { name, tag, digest })
    }

    /// The registry's host, with a port when one is given, and the repository there (OCI distribution specification, `<name>`).
    pub(crate) fn location(&self) -> (&str, String) {
        match self.name.split_once('/') {
            Some((host, repository)) if is_registry(host) => (host, repository.to_owned()),
            Some(_) => (DOCKER_HUB, self.name.clone()),
            None => (DOCKER_HUB, format!("library/{}", self.name)),
        }
    }

    /// `name:tag`, the key under which a store knows the image; `None` for a reference by digest only.
    pub fn tagged_name(&self) -> Option<String> {
        self.tag.as_ref().map(|tag| format!("{}:{tag}", self.name))
    }
}

fn familiar(name: &str) -> String {
    let hub = name.strip_prefix("index.docker.io/").or_else(|| name.strip_prefix("docker.io/"));
    let name = match hub {
        // Without the prefix, this repository of Docker Hub would be one of another registry.
        Some(rest) if rest.split_once('/').is_some_and(|(first, _)| is_registry(first)) => {
            return format!("{DOCKER_HUB}/{rest}");
        }
        Some(rest) => rest,
        None => name,
    };
    match name.strip_prefix("library/") {
        Some(short) if !short.contains('/') => short.to_owned(),
        _ => name.to_owned(),
    }
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let bytes = tag.as_bytes();
    let first = bytes.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    let rest = bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'));
    if first && rest && bytes.len() <= MAX_TAG_BYTES {
        Ok(())
    } else {
        Err("its tag must be letters, digits, '_', '.', '-', at most 128")
    }
}

fn check_name(name: &str) -> Result<(), &'static str> {
    if name.len() > MAX_NAME_BYTES {
        return Err("its name is longer than 255 bytes");
    }
    let mut parts: Vec<&str> = name.split('/').collect();
    if parts.len() > 1 && is_registry(parts[0]) {
        parts.remove(0);
    }
    if parts.iter().all(|part| is_component(part)) {
        Ok(())
    } else {
        Err("its name must be lower-case letters and digits, with '.', '_' or '-' between them")
    }
}

/// A first component with a dot, a port, capital letters or `localhost` is a registry host.
fn is_registry(part: &str) -> bool {
    let hosty =
        part.contains(['.', ':']) || part == "localhost" || part.bytes().any(|b| b.is_ascii_uppercase());
    let (host, port) = part.split_once(':').unwrap_or((part, "0"));
    hosty
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
        && port.parse::<u16>().is_ok()
}

fn is_component(part: &str) -> bool {
    let bytes = part.as_bytes();
    let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'))
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = ImageError;
    fn from_str(text: &str) -> Result<Self, ImageError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Reference {
    type Error = ImageError;
    fn try_from(text: String) -> Result<Self, ImageError> {
        Self::parse(&text)
    }
}

impl From<Reference> for String {
    fn from(value: Reference) -> String {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_take_their_familiar_form() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, shown) in [
            ("nginx", "nginx:latest"),
            ("docker.io/library/nginx", "nginx:latest"),
            ("library/nginx:1", "nginx:1"),
            ("index.docker.io/team/app:v1.2", "team/app:v1.2"),
            ("localhost:5000/app", "localhost:5000/app:latest"),
            ("registry.example/a/b/c:x", "registry.example/a/b/c:x"),
            ("library/a/b", "library/a/b:latest"),
            ("docker.io/ghcr.io/app", "docker.io/ghcr.io/app:latest"),
        ] {
            assert_eq!(Reference::parse(text).expect(text).to_string(), shown);
        }
        let by_digest = Reference::parse(&format!("app@{digest}")).expect("digest");
        assert_eq!(by_digest.tag, None);
        assert_eq!(by_digest.tagged_name(), None);
        let both = Reference::parse(&format!("app:1@{digest}")).expect("both");
        assert_eq!(both.to_string(), format!("app:1@{digest}"));
    }

    #[test]
    fn names_lead_to_a_registry_and_a_repository() {
        for (text, host, repository) in [
            ("nginx", "docker.io", "library/nginx"),
            ("team/app", "docker.io", "team/app"),
            ("docker.io/library/nginx", "docker.io", "library/nginx"),
            ("docker.io/ghcr.io/app", "docker.io", "ghcr.io/app"),
            ("localhost/app", "localhost", "app"),
            ("localhost:5000/a/b", "localhost:5000", "a/b"),
            ("ghcr.io/team/app:1", "ghcr.io", "team/app"),
        ] {
            let reference = Reference::parse(text).expect(text);
            assert_eq!(reference.location(), (host, repository.to_owned()), "{text}");
        }
    }

    #[test]
    fn malformed_references_are_refused() {
        for text in [
            "",
            ":",
            "a:",
            "A",
            "a//b",
            "/a",
            "a/",
            "a:b/c",
            "a b",
            "a@sha256:12",
            "../a",
            "a:\u{7f}",
            "-a",
            "a@",
            "a:../x",
            "host:99999999/a",
        ] {
            assert!(Reference::parse(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn digests_are_lower_case_sha256() {
        assert!(ImageDigest::parse(&format!("sha256:{}", "0".repeat(64))).is_ok());
        for text in ["sha256:", "sha512:00", "sha256:zz", &format!("sha256:{}", "A".repeat(64))] {
            assert!(LayerDiffId::parse(text).is_err());
        }
    }
}
