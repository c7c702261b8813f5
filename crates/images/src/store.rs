//! The content store: images by name and digest, in-use protection, removal, trash.
//!
//! Loading, building, snapshots, scanning and rebase are in their own files, as further methods of [`ContentStore`].
//! Safe for several processes: the index is changed under a lock and re-read when another process changed it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::disk::{self, Disk, Lock};
use crate::document;
use crate::error::ImageError;
use crate::ids::{ImageDigest, LayerDiffId, Reference};
use crate::index::{self, Index, IndexFile, Trashed};
use crate::limits::{self, Limits};
use crate::record::{ImageRecord, Platform};
use crate::snapshot;
use crate::staging::StagedBlob;
use crate::tree::RememberedEffects;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bounds on input.
    pub limits: Limits,
    /// The platform whose images are taken.
    pub platform: Platform,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), platform: Platform::host() }
    }
}

/// Images below one directory.
#[derive(Debug)]
pub struct ContentStore {
    pub(crate) disk: Disk,
    pub(crate) index: IndexFile,
    pub(crate) limits: Limits,
    pub(crate) platform: Platform,
    pub(crate) effects: RememberedEffects,
}

/// Whether an image that is in use may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Refuse with [`ImageError::InUse`].
    No,
    /// Remove it; running containers keep their files.
    Yes,
}

/// What to remove.
#[derive(Clone, Copy, Debug)]
pub enum ImageTarget<'a> {
    /// A name; the image goes with its last name. A reference with a digest means the image.
    Reference(&'a Reference),
    /// An image with all of its names.
    Digest(&'a ImageDigest),
}

impl<'a> From<&'a Reference> for ImageTarget<'a> {
    fn from(reference: &'a Reference) -> Self {
        Self::Reference(reference)
    }
}

impl<'a> From<&'a ImageDigest> for ImageTarget<'a> {
    fn from(digest: &'a ImageDigest) -> Self {
        Self::Digest(digest)
    }
}

/// What a removal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// The image.
    pub digest: ImageDigest,
    /// Names that are gone.
    pub names: Vec<String>,
    /// True when the image itself is gone, false when it has other names.
    pub deleted: bool,
    /// Bytes of blobs deleted; 0 when they are kept in the trash.
    pub freed_bytes: u64,
}

/// An image that was removed and can be restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrashedImage {
    /// The image with the names it had.
    pub record: ImageRecord,
    /// When it was removed.
    pub trashed_at: jiff::Timestamp,
}

/// An image with its documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// What the store knows.
    pub record: ImageRecord,
    /// The manifest as stored.
    pub manifest: Value,
    /// The configuration as stored.
    pub config: Value,
}

impl ContentStore {
    /// The file in [`Self::root`] that is replaced whenever an image or a name comes or goes.
    pub const INDEX: &'static str = disk::INDEX;

    /// Opens a store with the default bounds for images of this machine, creating it when absent.
    pub fn open(root: &Path) -> Result<Self, ImageError> {
        Self::open_with(root, StoreOptions::default())
    }

    /// Opens a store. Leftovers of killed operations are removed unless another process is at work.
    pub fn open_with(root: &Path, options: StoreOptions) -> Result<Self, ImageError> {
        let disk = Disk::open(root)?;
        let store = Self {
            disk,
            index: IndexFile::default(),
            limits: options.limits,
            platform: options.platform,
            effects: RememberedEffects::default(),
        };
        store.sweep()?;
        Ok(store)
    }

    fn sweep(&self) -> Result<(), ImageError> {
        let Some(_work) = self.disk.try_lock_all_work()? else { return Ok(()) };
        let _index = self.disk.lock_index()?;
        self.disk.clean_tmp()?;
        let index = self.index.read(&self.disk)?;
        let blobs = index.blobs();
        let blobs: BTreeSet<&str> = blobs.iter().map(ImageDigest::hex).collect();
        for path in disk::list_dir(&self.disk.blobs())? {
            if !named_in(&path, |hex| blobs.contains(hex)) {
                disk::remove_file(&path)?;
            }
        }
        let layers = self.needed_layers(&index)?;
        let layers: BTreeSet<&str> = layers.iter().map(LayerDiffId::hex).collect();
        for path in disk::list_dir(&self.disk.layers())? {
            if !named_in(&path, |hex| layers.contains(hex)) {
                self.disk.discard(&path)?;
            }
        }
        Ok(())
    }

    /// The store's directory. What others derive from images may lie beside them, under names that the store does not use.
    pub fn root(&self) -> &Path {
        self.disk.root()
    }

