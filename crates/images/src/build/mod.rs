//! Building images from files, deterministically.
//!
//! Runs nothing and knows no Dockerfile. Invariant: the image depends only on what the builder was told and on the
//! content of the files it was pointed at, never on the time, the order of calls within a layer, or this machine.

mod layer;

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Map, Value, json};

use crate::document::{self, ConfigDocument, Manifest, RecordParts};
use crate::error::ImageError;
use crate::ids::{LayerDiffId, Reference};
use crate::record::{ImageRecord, Platform};
use crate::staging::{HashingWriter, StagedBlob, Staging, digest_of};
use crate::store::{ContentStore, tagged_name};
use crate::tree::Tree;

pub use layer::{LayerBuilder, LayerCompression};

/// Annotation with the name of the base image (OCI image specification, annotations).
pub(crate) const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Annotation with the digest of the base image.
pub(crate) const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
const CREATED_BY: &str = "konzert image build";

/// An image in the making.
#[derive(Clone, Debug)]
pub struct ImageBuilder {
    base: Option<ImageRecord>,
    platform: Platform,
    created: jiff::Timestamp,
    layers: Vec<LayerBuilder>,
    env: Vec<(String, String)>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
    exposed_ports: Vec<String>,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

/// A layer written to the staging area.
struct BuiltLayer {
    diff_id: LayerDiffId,
    blob: StagedBlob,
    media_type: &'static str,
}

impl ImageBuilder {
    /// An image without a base, for this machine's platform.
    pub fn from_scratch() -> Self {
        Self {
            base: None,
            platform: Platform::host(),
            created: jiff::Timestamp::UNIX_EPOCH,
            layers: Vec::new(),
            env: Vec::new(),
            entrypoint: None,
            cmd: None,
            working_dir: None,
            user: None,
            stop_signal: None,
            exposed_ports: Vec::new(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
        }
    }

    /// An image on top of another of the same store: its layers and configuration, and annotations that name it.
    pub fn from_image(base: &ImageRecord) -> Self {
        let mut builder = Self::from_scratch();
        builder.platform = base.platform.clone();
        builder.base = Some(base.clone());
        builder.annotations.insert(BASE_DIGEST.to_owned(), base.digest.to_string());
        if let Some(name) = base.names.first() {
            builder.annotations.insert(BASE_NAME.to_owned(), name.clone());
        }
        builder
    }

    /// Puts a layer on top.
    #[must_use]
    pub fn add_layer(mut self, layer: LayerBuilder) -> Self {
        self.layers.push(layer);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets the entrypoint.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the default arguments.
    #[must_use]
    pub fn cmd<S: Into<String>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.cmd = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn working_dir(mut self, dir: impl Into<String>) -> Self {
        self.working_dir = Some(dir.into());
        self
    }

    /// Sets the user, `user`, `uid`, `user:group` or `uid:gid`.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Sets the stop signal.
    #[must_use]
    pub fn stop_signal(mut self, signal: impl Into<String>) -> Self {
        self.stop_signal = Some(signal.into());
        self
    }

    /// Adds an exposed port, `8080/tcp`.
    #[must_use]
    pub fn expose(mut self, port: impl Into<String>) -> Self {
        self.exposed_ports.push(port.into());
        self
    }

    /// Sets a label.
    #[must_use]
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(key.into(), value.into());
        self
    }

    /// Sets an annotation of the manifest.
    #[must_use]
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.annotations.insert(key.into(), value.into());
        self
    }

    /// Sets the platform; that of the base or of this machine otherwise.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// Sets the time of building that the image notes; the epoch otherwise.
    #[must_use]
    pub fn created(mut self, created: jiff::Timestamp) -> Self {
        self.created = created;
        self
    }

    /// Writes the image into the store under a name.
    pub fn commit(self, store: &ContentStore, name: &Reference) -> Result<ImageRecord, ImageError> {
        let tagged = tagged_name(name)?;
        let mut staging = Staging::new(&store.disk)?;
        let base_tree = match &self.base {
            Some(base) if !self.layers.is_empty() => store.tree(&base.layers)?,
            _ => Tree::default(),
        };
        let mut built = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            built.push(write_layer(layer, &base_tree, &mut staging)?);
        }
        let (base_config, base_layers) = self.base_documents(store)?;
        let config = document::canonical(&self.config(base_config, &built));
        let config_blob = staging.put(&config)?;
        let new_layers =
            built.iter().map(|l| document::descriptor(l.media_type, &l.blob.digest, l.blob.size));
        let layers: Vec<Value> = base_layers.into_iter().chain(new_layers).collect();
        let mut blobs: Vec<StagedBlob> = built.into_iter().map(|l| l.blob).collect();
        let manifest = manifest_bytes(&config_blob, &layers, &self.annotations);
        let manifest_blob = staging.put(&manifest)?;
        let mut record = record_of(store, &manifest, &config)?;
        record.names = vec![tagged];
        blobs.extend([config_blob, manifest_blob]);
        let digest = record.digest.clone();
        store.commit(&blobs, vec![record])?;
        store.required(&digest)
    }

    fn base_documents(&self, store: &ContentStore) -> Result<(Value, Vec<Value>), ImageError> {
        let Some(base) = &self.base else { return Ok((json!({}), Vec::new())) };
        Ok((store.read_json(&base.config_digest)?, layer_descriptors(&store.read_json(&base.digest)?)))
    }

