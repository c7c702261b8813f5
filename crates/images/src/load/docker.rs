//! Archives of classic `docker save`: `manifest.json`, a configuration and a tar per layer.
//!
//! Such an archive has no manifest with a digest. One is written here, canonically, so that the same archive gives the
//! same image digest on every machine; layers are kept as they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use serde::Deserialize;

use super::{Documents as _, Found, Loader, valid_names};
use crate::compress::{self, Compression};
use crate::document::{self, ConfigDocument, Manifest, OCI_LAYER_GZIP, OCI_LAYER_TAR, OCI_LAYER_ZSTD};
use crate::error::ImageError;
use crate::ids::{ImageDigest, is_sha256_hex, shown};
use crate::limits;
use crate::staging::{StagedBlob, digest_of};

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SavedImage {
    pub(super) config: String,
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) layers: Option<Vec<String>>,
}

impl Loader<'_> {
    /// The images of `manifest.json` that run on this machine.
    pub(super) fn docker(&mut self, list: &[u8]) -> Result<Vec<Found>, ImageError> {
        let list = saved_images(list)?;
        let mut found: Vec<Found> = Vec::new();
        for saved in list {
            let Some(mut new) = self.saved_image(&saved)? else { continue };
            new.record.names = valid_names(saved.repo_tags.iter().flatten().map(String::as_str));
            match found.iter_mut().find(|f| f.record.digest == new.record.digest) {
                Some(same) => same.record.names.append(&mut new.record.names),
                None => found.push(new),
            }
        }
        Ok(found)
    }

    fn saved_image(&mut self, saved: &SavedImage) -> Result<Option<Found>, ImageError> {
        let layers = saved.layers()?;
        let config_bytes = self.source.document(&saved.config)?.ok_or_else(|| missing(&saved.config))?;
        let config_digest = digest_of(&config_bytes);
        check_config_name(&saved.config, &config_digest)?;
        let config: ConfigDocument = document::parse(&config_bytes, || shown(&saved.config))?;
        if !self.fits(config.platform()) {
            return Ok(None);
        }
        self.intake.keep_document(&config_bytes, &config_digest, config_bytes.len() as u64)?;
        let mut descriptors = Vec::with_capacity(layers.len());
        for path in layers {
            let staged = self.source.stage(path, &mut self.intake.staging)?.ok_or_else(|| missing(path))?;
            let digest = staged.digest.clone();
            let staged = self.intake.keep(staged, &digest, None)?;
            descriptors.push(document::descriptor(layer_type(&staged)?, &digest, staged.size));
        }
        let config_size = config_bytes.len() as u64;
        let manifest_bytes = manifest_of(&config_digest, config_size, &descriptors);
        let manifest: Manifest = document::parse(&manifest_bytes, || shown(&saved.config))?;
        let manifest_digest = digest_of(&manifest_bytes);
        self.intake.keep_document(&manifest_bytes, &manifest_digest, manifest_bytes.len() as u64)?;
        let record = self.intake.finish(&manifest_bytes, &manifest, config)?;
        Ok(Some(Found { record }))
    }
}

/// The list in `manifest.json`.
pub(super) fn saved_images(list: &[u8]) -> Result<Vec<SavedImage>, ImageError> {
    let list: Vec<SavedImage> = document::parse(list, || "manifest.json".to_owned())?;
    if list.len() > limits::MAX_ARCHIVE_IMAGES {
        let limit = limits::MAX_ARCHIVE_IMAGES as u64;
        return Err(ImageError::TooLarge { what: "manifest.json".to_owned(), limit, unit: "images" });
    }
    Ok(list)
}

impl SavedImage {
    /// The files of its layers, lowest first.
    pub(super) fn layers(&self) -> Result<&[String], ImageError> {
        let layers = self.layers.as_deref().unwrap_or_default();
        if layers.len() > limits::MAX_LAYERS {
            let limit = limits::MAX_LAYERS as u64;
            return Err(ImageError::TooLarge { what: shown(&self.config), limit, unit: "layers" });
        }
        Ok(layers)
    }
}

/// The manifest such an image gets.
pub(super) fn manifest_of(config: &ImageDigest, config_size: u64, layers: &[serde_json::Value]) -> Vec<u8> {
    let config = document::descriptor(document::OCI_CONFIG, config, config_size);
    document::canonical(&document::manifest(&config, layers, &BTreeMap::new()))
}

/// A file that `manifest.json` names and the archive has not.
pub(super) fn missing(what: &str) -> ImageError {
    ImageError::Missing { what: format!("\"{}\"", shown(what)), needed_by: "manifest.json".to_owned() }
}

/// `docker save` names the configuration by its digest.
pub(super) fn check_config_name(path: &str, actual: &ImageDigest) -> Result<(), ImageError> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let hex = name.strip_suffix(".json").unwrap_or(name);
    if is_sha256_hex(hex) && hex != actual.hex() {
        let (expected, actual) = (format!("sha256:{hex}"), actual.to_string());
        return Err(ImageError::DigestMismatch { what: shown(path), expected, actual });
    }
    Ok(())
}

fn layer_type(staged: &StagedBlob) -> Result<&'static str, ImageError> {
    let mut start = Vec::new();
    File::open(&staged.path)
        .and_then(|file| file.take(4).read_to_end(&mut start))
        .map_err(ImageError::io("read", &staged.path))?;
    Ok(oci_type(compress::sniff(&start)))
}

/// The OCI name of a layer by its compression.
pub(super) fn oci_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => OCI_LAYER_TAR,
        Compression::Gzip => OCI_LAYER_GZIP,
        Compression::Zstd => OCI_LAYER_ZSTD,
    }
}
