//! OCI image layouts (OCI image layout specification), also those inside archives of newer `docker save`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{Documents, Found, Loader, valid_names};
use crate::document::{self, ConfigDocument, Descriptor, ImageIndex, Manifest, ManifestKind};
use crate::error::ImageError;
use crate::ids::{ImageDigest, shown};
use crate::limits;
use crate::record::Platform;
use crate::staging::digest_of;

const CONTAINERD_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const ATTESTATION: &str = "vnd.docker.reference.type";

/// The part of `manifest.json` that has names, when there is one beside `index.json`.
#[derive(Deserialize)]
struct SavedNames {
    #[serde(rename = "Config")]
    config: String,
    #[serde(rename = "RepoTags", default)]
    repo_tags: Option<Vec<String>>,
}

/// An image manifest of the layout and how it was reached.
pub(super) struct Reached {
    descriptor: Descriptor,
    pub(super) names: Vec<String>,
    indexes: Vec<ImageDigest>,
}

/// The documents of an image, their digests and sizes checked.
pub(super) struct ImageDocuments {
    pub(super) manifest_bytes: Vec<u8>,
    pub(super) manifest: Manifest,
    config_bytes: Vec<u8>,
    pub(super) config: ConfigDocument,
}

/// Follows the documents of a layout to its images.
pub(super) struct Walk<'a> {
    documents: &'a dyn Documents,
    host: &'a Platform,
    /// Platforms that were passed over.
    others: &'a mut BTreeSet<Platform>,
    /// Descriptors followed so far: indexes may name each other many times over.
    followed: usize,
}

