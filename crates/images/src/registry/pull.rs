//! Pulling an image into the store.
//!
//! Invariant: until everything is staged and verified, nothing of it is visible; layers that the store has do not come again.

use super::session::Session;
use super::{RegistryOptions, RemoteImage, layer_bytes, parse_config, pull_error};
use crate::error::ImageError;
use crate::ids::Reference;
use crate::load::{Intake, LoadProgress};
use crate::record::{ImageRecord, Platform};
use crate::staging::{Staging, digest_of};
use crate::store::ContentStore;

impl ContentStore {
    /// Pulls the image a reference means and gives it the name, unless the reference has a digest: then it has none, as the tag proves
    /// nothing. What the store has already is asked for again, and not sent again. An error is an [`ImageError::Pull`].
    pub fn pull(
        &self,
        reference: &Reference,
        options: &RegistryOptions,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<ImageRecord, ImageError> {
        self.pull_image(reference, options, progress).map_err(pull_error(reference))
    }

    fn pull_image(
        &self,
        reference: &Reference,
        options: &RegistryOptions,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<ImageRecord, ImageError> {
        let platform = options.platform.clone().unwrap_or_else(|| self.platform.clone());
        let mut session = Session::open(reference, options)?;
        if let Some(present) = self.unchanged(&mut session, reference, &platform)? {
            return Ok(present);
        }
        let mut image = RemoteImage::resolve(session, reference, &platform, self.limits)?;
        let known = self.by_digest(&image.record.digest)?;
        if let Some(known) = &known {
            image.record.index_digests.extend(known.index_digests.iter().cloned());
            image.record.index_digests.sort();
            image.record.index_digests.dedup();
        }
        let record = self.take_in(image, progress)?;
        progress(LoadProgress::Loaded { image: record.display_name().to_owned() });
        Ok(record)
    }

    /// The image in the store, when the registry says that the name still stands for it.
    fn unchanged(
        &self,
        session: &mut Session,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Option<ImageRecord>, ImageError> {
        let Some(present) = self.get(reference)?.filter(|record| record.platform.runs_on(platform)) else {
            return Ok(None);
        };
        let digest = reference.digest.as_ref().map(ToString::to_string);
        let name = digest.as_deref().or(reference.tag.as_deref()).unwrap_or("latest");
        let Some(now) = session.head(name)? else { return Ok(None) };
        let same = present.digest == now || present.index_digests.contains(&now);
        Ok(Some(present).filter(|_| same))
    }

    fn take_in(
        &self,
        mut image: RemoteImage,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<ImageRecord, ImageError> {
        let mut intake = Intake::new(self, Staging::new(&self.disk)?, progress)?;
        let digest = digest_of(&image.manifest_bytes);
        intake.keep_document(&image.manifest_bytes, &digest, image.manifest_bytes.len() as u64)?;
        let config = &image.manifest.config;
        intake.keep_document(&image.config_bytes, &config.digest, config.size)?;
        let total = layer_bytes(&image.record);
        let mut before = 0;
        for layer in &image.record.layers {
            if !intake.has(&layer.blob_digest) && !intake.is_known(&layer.diff_id, &layer.blob_digest) {
                let told = move |bytes| {
                    progress(LoadProgress::Reading { bytes: before + bytes, total: Some(total) });
                };
                let mut blob = image.session.blob(&layer.blob_digest, layer.size, &told);
                let what = format!("blob {}", layer.blob_digest);
                let staged = intake.staging.copy(&mut blob, |source| ImageError::Read { what, source });
                let staged = staged.map_err(|error| blob.fault().unwrap_or(error))?;
                intake.keep(staged, &layer.blob_digest, Some(layer.size))?;
            }
            before += layer.size;
        }
        let config = parse_config(&image.config_bytes, &image.manifest.config.digest)?;
        let mut record = intake.finish(&image.manifest_bytes, &image.manifest, config)?;
        record.platform = image.record.platform;
        record.names = image.record.names;
        record.index_digests = image.record.index_digests;
        let digest = record.digest.clone();
        let mut committed = intake.commit(vec![record])?;
        committed.pop().ok_or(ImageError::NotFound { image: digest.to_string() })
    }
}
