//! `index.json`: which images, names, leases and trashed images the store has.
//!
//! Holds no content. Invariants:
//! 1. The file is replaced by rename, flushed before; a reader sees the old or the new index, never a mixture.
//! 2. It is changed only under the index lock, from the file's present content.
//! 3. Every digest in `names` and `leases` is in `images`; no digest is in both `images` and `trash`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::disk::{Disk, Lock};
use crate::error::ImageError;
use crate::ids::{ImageDigest, LayerDiffId, Reference};
use crate::record::ImageRecord;

const VERSION: u32 = 1;

/// Content of `index.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Index {
    version: u32,
    /// Records without their names; [`Index::record`] adds them.
    images: BTreeMap<ImageDigest, ImageRecord>,
    names: BTreeMap<String, ImageDigest>,
    #[serde(default)]
    pub(crate) leases: BTreeMap<ImageDigest, BTreeSet<String>>,
    #[serde(default)]
    pub(crate) trash: BTreeMap<ImageDigest, Trashed>,
}

/// A removed image that can come back.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Trashed {
    pub(crate) record: ImageRecord,
    pub(crate) trashed_at: jiff::Timestamp,
}

impl Default for Index {
    fn default() -> Self {
        Self {
            version: VERSION,
            images: BTreeMap::new(),
            names: BTreeMap::new(),
            leases: BTreeMap::new(),
            trash: BTreeMap::new(),
        }
    }
}

impl Index {
    /// The image with its names.
    pub(crate) fn record(&self, digest: &ImageDigest) -> Option<ImageRecord> {
        let mut record = self.images.get(digest)?.clone();
        record.names = self.names_of(digest);
        Some(record)
    }

    /// The image by manifest digest, or by the digest of an index it came from.
    pub(crate) fn by_digest(&self, digest: &ImageDigest) -> Option<ImageRecord> {
        self.record(digest).or_else(|| {
            let (found, _) = self.images.iter().find(|(_, r)| r.index_digests.contains(digest))?;
            self.record(found)
        })
    }

    pub(crate) fn by_reference(&self, reference: &Reference) -> Option<ImageRecord> {
        if let Some(digest) = &reference.digest {
            return self.by_digest(digest);
        }
        self.names.get(&reference.tagged_name()?).and_then(|digest| self.record(digest))
    }

    pub(crate) fn names_of(&self, digest: &ImageDigest) -> Vec<String> {
        self.names.iter().filter(|(_, d)| *d == digest).map(|(name, _)| name.clone()).collect()
    }

    /// All images with their names, by first name, unnamed ones last.
    pub(crate) fn records(&self) -> Vec<ImageRecord> {
        let mut records: Vec<ImageRecord> =
            self.images.keys().filter_map(|digest| self.record(digest)).collect();
        records.sort_by(|a, b| {
            (a.names.is_empty(), &a.names, &a.digest).cmp(&(b.names.is_empty(), &b.names, &b.digest))
        });
        records
    }

    /// Adds or replaces an image and moves the given names to it.
    pub(crate) fn insert(&mut self, mut record: ImageRecord) {
        for name in std::mem::take(&mut record.names) {
            self.names.insert(name, record.digest.clone());
        }
        self.trash.remove(&record.digest);
        self.images.insert(record.digest.clone(), record);
    }

    pub(crate) fn set_name(&mut self, name: String, digest: &ImageDigest) {
        self.names.insert(name, digest.clone());
    }

    pub(crate) fn remove_name(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// Takes an image out, with its names and leases; the record has the names.
    pub(crate) fn take(&mut self, digest: &ImageDigest) -> Option<ImageRecord> {
        let record = self.record(digest)?;
        self.images.remove(digest);
        self.names.retain(|_, d| d != digest);
        self.leases.remove(digest);
        Some(record)
    }

    /// Every blob that an image or the trash needs.
    pub(crate) fn blobs(&self) -> BTreeSet<ImageDigest> {
        self.images.values().chain(self.trash.values().map(|t| &t.record)).flat_map(blobs_of).collect()
    }

    /// Every layer of an image that is not in the trash.
    pub(crate) fn layers(&self) -> BTreeSet<LayerDiffId> {
        self.images.values().flat_map(|r| r.layers.iter().map(|l| l.diff_id.clone())).collect()
    }

    /// The stored form of a layer, from images or the trash.
    pub(crate) fn blob_of_layer(&self, diff_id: &LayerDiffId) -> Option<ImageDigest> {
        self.images
            .values()
            .chain(self.trash.values().map(|t| &t.record))
            .flat_map(|r| &r.layers)
            .find(|l| l.diff_id == *diff_id)
            .map(|l| l.blob_digest.clone())
    }
}

/// Manifest, configuration and layers.
pub(crate) fn blobs_of(record: &ImageRecord) -> impl Iterator<Item = ImageDigest> {
    let own = [record.digest.clone(), record.config_digest.clone()];
    own.into_iter().chain(record.layers.iter().map(|l| l.blob_digest.clone()))
}

/// Tells one version of the file from another: a rename changes the inode, a rewrite the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self {
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }
}

/// The index file with the last version read from it.
#[derive(Debug, Default)]
pub(crate) struct IndexFile {
    cached: Mutex<Option<(Stamp, Arc<Index>)>>,
}

impl IndexFile {
    /// The present index; reads the file only when it changed.
    pub(crate) fn read(&self, disk: &Disk) -> Result<Arc<Index>, ImageError> {
        let path = disk.index();
        let stamp = match fs::metadata(&path) {
            Ok(meta) => Stamp::of(&meta),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Arc::new(Index::default())),
            Err(e) => return Err(ImageError::io("read", &path)(e)),
        };
        let mut cached = self.cached.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, index)) = cached.as_ref()
            && *known == stamp
        {
            return Ok(Arc::clone(index));
        }
        let bytes = fs::read(&path).map_err(ImageError::io("read", &path))?;
        let what = || format!("the image index {}", path.display());
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|source| ImageError::MalformedJson { what: what(), source })?;
        if index.version != VERSION {
            let reason = format!("version {} is not known", index.version);
            return Err(ImageError::Malformed { what: what(), reason });
        }
        let index = Arc::new(index);
        // A change between the two calls leaves the older stamp, so the next reader reads again.
        *cached = Some((stamp, Arc::clone(&index)));
        Ok(index)
    }

    /// Changes the index under its lock. The closure may also change files that must agree with it.
    pub(crate) fn update<T>(
        &self,
        disk: &Disk,
        change: impl FnOnce(&mut Index, &Lock) -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        let lock = disk.lock_index()?;
        let mut index = Index::clone(&*self.read(disk)?);
        let value = change(&mut index, &lock)?;
        write(disk, &index)?;
        Ok(value)
    }
}

/// Writes the index; the caller holds its lock.
fn write(disk: &Disk, index: &Index) -> Result<(), ImageError> {
    let path = disk.index();
    let what = || format!("the image index {}", path.display());
    let bytes =
        serde_json::to_vec(index).map_err(|source| ImageError::MalformedJson { what: what(), source })?;
    disk.write_durably(&path, &bytes)
}
