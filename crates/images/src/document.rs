//! Manifests, indexes and configurations (OCI image specification 1.1; Docker image manifest version 2, schema 2).
//!
//! Parses and writes documents; reads no files. Invariant: documents written here are canonical, with sorted keys and no
//! spaces, so that the same content has the same digest on every machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use crate::error::ImageError;
use crate::ids::{ImageDigest, LayerDiffId, shown};
use crate::limits;
use crate::record::{ImageConfig, ImageRecord, LayerRef, Platform};
use crate::staging::digest_of;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
pub(crate) const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

const CONFIG_TYPES: [&str; 2] = [OCI_CONFIG, "application/vnd.docker.container.image.v1+json"];
const LAYER_TYPES: [&str; 9] = [
    OCI_LAYER_TAR,
    OCI_LAYER_GZIP,
    OCI_LAYER_ZSTD,
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
];

/// A pointer to content (OCI descriptor).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Descriptor {
    #[serde(rename = "mediaType", default)]
    pub(crate) media_type: String,
    pub(crate) digest: ImageDigest,
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) platform: Option<PlatformDoc>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// `platform` of a descriptor.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct PlatformDoc {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

impl PlatformDoc {
    /// `None` when it says nothing, as some tools write.
    pub(crate) fn platform(&self) -> Option<Platform> {
        platform(&self.os, &self.architecture, self.variant.as_ref())
    }
}

fn platform(os: &str, architecture: &str, variant: Option<&String>) -> Option<Platform> {
    if os.is_empty() && architecture.is_empty() {
        return None;
    }
    let variant = variant.filter(|v| !v.is_empty()).map(|v| shown(v));
    Some(Platform { os: shown(os), architecture: shown(architecture), variant })
}

/// An image manifest.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    #[serde(rename = "mediaType", default)]
    pub(crate) media_type: String,
    pub(crate) config: Descriptor,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Tests media types and the number of layers.
    pub(crate) fn check(&self, what: &str) -> Result<(), ImageError> {
        let unsupported = |what: String, media_type: &str| ImageError::UnsupportedMediaType {
            what,
            media_type: shown(media_type),
        };
        if !matches!(self.media_type.as_str(), "" | OCI_MANIFEST | DOCKER_MANIFEST) {
            return Err(unsupported(what.to_owned(), &self.media_type));
        }
        if !CONFIG_TYPES.contains(&self.config.media_type.as_str()) {
            return Err(unsupported(format!("the configuration of {what}"), &self.config.media_type));
        }
        if self.layers.len() > limits::MAX_LAYERS {
            let limit = limits::MAX_LAYERS as u64;
            return Err(ImageError::TooLarge { what: what.to_owned(), limit, unit: "layers" });
        }
        match self.layers.iter().find(|l| !LAYER_TYPES.contains(&l.media_type.as_str())) {
            Some(layer) => Err(unsupported(format!("layer {}", layer.digest), &layer.media_type)),
            None => Ok(()),
        }
    }
}

/// An image index, or the `index.json` of a layout.
#[derive(Debug, Deserialize)]
pub(crate) struct ImageIndex {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) manifests: Vec<Descriptor>,
}

/// What a descriptor in an index leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ManifestKind {
    Image,
    Index,
}

/// By media type; `None` for content that is no image.
pub(crate) fn manifest_kind(media_type: &str) -> Option<ManifestKind> {
    match media_type {
        OCI_MANIFEST | DOCKER_MANIFEST => Some(ManifestKind::Image),
        OCI_INDEX | DOCKER_LIST => Some(ManifestKind::Index),
        _ => None,
    }
}

/// An image configuration: what this crate reads of it.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigDocument {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default)]
    created: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    config: ConfigSection,
    pub(crate) rootfs: RootFs,
}

/// `rootfs` of a configuration.
#[derive(Debug, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) diff_ids: Vec<LayerDiffId>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ConfigSection {
    #[serde(deserialize_with = "or_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    working_dir: String,
    #[serde(deserialize_with = "or_default")]
    user: String,
    #[serde(deserialize_with = "or_default")]
    stop_signal: String,
    #[serde(deserialize_with = "or_default")]
    exposed_ports: BTreeMap<String, Value>,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
}