impl Loader<'_> {
    /// The images of `index.json` that run on this machine.
    pub(super) fn oci(&mut self, index: &[u8]) -> Result<Vec<Found>, ImageError> {
        let mut walk = Walk::new(&self.source, &self.intake.store.platform, &mut self.others);
        let saved = walk.saved_names()?;
        let reached = walk.images(index)?;
        let mut found: BTreeMap<ImageDigest, Found> = BTreeMap::new();
        for image in reached {
            let Some(mut new) = self.image(&image)? else { continue };
            new.record.names.extend(image.names);
            new.record.index_digests = image.indexes;
            if let Some(names) = saved.get(&new.record.config_digest) {
                new.record.names.extend(names.iter().cloned());
            }
            if let Some(same) = found.get_mut(&new.record.digest) {
                same.record.names.append(&mut new.record.names);
                same.record.index_digests.append(&mut new.record.index_digests);
            } else {
                found.insert(new.record.digest.clone(), new);
            }
        }
        let mut found: Vec<Found> = found.into_values().collect();
        for image in &mut found {
            image.record.names.sort();
            image.record.names.dedup();
            image.record.index_digests.sort();
            image.record.index_digests.dedup();
        }
        Ok(found)
    }

    /// Stages and verifies one image; `None` when it is for another platform.
    fn image(&mut self, image: &Reached) -> Result<Option<Found>, ImageError> {
        let mut walk = Walk::new(&self.source, &self.intake.store.platform, &mut self.others);
        let Some(read) = walk.documents_of(image)? else { return Ok(None) };
        let ImageDocuments { manifest_bytes, manifest, config_bytes, config } = read;
        self.intake.keep_document(&manifest_bytes, &image.descriptor.digest, image.descriptor.size)?;
        self.intake.keep_document(&config_bytes, &manifest.config.digest, manifest.config.size)?;
        let what = format!("image manifest {}", image.descriptor.digest);
        for layer in &manifest.layers {
            if self.intake.has(&layer.digest) {
                continue;
            }
            let staged = self.source.stage(&blob_path(&layer.digest), &mut self.intake.staging)?;
            let staged = staged.ok_or_else(|| missing(&layer.digest, &what))?;
            self.intake.keep(staged, &layer.digest, Some(layer.size))?;
        }
        let record = self.intake.finish(&manifest_bytes, &manifest, config)?;
        Ok(Some(Found { record }))
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        documents: &'a dyn Documents,
        host: &'a Platform,
        others: &'a mut BTreeSet<Platform>,
    ) -> Self {
        Self { documents, host, others, followed: 0 }
    }

    /// The image manifests that `index.json` leads to, those for other machines left out.
    pub(super) fn images(&mut self, index: &[u8]) -> Result<Vec<Reached>, ImageError> {
        let index: ImageIndex = document::parse(index, || "index.json".to_owned())?;
        let mut reached = Vec::new();
        for descriptor in index.manifests {
            let names = valid_names(name_of(&descriptor));
            let first = reached.len();
            self.reach(descriptor, &mut Vec::new(), &mut reached)?;
            reached[first..].iter_mut().for_each(|r| r.names.clone_from(&names));
        }
        Ok(reached)
    }

    /// Names that `manifest.json` gives configurations.
    pub(super) fn saved_names(&self) -> Result<BTreeMap<ImageDigest, Vec<String>>, ImageError> {
        let Some(bytes) = self.documents.document("manifest.json")? else { return Ok(BTreeMap::new()) };
        let list: Vec<SavedNames> = document::parse(&bytes, || "manifest.json".to_owned())?;
        let mut names = BTreeMap::new();
        for item in list {
            let hex = item.config.rsplit('/').next().unwrap_or_default().trim_end_matches(".json");
            if let Ok(digest) = ImageDigest::parse(&format!("sha256:{hex}")) {
                let tags = item.repo_tags.unwrap_or_default();
                names.insert(digest, valid_names(tags.iter().map(String::as_str)));
            }
        }
        Ok(names)
    }

    /// Follows a descriptor through indexes to image manifests.
    fn reach(
        &mut self,
        descriptor: Descriptor,
        indexes: &mut Vec<ImageDigest>,
        reached: &mut Vec<Reached>,
    ) -> Result<(), ImageError> {
        self.followed += 1;
        if self.followed > limits::MAX_INDEX_MANIFESTS {
            return Err(too_many("the archive", limits::MAX_INDEX_MANIFESTS, "manifests"));
        }
        if descriptor.annotations.contains_key(ATTESTATION) {
            return Ok(());
        }
        let Some(kind) = document::manifest_kind(&descriptor.media_type) else {
            // Layouts also hold signatures and other artifacts.
            tracing::debug!(digest = %descriptor.digest, "not an image, passed over");
            return Ok(());
        };
        let platform = descriptor.platform.as_ref().and_then(document::PlatformDoc::platform);
        if !super::fits(platform, self.host, self.others) {
            return Ok(());
        }
        if kind == ManifestKind::Image {
            if reached.len() >= limits::MAX_ARCHIVE_IMAGES {
                return Err(too_many("the archive", limits::MAX_ARCHIVE_IMAGES, "images"));
            }
            reached.push(Reached { descriptor, names: Vec::new(), indexes: indexes.clone() });
            return Ok(());
        }
        if indexes.len() >= limits::MAX_INDEX_DEPTH {
            return Err(too_many("the nesting of image indexes", limits::MAX_INDEX_DEPTH, "levels"));
        }
        let what = format!("image index {}", descriptor.digest);
        let bytes = self.blob_document(&descriptor, &what)?;
        let index: ImageIndex = document::parse(&bytes, || what.clone())?;
        indexes.push(descriptor.digest);
        for inner in index.manifests {
            self.reach(inner, indexes, reached)?;
        }
        indexes.pop();
        Ok(())
    }

    /// Manifest and configuration of an image; `None` when it is for another platform.
    pub(super) fn documents_of(&mut self, image: &Reached) -> Result<Option<ImageDocuments>, ImageError> {
        let what = format!("image manifest {}", image.descriptor.digest);
        let manifest_bytes = self.blob_document(&image.descriptor, &what)?;
        let manifest: Manifest = document::parse(&manifest_bytes, || what.clone())?;
        manifest.check(&what)?;
        let config_what = format!("image configuration {}", manifest.config.digest);
        let config_bytes = self.blob_document(&manifest.config, &config_what)?;
        let config: ConfigDocument = document::parse(&config_bytes, || config_what)?;
        if !super::fits(config.platform(), self.host, self.others) {
            return Ok(None);
        }
        Ok(Some(ImageDocuments { manifest_bytes, manifest, config_bytes, config }))
    }

    /// A manifest, index or configuration, its digest and size checked.
    fn blob_document(&self, descriptor: &Descriptor, what: &str) -> Result<Vec<u8>, ImageError> {
        if descriptor.size > limits::MAX_DOCUMENT_BYTES {
            return Err(too_large(what));
        }
        let path = blob_path(&descriptor.digest);
        let bytes =
            self.documents.document(&path)?.ok_or_else(|| missing(&descriptor.digest, "the archive"))?;
        let actual = digest_of(&bytes);
        if actual != descriptor.digest {
            let (expected, actual) = (descriptor.digest.to_string(), actual.to_string());
            return Err(ImageError::DigestMismatch { what: what.to_owned(), expected, actual });
        }
        if bytes.len() as u64 != descriptor.size {
            let (digest, actual) = (descriptor.digest.to_string(), bytes.len() as u64);
            return Err(ImageError::SizeMismatch { digest, expected: descriptor.size, actual });
        }
        Ok(bytes)
    }
}

/// The name a descriptor gives its image. `ref.name` alone is often just a tag, which names nothing.
fn name_of(descriptor: &Descriptor) -> Option<&str> {
    let full = descriptor.annotations.get(CONTAINERD_NAME);
    let name = full.or_else(|| descriptor.annotations.get(REF_NAME).filter(|n| n.contains(['/', ':'])))?;
    Some(name)
}

pub(super) fn blob_path(digest: &ImageDigest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

pub(super) fn missing(digest: &ImageDigest, needed_by: &str) -> ImageError {
    ImageError::Missing { what: format!("blob {digest}"), needed_by: shown(needed_by) }
}

fn too_many(what: &str, limit: usize, unit: &'static str) -> ImageError {
    ImageError::TooLarge { what: what.to_owned(), limit: limit as u64, unit }
}

fn too_large(what: &str) -> ImageError {
    ImageError::TooLarge { what: what.to_owned(), limit: limits::MAX_DOCUMENT_BYTES, unit: "bytes" }
}