    /// The layers of every image, also of those in the trash.
    pub fn layers(&self) -> Result<BTreeSet<LayerDiffId>, ImageError> {
        let index = self.index.read(&self.disk)?;
        let mut layers = index.layers();
        layers.extend(index.trash.values().flat_map(|t| t.record.layers.iter().map(|l| l.diff_id.clone())));
        Ok(layers)
    }

    /// The image a reference means; a digest in it decides over its name.
    pub fn get(&self, reference: &Reference) -> Result<Option<ImageRecord>, ImageError> {
        Ok(self.index.read(&self.disk)?.by_reference(reference))
    }

    /// The image with this manifest digest, or the one chosen from the index with this digest.
    pub fn by_digest(&self, digest: &ImageDigest) -> Result<Option<ImageRecord>, ImageError> {
        Ok(self.index.read(&self.disk)?.by_digest(digest))
    }

    /// All images, by name.
    pub fn list(&self) -> Result<Vec<ImageRecord>, ImageError> {
        Ok(self.index.read(&self.disk)?.records())
    }

    /// The image with its manifest and configuration.
    pub fn inspect(&self, digest: &ImageDigest) -> Result<Inspection, ImageError> {
        let record = self.required(digest)?;
        let manifest = self.read_json(&record.digest)?;
        let config = self.read_json(&record.config_digest)?;
        Ok(Inspection { record, manifest, config })
    }

    /// Gives an image a further name; a name that another image has moves.
    pub fn tag(&self, digest: &ImageDigest, name: &Reference) -> Result<ImageRecord, ImageError> {
        let tagged = tagged_name(name)?;
        let _work = self.disk.lock_work()?;
        self.index.update(&self.disk, |index, _| {
            let found = index.by_digest(digest).ok_or_else(|| not_found(digest))?;
            index.set_name(tagged, &found.digest);
            index.record(&found.digest).ok_or_else(|| not_found(digest))
        })
    }

    /// Protects an image from removal until [`Self::release_lease`], across restarts. Idempotent.
    pub fn retain(&self, digest: &ImageDigest, holder: &str) -> Result<(), ImageError> {
        let _work = self.disk.lock_work()?;
        self.index.update(&self.disk, |index, _| {
            let found = index.by_digest(digest).ok_or_else(|| not_found(digest))?;
            index.leases.entry(found.digest).or_default().insert(holder.to_owned());
            Ok(())
        })
    }

    /// Ends the protection that `holder` asked for. Idempotent.
    pub fn release_lease(&self, digest: &ImageDigest, holder: &str) -> Result<(), ImageError> {
        let _work = self.disk.lock_work()?;
        self.index.update(&self.disk, |index, _| {
            if let Some(holders) = index.leases.get_mut(digest) {
                holders.remove(holder);
            }
            index.leases.retain(|_, holders| !holders.is_empty());
            Ok(())
        })
    }

    /// What protects an image from removal: `snapshot <key>` and `lease <holder>`.
    pub fn in_use_by(&self, digest: &ImageDigest) -> Result<Vec<String>, ImageError> {
        let index = self.index.read(&self.disk)?;
        self.users(&index, digest)
    }

    fn users(&self, index: &Index, digest: &ImageDigest) -> Result<Vec<String>, ImageError> {
        let mut by: Vec<String> = snapshot::read_all(&self.disk)?
            .into_iter()
            .filter(|(_, image)| image.digest == *digest)
            .map(|(key, _)| format!("snapshot {key}"))
            .collect();
        by.extend(index.leases.get(digest).into_iter().flatten().map(|holder| format!("lease {holder}")));
        Ok(by)
    }