/// `null` where Go programs write an empty value.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

impl ConfigDocument {
    /// `None` when the configuration does not say.
    pub(crate) fn platform(&self) -> Option<Platform> {
        platform(&self.os, &self.architecture, self.variant.as_ref())
    }

    /// When it was built, where that is a time.
    fn created(&self) -> Option<jiff::Timestamp> {
        self.created.as_ref().and_then(|text| text.parse().ok())
    }

    fn image_config(self) -> ImageConfig {
        let config = self.config;
        ImageConfig {
            env: config.env,
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            working_dir: config.working_dir,
            user: config.user,
            stop_signal: (!config.stop_signal.is_empty()).then_some(config.stop_signal),
            exposed_ports: config.exposed_ports.into_keys().collect(),
            labels: config.labels,
        }
    }
}

/// The parts of which a record is made.
pub(crate) struct RecordParts<'a> {
    pub(crate) manifest_bytes: &'a [u8],
    pub(crate) manifest: &'a Manifest,
    pub(crate) config: ConfigDocument,
    pub(crate) host: &'a Platform,
    pub(crate) loaded_at: jiff::Timestamp,
}

/// The record of an image without names; fails when layers and diff ids do not match in number.
pub(crate) fn record(parts: RecordParts<'_>) -> Result<ImageRecord, ImageError> {
    let RecordParts { manifest_bytes, manifest, config, host, loaded_at } = parts;
    let digest = digest_of(manifest_bytes);
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        let (ids, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        let reason = format!("its configuration has {ids} diff ids for {layers} layers");
        return Err(ImageError::Malformed { what: format!("image {digest}"), reason });
    }
    let layers: Vec<LayerRef> = manifest
        .layers
        .iter()
        .zip(&config.rootfs.diff_ids)
        .map(|(layer, diff_id)| LayerRef {
            diff_id: diff_id.clone(),
            blob_digest: layer.digest.clone(),
            media_type: layer.media_type.clone(),
            size: layer.size,
        })
        .collect();
    let blobs = layers.iter().fold(manifest.config.size, |sum, layer| sum.saturating_add(layer.size));
    Ok(ImageRecord {
        names: Vec::new(),
        index_digests: Vec::new(),
        config_digest: manifest.config.digest.clone(),
        platform: config.platform().unwrap_or_else(|| host.clone()),
        created: config.created(),
        config: config.image_config(),
        layers,
        annotations: manifest.annotations.clone(),
        loaded_at,
        size: blobs.saturating_add(manifest_bytes.len() as u64),
        digest,
    })
}

/// Parses JSON; nesting is bounded by the parser.
pub(crate) fn parse<T: for<'de> Deserialize<'de>>(
    bytes: &[u8],
    what: impl FnOnce() -> String,
) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::MalformedJson { what: what(), source })
}

/// The OCI name of a layer media type, for layers of a Docker manifest that go into an OCI manifest.
pub(crate) fn oci_layer_type(media_type: &str) -> &str {
    match media_type {
        "application/vnd.docker.image.rootfs.diff.tar" => OCI_LAYER_TAR,
        "application/vnd.docker.image.rootfs.diff.tar.gzip" => OCI_LAYER_GZIP,
        "application/vnd.docker.image.rootfs.diff.tar.zstd" => OCI_LAYER_ZSTD,
        other => other,
    }
}

/// A descriptor as JSON.
pub(crate) fn descriptor(media_type: &str, digest: &ImageDigest, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest.as_str(), "size": size})
}

/// A manifest as JSON.
pub(crate) fn manifest(config: &Value, layers: &[Value], annotations: &BTreeMap<String, String>) -> Value {
    let mut manifest =
        json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
    if !annotations.is_empty() {
        manifest["annotations"] = json!(annotations);
    }
    manifest
}

/// The bytes of a document, with sorted keys whatever the map type of the JSON library is.
pub(crate) fn canonical(value: &Value) -> Vec<u8> {
    sorted(value).to_string().into_bytes()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let by_key: BTreeMap<&String, &Value> = map.iter().collect();
            Value::Object(by_key.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        scalar => scalar.clone(),
    }
}