    fn config(&self, mut document: Value, built: &[BuiltLayer]) -> Value {
        let created = json!(self.created.to_string());
        let base_ids = document["rootfs"]["diff_ids"].as_array().cloned().unwrap_or_default();
        let new_ids = built.iter().map(|l| json!(l.diff_id.as_str()));
        let ids: Vec<Value> = base_ids.into_iter().chain(new_ids).collect();
        let base_history = document["history"].as_array().cloned().unwrap_or_default();
        let entry = json!({"created": created, "created_by": CREATED_BY});
        let history: Vec<Value> =
            base_history.into_iter().chain(built.iter().map(|_| entry.clone())).collect();
        document["architecture"] = json!(self.platform.architecture);
        document["os"] = json!(self.platform.os);
        if let Some(variant) = &self.platform.variant {
            document["variant"] = json!(variant);
        }
        document["created"] = created;
        document["rootfs"] = json!({"type": "layers", "diff_ids": ids});
        document["history"] = json!(history);
        let section = self.section(document["config"].as_object().cloned().unwrap_or_default());
        document["config"] = Value::Object(section);
        document
    }

    /// The `config` section: that of the base with what the builder was told.
    fn section(&self, mut section: Map<String, Value>) -> Map<String, Value> {
        let strings = |value: Option<&Value>| -> Vec<String> {
            let items = value.and_then(Value::as_array).into_iter().flatten();
            items.filter_map(|v| v.as_str().map(str::to_owned)).collect()
        };
        let mut env = strings(section.get("Env"));
        for (key, value) in &self.env {
            let line = format!("{key}={value}");
            let start = format!("{key}=");
            match env.iter_mut().find(|known| known.starts_with(&start)) {
                Some(known) => *known = line,
                None => env.push(line),
            }
        }
        let mut set = |key: &str, value: Option<Value>| {
            if let Some(value) = value {
                section.insert(key.to_owned(), value);
            }
        };
        set("Env", (!env.is_empty()).then(|| json!(env)));
        set("Entrypoint", self.entrypoint.as_ref().map(|v| json!(v)));
        set("Cmd", self.cmd.as_ref().map(|v| json!(v)));
        set("WorkingDir", self.working_dir.as_ref().map(|v| json!(v)));
        set("User", self.user.as_ref().map(|v| json!(v)));
        set("StopSignal", self.stop_signal.as_ref().map(|v| json!(v)));
        let mut extend = |key: &str, items: Vec<(String, Value)>| {
            if !items.is_empty() {
                let mut map = section.get(key).and_then(Value::as_object).cloned().unwrap_or_default();
                map.extend(items);
                section.insert(key.to_owned(), Value::Object(map));
            }
        };
        extend("ExposedPorts", self.exposed_ports.iter().map(|p| (p.clone(), json!({}))).collect());
        extend("Labels", self.labels.iter().map(|(k, v)| (k.clone(), json!(v))).collect());
        section
    }
}

/// The layer descriptors of a stored manifest, in OCI media types.
pub(crate) fn layer_descriptors(manifest: &Value) -> Vec<Value> {
    let mut layers = manifest["layers"].as_array().cloned().unwrap_or_default();
    for layer in &mut layers {
        let media_type = layer["mediaType"].as_str().map(|t| document::oci_layer_type(t).to_owned());
        if let Some(media_type) = media_type {
            layer["mediaType"] = Value::String(media_type);
        }
    }
    layers
}

/// The bytes of a manifest for a staged configuration.
pub(crate) fn manifest_bytes(
    config: &StagedBlob,
    layers: &[Value],
    annotations: &BTreeMap<String, String>,
) -> Vec<u8> {
    let config = document::descriptor(document::OCI_CONFIG, &config.digest, config.size);
    document::canonical(&document::manifest(&config, layers, annotations))
}

/// The record of an image made here.
pub(crate) fn record_of(
    store: &ContentStore,
    manifest_bytes: &[u8],
    config: &[u8],
) -> Result<ImageRecord, ImageError> {
    let what = || format!("image {}", digest_of(manifest_bytes));
    let manifest: Manifest = document::parse(manifest_bytes, what)?;
    manifest.check(&what())?;
    let config: ConfigDocument = document::parse(config, what)?;
    let (host, loaded_at) = (&store.platform, jiff::Timestamp::now());
    document::record(RecordParts { manifest_bytes, manifest: &manifest, config, host, loaded_at })
}

fn write_layer(layer: &LayerBuilder, base: &Tree, staging: &mut Staging) -> Result<BuiltLayer, ImageError> {
    let mut writer = staging.create()?;
    let path = writer.path.clone();
    let error = |source| ImageError::Io { action: "write", path: path.clone(), source };
    match layer.layer_compression() {
        LayerCompression::None => {
            layer.write(base, &mut writer.out, &path)?;
            let blob = writer.finish()?;
            let diff_id = LayerDiffId::parse(blob.digest.as_str())?;
            Ok(BuiltLayer { diff_id, blob, media_type: document::OCI_LAYER_TAR })
        }
        LayerCompression::Gzip => {
            // No name and no time in the gzip header: the same tar gives the same bytes.
            let gzip =
                flate2::GzBuilder::new().mtime(0).write(&mut writer.out, flate2::Compression::default());
            let mut tar = HashingWriter::new(gzip);
            layer.write(base, &mut tar, &path)?;
            tar.flush().map_err(error)?;
            let (gzip, digest, _) = tar.finish();
            gzip.finish().map_err(error)?;
            let diff_id = LayerDiffId::parse(digest.as_str())?;
            Ok(BuiltLayer { diff_id, blob: writer.finish()?, media_type: document::OCI_LAYER_GZIP })
        }
    }
}
