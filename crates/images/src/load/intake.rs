//! What comes into the store, wherever it comes from: staged, verified, and then made visible in one step.
//!
//! Reads no archive and talks to no registry. Invariant: an image is committed only when each of its blobs has the digest and
//! size its manifest says, and each layer unpacks to the diff id its configuration says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use super::LoadProgress;
use crate::document::{self, ConfigDocument, Manifest, RecordParts};
use crate::error::ImageError;
use crate::ids::{ImageDigest, LayerDiffId};
use crate::index::Index;
use crate::layer;
use crate::record::{ImageRecord, LayerRef};
use crate::staging::{StagedBlob, Staging};
use crate::store::ContentStore;

/// Blobs on their way into a store.
pub(crate) struct Intake<'a> {
    pub(crate) store: &'a ContentStore,
    pub(crate) staging: Staging,
    pub(crate) progress: &'a dyn Fn(LoadProgress),
    /// The index when this began.
    known: Arc<Index>,
    /// Staged blobs that images need, by digest.
    blobs: BTreeMap<ImageDigest, StagedBlob>,
    /// Layers verified here.
    verified: BTreeSet<(ImageDigest, LayerDiffId)>,
    loaded_at: jiff::Timestamp,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(
        store: &'a ContentStore,
        staging: Staging,
        progress: &'a dyn Fn(LoadProgress),
    ) -> Result<Self, ImageError> {
        Ok(Self {
            store,
            staging,
            progress,
            known: store.index.read(&store.disk)?,
            blobs: BTreeMap::new(),
            verified: BTreeSet::new(),
            loaded_at: jiff::Timestamp::now(),
        })
    }

    /// Whether a blob is staged already.
    pub(crate) fn has(&self, digest: &ImageDigest) -> bool {
        self.blobs.contains_key(digest)
    }

    /// Whether the store has this very layer, so that it need not come again.
    pub(crate) fn is_known(&self, diff_id: &LayerDiffId, blob: &ImageDigest) -> bool {
        self.known.blob_of_layer(diff_id).is_some_and(|known| known == *blob)
    }

    /// Makes the images visible, all or nothing.
    pub(crate) fn commit(self, records: Vec<ImageRecord>) -> Result<Vec<ImageRecord>, ImageError> {
        let blobs: Vec<StagedBlob> = self.blobs.into_values().collect();
        self.store.commit(&blobs, records)
    }

    /// Notes a staged blob under the digest it must have.
    pub(crate) fn keep(
        &mut self,
        staged: StagedBlob,
        digest: &ImageDigest,
        size: Option<u64>,
    ) -> Result<StagedBlob, ImageError> {
        if staged.digest != *digest {
            let (expected, actual) = (digest.to_string(), staged.digest.to_string());
            return Err(ImageError::DigestMismatch { what: format!("blob {digest}"), expected, actual });
        }
        if let Some(expected) = size.filter(|size| *size != staged.size) {
            let (digest, actual) = (digest.to_string(), staged.size);
            return Err(ImageError::SizeMismatch { digest, expected, actual });
        }
        self.blobs.insert(digest.clone(), staged.clone());
        Ok(staged)
    }

    /// Checks bytes of a document and stages them.
    pub(crate) fn keep_document(
        &mut self,
        bytes: &[u8],
        digest: &ImageDigest,
        size: u64,
    ) -> Result<(), ImageError> {
        let staged = self.staging.put(bytes)?;
        self.keep(staged, digest, Some(size)).map(drop)
    }

    /// The record of an image whose layers are staged, after verifying each layer.
    pub(crate) fn finish(
        &mut self,
        manifest_bytes: &[u8],
        manifest: &Manifest,
        config: ConfigDocument,
    ) -> Result<ImageRecord, ImageError> {
        let host = &self.store.platform;
        let parts = RecordParts { manifest_bytes, manifest, config, host, loaded_at: self.loaded_at };
        let record = document::record(parts)?;
        for (number, layer) in record.layers.iter().enumerate() {
            (self.progress)(LoadProgress::Verifying { layer: number + 1, layers: record.layers.len() });
            self.verify(layer)?;
        }
        Ok(record)
    }

    fn verify(&mut self, layer: &LayerRef) -> Result<(), ImageError> {
        let key = (layer.blob_digest.clone(), layer.diff_id.clone());
        if self.is_known(&layer.diff_id, &layer.blob_digest) || self.verified.contains(&key) {
            return Ok(());
        }
        let missing = || ImageError::Missing {
            what: format!("blob {}", layer.blob_digest),
            needed_by: "the image".to_owned(),
        };
        let staged = self.blobs.get(&layer.blob_digest).ok_or_else(missing)?;
        let file = File::open(&staged.path).map_err(ImageError::io("read", &staged.path))?;
        let what = format!("layer {}", layer.blob_digest);
        let actual = layer::verify(file, &what, &self.store.limits)?;
        if actual != layer.diff_id {
            let (expected, actual) = (layer.diff_id.to_string(), actual.to_string());
            return Err(ImageError::DiffIdMismatch {
                layer: layer.blob_digest.to_string(),
                expected,
                actual,
            });
        }
        self.verified.insert(key);
        Ok(())
    }
}