    /// Removes a name, and with its last name the image and everything no other image or snapshot needs.
    pub fn remove<'a>(
        &self,
        target: impl Into<ImageTarget<'a>>,
        force: Force,
    ) -> Result<Removed, ImageError> {
        self.remove_image(target.into(), force, None)
    }

    /// Like [`Self::remove`], but an image that goes stays restorable until [`Self::purge_trash`].
    pub fn trash<'a>(
        &self,
        target: impl Into<ImageTarget<'a>>,
        force: Force,
        now: jiff::Timestamp,
    ) -> Result<Removed, ImageError> {
        self.remove_image(target.into(), force, Some(now))
    }

    fn remove_image(
        &self,
        target: ImageTarget<'_>,
        force: Force,
        trashed_at: Option<jiff::Timestamp>,
    ) -> Result<Removed, ImageError> {
        let _work = self.disk.lock_work()?;
        let (mut removed, gone) = self.index.update(&self.disk, |index, _| {
            let record = find(index, target)?;
            let one_name = match target {
                ImageTarget::Reference(r) if r.digest.is_none() => r.tagged_name(),
                _ => None,
            };
            if let Some(name) = one_name.filter(|_| record.names.len() > 1) {
                index.remove_name(&name);
                let removed =
                    Removed { digest: record.digest, names: vec![name], deleted: false, freed_bytes: 0 };
                return Ok((removed, None));
            }
            let by = self.users(index, &record.digest)?;
            if force == Force::No && !by.is_empty() {
                return Err(ImageError::InUse { image: record.display_name().to_owned(), by });
            }
            index.take(&record.digest);
            if let Some(trashed_at) = trashed_at {
                index.trash.insert(record.digest.clone(), Trashed { record: record.clone(), trashed_at });
            }
            let removed = Removed {
                digest: record.digest.clone(),
                names: record.names.clone(),
                deleted: true,
                freed_bytes: 0,
            };
            Ok((removed, Some(record)))
        })?;
        if let Some(record) = gone {
            removed.freed_bytes = self.collect(&[record])?;
        }
        Ok(removed)
    }

    /// The images in the trash, oldest first.
    pub fn trashed(&self) -> Result<Vec<TrashedImage>, ImageError> {
        let index = self.index.read(&self.disk)?;
        let mut all: Vec<TrashedImage> = index
            .trash
            .values()
            .map(|t| TrashedImage { record: t.record.clone(), trashed_at: t.trashed_at })
            .collect();
        all.sort_by_key(|t| t.trashed_at);
        Ok(all)
    }

    /// Brings an image back from the trash with the names it had, except names that another image has by now.
    pub fn restore(&self, digest: &ImageDigest) -> Result<ImageRecord, ImageError> {
        let _work = self.disk.lock_work()?;
        self.index.update(&self.disk, |index, _| {
            if let Some(present) = index.record(digest) {
                return Ok(present);
            }
            let mut record = index.trash.remove(digest).ok_or_else(|| not_found(digest))?.record;
            record
                .names
                .retain(|name| Reference::parse(name).is_ok_and(|name| index.by_reference(&name).is_none()));
            index.insert(record);
            index.record(digest).ok_or_else(|| not_found(digest))
        })
    }

    /// Deletes for good what was trashed before `older_than`.
    pub fn purge_trash(&self, older_than: jiff::Timestamp) -> Result<Vec<ImageDigest>, ImageError> {
        let due = |index: &Index| index.trash.values().any(|t| t.trashed_at < older_than);
        if !due(&*self.index.read(&self.disk)?) {
            return Ok(Vec::new());
        }
        let _work = self.disk.lock_work()?;
        let gone = self.index.update(&self.disk, |index, _| {
            let (old, kept) =
                std::mem::take(&mut index.trash).into_iter().partition(|(_, t)| t.trashed_at < older_than);
            index.trash = kept;
            Ok(old)
        })?;
        let records: Vec<ImageRecord> = gone.into_values().map(|t| t.record).collect();
        self.collect(&records)?;
        Ok(records.into_iter().map(|r| r.digest).collect())
    }

    /// Deletes blobs and unpacked layers of `gone` that nothing needs any more. Caller holds the work lock.
    fn collect(&self, gone: &[ImageRecord]) -> Result<u64, ImageError> {
        let _index = self.disk.lock_index()?;
        let index = self.index.read(&self.disk)?;
        let needed = index.blobs();
        let mut freed = 0;
        let blobs: BTreeSet<ImageDigest> = gone.iter().flat_map(index::blobs_of).collect();
        for blob in blobs.difference(&needed) {
            let path = self.disk.blob(blob);
            freed += fs::symlink_metadata(&path).map_or(0, |meta| meta.len());
            disk::remove_file(&path)?;
        }
        let layers = gone.iter().flat_map(|r| &r.layers).map(|l| l.diff_id.clone()).collect();
        self.collect_layers(&index, &layers)?;
        Ok(freed)
    }

    /// Deletes those of `layers` that neither an image nor a snapshot needs. Caller holds work and index lock.
    pub(crate) fn collect_layers(
        &self,
        index: &Index,
        layers: &BTreeSet<LayerDiffId>,
    ) -> Result<(), ImageError> {
        let needed = self.needed_layers(index)?;
        for layer in layers.difference(&needed) {
            self.disk.discard(&self.disk.layer(layer))?;
        }
        Ok(())
    }

    fn needed_layers(&self, index: &Index) -> Result<BTreeSet<LayerDiffId>, ImageError> {
        let mut layers = index.layers();
        for (_, image) in snapshot::read_all(&self.disk)? {
            layers.extend(image.layers);
        }
        Ok(layers)
    }

    /// Makes staged blobs and the images made of them visible, all or nothing.
    pub(crate) fn commit(
        &self,
        blobs: &[StagedBlob],
        records: Vec<ImageRecord>,
    ) -> Result<Vec<ImageRecord>, ImageError> {
        for blob in blobs {
            let synced = File::open(&blob.path).and_then(|f| f.sync_data());
            synced.map_err(ImageError::io("flush", &blob.path))?;
        }
        let digests: Vec<ImageDigest> = records.iter().map(|r| r.digest.clone()).collect();
        let mut adopted = Vec::new();
        let result = self.index.update(&self.disk, |index, lock| {
            self.adopt(blobs, &mut adopted, lock)?;
            records.iter().try_for_each(|record| self.check_complete(record))?;
            for record in records {
                index.insert(record);
            }
            Ok(digests.iter().filter_map(|digest| index.record(digest)).collect())
        });
        if result.is_err() {
            self.withdraw(&adopted);
        }
        result
    }

    /// Moves staged blobs to their names, noting each new one in `adopted`.
    fn adopt(
        &self,
        blobs: &[StagedBlob],
        adopted: &mut Vec<PathBuf>,
        _lock: &Lock,
    ) -> Result<(), ImageError> {
        for blob in blobs {
            let path = self.disk.blob(&blob.digest);
            if path.exists() {
                continue;
            }
            fs::rename(&blob.path, &path).map_err(ImageError::io("create", &path))?;
            adopted.push(path);
        }
        disk::sync_dir(&self.disk.blobs())
    }

    /// An image built on another could have lost that one's layers to a removal meanwhile.
    fn check_complete(&self, record: &ImageRecord) -> Result<(), ImageError> {
        match index::blobs_of(record).find(|blob| !self.disk.blob(blob).exists()) {
            None => Ok(()),
            Some(blob) => {
                let needed_by = format!("image {}", record.digest);
                Err(ImageError::Missing { what: format!("blob {blob}"), needed_by })
            }
        }
    }

    /// Undoes [`Self::adopt`] for blobs that no image came to need.
    fn withdraw(&self, adopted: &[PathBuf]) {
        let Ok(_lock) = self.disk.lock_index() else { return };
        let Ok(index) = self.index.read(&self.disk) else { return };
        let needed = index.blobs();
        for path in adopted {
            if !named_in(path, |hex| needed.iter().any(|d| d.hex() == hex)) {
                // Already on the way out with an error; the sweep at the next open removes what stays.
                drop(fs::remove_file(path));
            }
        }
    }

    pub(crate) fn required(&self, digest: &ImageDigest) -> Result<ImageRecord, ImageError> {
        self.by_digest(digest)?.ok_or_else(|| not_found(digest))
    }

    /// Opens a blob for reading.
    pub(crate) fn open_blob(&self, digest: &ImageDigest) -> Result<File, ImageError> {
        let path = self.disk.blob(digest);
        File::open(&path).map_err(ImageError::io("read", &path))
    }

    /// A manifest or configuration of the store.
    pub(crate) fn read_json(&self, digest: &ImageDigest) -> Result<Value, ImageError> {
        let path = self.disk.blob(digest);
        let mut bytes = Vec::new();
        self.open_blob(digest)?
            .take(limits::MAX_DOCUMENT_BYTES)
            .read_to_end(&mut bytes)
            .map_err(ImageError::io("read", &path))?;
        let value: Value = document::parse(&bytes, || format!("blob {digest}"))?;
        if value.is_object() {
            return Ok(value);
        }
        Err(ImageError::Malformed {
            what: format!("blob {digest}"),
            reason: "it is not an object".to_owned(),
        })
    }
}

/// The stored name a reference asks for.
pub(crate) fn tagged_name(name: &Reference) -> Result<String, ImageError> {
    name.tagged_name().ok_or_else(|| ImageError::TagNeeded { reference: name.to_string() })
}

fn not_found(digest: &ImageDigest) -> ImageError {
    ImageError::NotFound { image: digest.to_string() }
}

fn find(index: &Index, target: ImageTarget<'_>) -> Result<ImageRecord, ImageError> {
    match target {
        ImageTarget::Digest(digest) => index.by_digest(digest).ok_or_else(|| not_found(digest)),
        ImageTarget::Reference(reference) => {
            index.by_reference(reference).ok_or_else(|| ImageError::NotFound { image: reference.to_string() })
        }
    }
}

fn named_in(path: &Path, known: impl Fn(&str) -> bool) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(known)
}
