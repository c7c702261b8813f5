//! Loading images: OCI layouts (directory or tar) and `docker save` archives (classic, and with an OCI layout inside).
//!
//! Everything is staged and verified first: digests and sizes of blobs, diff ids and entries of layers. Only then it
//! becomes visible, in one step. Pulling from registries is in `registry`, and takes the same [`Intake`].

mod docker;
mod intake;
mod oci;
mod peek;
mod source;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::ImageError;
use crate::ids::{Reference, shown};
use crate::limits;
use crate::record::{ImageRecord, Platform};
use crate::staging::Staging;
use crate::store::{ContentStore, tagged_name};
pub(crate) use intake::Intake;
pub(crate) use peek::read_blob;
pub use peek::{ReadImage, read_images};
use source::Source;

/// Bytes between two progress reports.
pub(crate) const REPORT_EVERY_BYTES: u64 = limits::MIB;

/// How far a load is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadProgress {
    /// The archive is being read.
    Reading {
        /// Bytes read so far, as compressed outside.
        bytes: u64,
        /// Bytes of the whole archive, when known.
        total: Option<u64>,
    },
    /// A layer is being verified.
    Verifying {
        /// The layer, counted from 1.
        layer: usize,
        /// Layers of this image.
        layers: usize,
    },
    /// An image is complete and about to become visible.
    Loaded {
        /// Its first name or its digest.
        image: String,
    },
}

/// An image found in an archive, all of its blobs staged and verified.
struct Found {
    record: ImageRecord,
}

/// What loading an archive needs.
struct Loader<'a> {
    source: Source,
    intake: Intake<'a>,
    /// Platforms that were passed over.
    others: BTreeSet<Platform>,
}

impl ContentStore {
    /// Loads the images of an archive file or a layout directory. With `name`, the archive must have one image and the
    /// image gets that name; without, the names in the archive are used. An error is an [`ImageError::Load`].
    pub fn load(
        &self,
        source: &Path,
        name: Option<&Reference>,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<Vec<ImageRecord>, ImageError> {
        self.load_path(source, name, progress)
            .map_err(|e| ImageError::Load { archive: source.to_owned(), source: Box::new(e) })
    }

    fn load_path(
        &self,
        source: &Path,
        name: Option<&Reference>,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<Vec<ImageRecord>, ImageError> {
        let meta = source.metadata().map_err(ImageError::io("read", source))?;
        if meta.is_dir() {
            let staging = Staging::new(&self.disk)?;
            let files = Source::directory(source, &self.limits)?;
            return self.load_source(files, staging, name, progress);
        }
        let file = File::open(source).map_err(ImageError::io("read", source))?;
        self.load_stream(file, Some(meta.len()), name, progress)
    }

    /// Loads the images of an archive stream; see [`Self::load`].
    pub fn load_reader(
        &self,
        reader: impl Read,
        name: Option<&Reference>,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<Vec<ImageRecord>, ImageError> {
        self.load_stream(reader, None, name, progress)
    }

    fn load_stream(
        &self,
        reader: impl Read,
        total: Option<u64>,
        name: Option<&Reference>,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<Vec<ImageRecord>, ImageError> {
        let mut staging = Staging::new(&self.disk)?;
        let (bytes, reported) = (Cell::new(0), Cell::new(0));
        let reader = Reporting { inner: reader, bytes, reported, total, progress };
        let files = Source::tar(reader, &mut staging, &self.limits)?;
        self.load_source(files, staging, name, progress)
    }

    fn load_source(
        &self,
        source: Source,
        staging: Staging,
        name: Option<&Reference>,
        progress: &dyn Fn(LoadProgress),
    ) -> Result<Vec<ImageRecord>, ImageError> {
        let intake = Intake::new(self, staging, progress)?;
        let mut loader = Loader { source, intake, others: BTreeSet::new() };
        let mut found = loader.images()?;
        if let Some(name) = name {
            let [only] = &mut found[..] else { return Err(ImageError::AmbiguousName { count: found.len() }) };
            only.record.names = vec![tagged_name(name)?];
        }
        for image in &found {
            progress(LoadProgress::Loaded { image: image.record.display_name().to_owned() });
        }
        loader.intake.commit(found.into_iter().map(|f| f.record).collect())
    }
}

impl Loader<'_> {
    fn images(&mut self) -> Result<Vec<Found>, ImageError> {
        let found = if let Some(index) = self.source.document("index.json")? {
            self.oci(&index)?
        } else if let Some(list) = self.source.document("manifest.json")? {
            self.docker(&list)?
        } else {
            return Err(ImageError::NotAnArchive { reason: "it has neither index.json nor manifest.json" });
        };
        if !found.is_empty() {
            return Ok(found);
        }
        Err(nothing_found(&self.others, &self.intake.store.platform))
    }

    /// True for an image of this machine; others are noted. An image that does not say is taken.
    fn fits(&mut self, platform: Option<Platform>) -> bool {
        fits(platform, &self.intake.store.platform, &mut self.others)
    }
}

/// Where the small files of an archive are read from.
trait Documents {
    /// A small file as a whole; `None` when absent.
    fn document(&self, path: &str) -> Result<Option<Vec<u8>>, ImageError>;
}

/// True for an image of the host's platform; others are noted. An image that does not say is taken.
pub(crate) fn fits(platform: Option<Platform>, host: &Platform, others: &mut BTreeSet<Platform>) -> bool {
    match platform {
        Some(platform) if !platform.runs_on(host) => {
            others.insert(platform);
            false
        }
        _ => true,
    }
}

/// No image was taken: there are none, or none for this machine.
pub(crate) fn nothing_found(others: &BTreeSet<Platform>, host: &Platform) -> ImageError {
    if others.is_empty() {
        return ImageError::NotAnArchive { reason: "it lists no image" };
    }
    let available = others.iter().map(ToString::to_string).collect();
    ImageError::PlatformMissing { wanted: host.to_string(), available }
}

/// Names that are valid references with a tag, sorted, without doubles; others are passed over with a warning.
fn valid_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut valid = BTreeSet::new();
    for name in names {
        if let Some(tagged) = Reference::parse(name).ok().and_then(|reference| reference.tagged_name()) {
            valid.insert(tagged);
        } else {
            tracing::warn!(name = shown(name), "a name in the archive is not an image reference");
        }
    }
    valid.into_iter().collect()
}

/// Tells how much of the archive is read.
struct Reporting<'a, R> {
    inner: R,
    bytes: Cell<u64>,
    reported: Cell<u64>,
    total: Option<u64>,
    progress: &'a dyn Fn(LoadProgress),
}

impl<R: Read> Read for Reporting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        let bytes = self.bytes.get() + n as u64;
        self.bytes.set(bytes);
        if bytes - self.reported.get() >= REPORT_EVERY_BYTES || (n == 0 && bytes > self.reported.get()) {
            self.reported.set(bytes);
            (self.progress)(LoadProgress::Reading { bytes, total: self.total });
        }
        Ok(n)
    }
}
