//! What the store knows of an image: the values callers see.
//!
//! Plain data; the documents they come from are in `document`, the place they are kept in is `index`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::ImageError;
use crate::ids::{ImageDigest, LayerDiffId, shown};

/// One image of the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// Digest of the manifest.
    pub digest: ImageDigest,
    /// Names in familiar form, `name:tag`, sorted; empty when the image is known by digest only.
    #[serde(default)]
    pub names: Vec<String>,
    /// Digests of the image indexes that led to this manifest; a reference by such a digest finds the image too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub index_digests: Vec<ImageDigest>,
    /// Digest of the configuration blob.
    pub config_digest: ImageDigest,
    /// How to run it.
    pub config: ImageConfig,
    /// What it runs on.
    pub platform: Platform,
    /// Layers, lowest first.
    pub layers: Vec<LayerRef>,
    /// Annotations of the manifest.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
    /// When the image says it was built.
    pub created: Option<jiff::Timestamp>,
    /// When it came into this store.
    pub loaded_at: jiff::Timestamp,
    /// Bytes of manifest, configuration and layers as stored.
    pub size: u64,
}

impl ImageRecord {
    /// The first name, or the digest of an image without names.
    pub fn display_name(&self) -> &str {
        self.names.first().map_or(self.digest.as_str(), String::as_str)
    }

    /// True when the layers of `base` are the lowest layers of this image and this image has more.
    pub fn is_built_on(&self, base: &Self) -> bool {
        base.layers.len() < self.layers.len() && self.starts_with_layers_of(base)
    }

    /// True when the layers of `base` are the lowest layers of this image, or all of them.
    pub fn starts_with_layers_of(&self, base: &Self) -> bool {
        base.layers.len() <= self.layers.len()
            && base.layers.iter().zip(&self.layers).all(|(a, b)| a.diff_id == b.diff_id)
    }
}

/// The part of an image configuration that a runtime needs (OCI image configuration, `config`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageConfig {
    /// `KEY=value`, in order.
    pub env: Vec<String>,
    /// Entrypoint; empty when none.
    pub entrypoint: Vec<String>,
    /// Default arguments; empty when none.
    pub cmd: Vec<String>,
    /// Working directory; empty means `/`.
    pub working_dir: String,
    /// `user`, `uid`, `user:group`, `uid:gid`; empty means root.
    pub user: String,
    /// Stop signal as the image writes it (`SIGTERM`, `15`).
    pub stop_signal: Option<String>,
    /// `80/tcp`, sorted.
    pub exposed_ports: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerRef {
    /// Digest of the uncompressed tar.
    pub diff_id: LayerDiffId,
    /// Digest of the blob as stored.
    pub blob_digest: ImageDigest,
    /// Media type of the blob.
    pub media_type: String,
    /// Bytes of the blob.
    pub size: u64,
}

/// Operating system and architecture in the words of the OCI image specification (`linux`, `amd64`, `arm64`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// Operating system.
    pub os: String,
    /// Architecture.
    pub architecture: String,
    /// Variant (`v7`, `v8`), when the image names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

impl Platform {
    /// The platform of this machine.
    pub fn host() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: None }
    }

    /// True when an image for `self` runs on `host`: same system and architecture; a variant that the host does not
    /// name is accepted.
    pub fn runs_on(&self, host: &Self) -> bool {
        self.os == host.os
            && self.architecture == host.architecture
            && (host.variant.is_none() || self.variant.is_none() || self.variant == host.variant)
    }
}

impl FromStr for Platform {
    type Err = ImageError;
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let plain = |part: &&str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(ImageError::BadPlatform { text: shown(text) }),
        };
        if !parts.iter().all(plain) {
            return Err(ImageError::BadPlatform { text: shown(text) });
        }
        let variant = variant.map(str::to_owned);
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}
