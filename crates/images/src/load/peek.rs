//! Reading images where they lie, for scanners: nothing is imported, and nothing is copied.
//!
//! A layout directory is read through a handle that links cannot lead out of. A tar file is read twice from front to back,
//! compressed or not: once for its documents, links and names, once for the layers that its images need, each straight into the
//! cataloguer. Digests, sizes and diff ids are checked as in a load. Invariants: memory holds the documents and the facts, never a layer; an
//! image of which anything is missing or wrong is an error, not half a result.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use konzert_packages::LayerFacts;
use serde_json::Value;

use super::oci::{ImageDocuments, Walk, blob_path};
use super::source::{self, MAX_LINK_ENTRIES, MAX_LINKS, Source, WHAT};
use super::{Documents, LoadProgress, docker, fits, nothing_found, oci, valid_names};
use crate::compress::{self, Guard, stream_error};
use crate::document::{self, ConfigDocument, Manifest, RecordParts};
use crate::error::{EntryFault, ImageError};
use crate::ids::{ImageDigest, LayerDiffId, shown};
use crate::limits::{self, Limits};
use crate::record::{ImageRecord, LayerRef, Platform};
use crate::staging::{HashingReader, digest_of};
use crate::tarball::{EntryKind, TarReader, clean_path};
use crate::{layer, scan};

/// Most bytes of documents kept of one archive.
const MAX_DOCUMENTS_BYTES: u64 = 64 * limits::MIB;
/// Bytes between two progress reports.
const REPORT_EVERY_BYTES: u64 = limits::MIB;

/// An image read in place.
#[derive(Clone, Debug)]
pub struct ReadImage {
    /// What its documents say.
    pub record: ImageRecord,
    /// The facts of its layers, lowest first.
    pub layers: Vec<Arc<LayerFacts>>,
}

/// Reads the images for this machine in an archive file or a layout directory, as [`crate::ContentStore::load`] does, without a store. An
/// error is an [`ImageError::Load`].
pub fn read_images(
    path: &Path,
    limits: &Limits,
    progress: &dyn Fn(LoadProgress),
) -> Result<Vec<ReadImage>, ImageError> {
    let read = || {
        let meta = path.metadata().map_err(ImageError::io("read", path))?;
        if meta.is_dir() {
            return directory(path, limits, progress);
        }
        if !meta.is_file() {
            return Err(ImageError::NotAnArchive { reason: "it is neither a file nor a directory" });
        }
        tar(path, meta.len(), limits, progress)
    };
    read().map_err(|e| ImageError::Load { archive: path.to_owned(), source: Box::new(e) })
}

/// A layer that an image needs.
struct Wanted {
    /// Its file in the archive.
    path: String,
    /// Digest and size of the file, when a manifest says them.
    blob: Option<(ImageDigest, u64)>,
    diff_id: LayerDiffId,
}

/// An image whose layers are not read yet.
struct Planned {
    names: Vec<String>,
    form: Form,
    layers: Vec<Wanted>,
}

/// What its record will be made of.
enum Form {
    Oci(Box<ImageDocuments>),
    /// `docker save`: the manifest is written when the layers are known.
    Docker {
        config_bytes: Vec<u8>,
        config: Box<ConfigDocument>,
    },
}

/// What a layer turned out to be.
struct LayerRead {
    facts: Arc<LayerFacts>,
    digest: ImageDigest,
    size: u64,
    media_type: &'static str,
}

/// Layers by their file in the archive.
type LayersRead = BTreeMap<String, LayerRead>;

fn directory(
    path: &Path,
    limits: &Limits,
    progress: &dyn Fn(LoadProgress),
) -> Result<Vec<ReadImage>, ImageError> {
    let source = Source::directory(path, limits)?;
    let planned = plan(&source)?;
    let wanted = wanted_layers(&planned);
    let mut layers = LayersRead::new();
    for (number, (file, layer)) in wanted.iter().enumerate() {
        progress(LoadProgress::Verifying { layer: number + 1, layers: wanted.len() });
        let content = source.open(file)?.ok_or_else(|| absent(layer))?;
        layers.insert((*file).to_owned(), read_layer(content, layer, limits)?);
    }
    planned.into_iter().map(|image| image.finish(&layers)).collect()
}

fn tar(
    path: &Path,
    total: u64,
    limits: &Limits,
    progress: &dyn Fn(LoadProgress),
) -> Result<Vec<ReadImage>, ImageError> {
    let open = || {
        let file = File::open(path).map_err(ImageError::io("read", path))?;
        let counted = Counted { inner: file, bytes: 0, reported: 0 };
        Ok::<_, ImageError>(counted)
    };
    // The archive is read twice, and people want one number.
    let report = |bytes: u64| progress(LoadProgress::Reading { bytes, total: Some(2 * total) });
    let contents = Contents::read(open()?.reporting(&|bytes| report(bytes)), limits)?;
    let planned = plan(&contents)?;
    let wanted = wanted_layers(&planned);
    let mut by_entry: HashMap<u64, (&str, &Wanted)> = HashMap::new();
    for (file, layer) in &wanted {
        let entry = contents.find(file)?.ok_or_else(|| absent(layer))?;
        by_entry.insert(entry, (file, layer));
    }
    // Two names of one file are two layers of the same content.
    let mut same: Vec<(&str, u64)> = Vec::new();
    for file in wanted.keys() {
        same.extend(contents.find(file)?.map(|entry| (*file, entry)));
    }
    let second = open()?;
    let layers = read_layers(second.reporting(&|bytes| report(total + bytes)), &by_entry, limits)?;
    let mut named = LayersRead::new();
    for (file, entry) in same {
        let Some(read) = layers.get(&entry) else {
            return Err(ImageError::Truncated { what: WHAT.to_owned(), entry: Some(shown(file)) });
        };
        named.insert(file.to_owned(), read.share());
    }
    planned.into_iter().map(|image| image.finish(&named)).collect()
}

fn absent(layer: &Wanted) -> ImageError {
    match &layer.blob {
        Some((digest, _)) => oci::missing(digest, "the image"),
        None => docker::missing(&layer.path),
    }
}

/// The images of this machine that the documents name.
fn plan(documents: &dyn Documents) -> Result<Vec<Planned>, ImageError> {
    let host = Platform::host();
    let mut others = BTreeSet::new();
    let found = if let Some(index) = documents.document("index.json")? {
        plan_oci(documents, &index, &host, &mut others)?
    } else if let Some(list) = documents.document("manifest.json")? {
        plan_docker(documents, &list, &host, &mut others)?
    } else {
        return Err(ImageError::NotAnArchive { reason: "it has neither index.json nor manifest.json" });
    };
    if found.is_empty() { Err(nothing_found(&others, &host)) } else { Ok(found) }
}

fn plan_oci(
    documents: &dyn Documents,
    index: &[u8],
    host: &Platform,
    others: &mut BTreeSet<Platform>,
) -> Result<Vec<Planned>, ImageError> {
    let mut walk = Walk::new(documents, host, others);
    let saved = walk.saved_names()?;
    let mut found: BTreeMap<ImageDigest, Planned> = BTreeMap::new();
    for reached in walk.images(index)? {
        let Some(read) = walk.documents_of(&reached)? else { continue };
        let names = saved.get(&read.manifest.config.digest).into_iter().flatten();
        let names: Vec<String> = reached.names.iter().chain(names).cloned().collect();
        let digest = digest_of(&read.manifest_bytes);
        if let Some(same) = found.get_mut(&digest) {
            same.names.extend(names);
            continue;
        }
        let diff_ids = diff_ids(&read.config, read.manifest.layers.len(), &format!("image {digest}"))?;
        let layers = read.manifest.layers.iter().zip(diff_ids).map(|(layer, diff_id)| Wanted {
            path: blob_path(&layer.digest),
            blob: Some((layer.digest.clone(), layer.size)),
            diff_id,
        });
        let layers = layers.collect();
        found.insert(digest, Planned { names, form: Form::Oci(Box::new(read)), layers });
    }
    Ok(found.into_values().collect())
}

fn plan_docker(
    documents: &dyn Documents,
    list: &[u8],
    host: &Platform,
    others: &mut BTreeSet<Platform>,
) -> Result<Vec<Planned>, ImageError> {
    let mut found = Vec::new();
    for saved in docker::saved_images(list)? {
        let files = saved.layers()?;
        let config_bytes =
            documents.document(&saved.config)?.ok_or_else(|| docker::missing(&saved.config))?;
        docker::check_config_name(&saved.config, &digest_of(&config_bytes))?;
        let config: ConfigDocument = document::parse(&config_bytes, || shown(&saved.config))?;
        if !fits(config.platform(), host, others) {
            continue;
        }
        let diff_ids = diff_ids(&config, files.len(), &shown(&saved.config))?;
        let layers = files.iter().zip(diff_ids);
        let layers = layers.map(|(path, diff_id)| Wanted { path: path.clone(), blob: None, diff_id });
        found.push(Planned {
            names: valid_names(saved.repo_tags.iter().flatten().map(String::as_str)),
            layers: layers.collect(),
            form: Form::Docker { config_bytes, config: Box::new(config) },
        });
    }
    Ok(found)
}

fn diff_ids(config: &ConfigDocument, layers: usize, what: &str) -> Result<Vec<LayerDiffId>, ImageError> {
    let ids = &config.rootfs.diff_ids;
    if ids.len() == layers {
        return Ok(ids.clone());
    }
    let reason = format!("its configuration has {} diff ids for {layers} layers", ids.len());
    Err(ImageError::Malformed { what: what.to_owned(), reason })
}

/// Every layer that some image needs, once.
fn wanted_layers(planned: &[Planned]) -> BTreeMap<&str, &Wanted> {
    planned.iter().flat_map(|image| &image.layers).map(|layer| (layer.path.as_str(), layer)).collect()
}

impl Planned {
    fn finish(mut self, layers: &LayersRead) -> Result<ReadImage, ImageError> {
        let mut facts = Vec::with_capacity(self.layers.len());
        let mut descriptors: Vec<Value> = Vec::with_capacity(self.layers.len());
        for wanted in &self.layers {
            let read = layers.get(&wanted.path).ok_or_else(|| absent(wanted))?;
            // Two images may say different things of one file.
            check_diff_id(wanted, read.facts.diff_id.as_str())?;
            facts.push(read.facts.clone());
            descriptors.push(document::descriptor(read.media_type, &read.digest, read.size));
        }
        let (manifest_bytes, manifest, config) = match self.form {
            Form::Oci(read) => (read.manifest_bytes, read.manifest, read.config),
            Form::Docker { config_bytes, config } => {
                let bytes =
                    docker::manifest_of(&digest_of(&config_bytes), config_bytes.len() as u64, &descriptors);
                let manifest: Manifest = document::parse(&bytes, || "manifest.json".to_owned())?;
                (bytes, manifest, *config)
            }
        };
        let host = Platform::host();
        let loaded_at = jiff::Timestamp::UNIX_EPOCH;
        let parts = RecordParts {
            manifest_bytes: &manifest_bytes,
            manifest: &manifest,
            config,
            host: &host,
            loaded_at,
        };
        let mut record = document::record(parts)?;
        self.names.sort();
        self.names.dedup();
        record.names = self.names;
        Ok(ReadImage { record, layers: facts })
    }
}

impl LayerRead {
    fn share(&self) -> Self {
        let (facts, digest) = (self.facts.clone(), self.digest.clone());
        Self { facts, digest, size: self.size, media_type: self.media_type }
    }
}

fn check_diff_id(wanted: &Wanted, actual: &str) -> Result<(), ImageError> {
    if wanted.diff_id.as_str() == actual {
        return Ok(());
    }
    Err(ImageError::DiffIdMismatch {
        layer: shown(&wanted.path),
        expected: wanted.diff_id.to_string(),
        actual: actual.to_owned(),
    })
}

/// Reads one layer file from front to back: facts, digest, size and diff id.
fn read_layer(content: impl Read, wanted: &Wanted, limits: &Limits) -> Result<LayerRead, ImageError> {
    let what = match &wanted.blob {
        Some((digest, _)) => format!("layer {digest}"),
        None => format!("layer {}", shown(&wanted.path)),
    };
    let mut start = Vec::with_capacity(4);
    let mut content = content;
    content.by_ref().take(4).read_to_end(&mut start).map_err(|e| stream_error(&what, None, e))?;
    let media_type = docker::oci_type(compress::sniff(&start));
    let mut counted = Counted { inner: io::Cursor::new(start).chain(content), bytes: 0, reported: 0 };
    let mut blob = HashingReader::new(&mut counted);
    let mut reader = layer::open(&mut blob, &what, limits)?;
    let facts = scan::facts_of(&mut reader, &wanted.diff_id)?;
    let actual = reader.finish()?;
    let digest = ImageDigest::from_hash(blob.finish().map_err(|e| stream_error(&what, None, e))?);
    let size = counted.bytes;
    check_diff_id(wanted, actual.as_str())?;
    if let Some((expected, claimed)) = &wanted.blob {
        if *expected != digest {
            let (expected, actual) = (expected.to_string(), digest.to_string());
            return Err(ImageError::DigestMismatch { what, expected, actual });
        }
        if *claimed != size {
            let (digest, expected, actual) = (digest.to_string(), *claimed, size);
            return Err(ImageError::SizeMismatch { digest, expected, actual });
        }
    }
    Ok(LayerRead { facts: Arc::new(facts), digest, size, media_type })
}

/// Reads a layer as a stranger sends it: its facts, when digest, size and diff id are as promised.
pub(crate) fn read_blob(
    content: impl Read,
    layer: &LayerRef,
    limits: &Limits,
) -> Result<LayerFacts, ImageError> {
    let blob = Some((layer.blob_digest.clone(), layer.size));
    let wanted = Wanted { path: blob_path(&layer.blob_digest), blob, diff_id: layer.diff_id.clone() };
    let read = read_layer(content, &wanted, limits)?;
    Ok(Arc::unwrap_or_clone(read.facts))
}

/// The second pass: the layers, by the number of their entry.
fn read_layers(
    archive: impl Read,
    wanted: &HashMap<u64, (&str, &Wanted)>,
    limits: &Limits,
) -> Result<HashMap<u64, LayerRead>, ImageError> {
    let (_, stream) =
        compress::expand(archive, Guard::archive(limits)).map_err(|e| stream_error(WHAT, None, e))?;
    let mut tar = TarReader::new(stream, WHAT, limits.archive_entries);
    let mut read = HashMap::new();
    let mut number = 0;
    while read.len() < wanted.len() {
        if tar.next()?.is_none() {
            break;
        }
        if let Some((_, layer)) = wanted.get(&number) {
            read.insert(number, read_layer(&mut tar, layer, limits)?);
        }
        number += 1;
    }
    Ok(read)
}

/// What the first pass keeps of an archive.
#[derive(Default)]
struct Contents {
    /// The number of the last entry with a path.
    files: HashMap<Vec<u8>, u64>,
    links: HashMap<Vec<u8>, Vec<u8>>,
    documents: HashMap<u64, Vec<u8>>,
    /// Files that begin like a document and are too long for one.
    too_long: BTreeSet<u64>,
    document_bytes: u64,
}

impl Contents {
    fn read(archive: impl Read, limits: &Limits) -> Result<Self, ImageError> {
        let (_, stream) =
            compress::expand(archive, Guard::archive(limits)).map_err(|e| stream_error(WHAT, None, e))?;
        let mut tar = TarReader::new(stream, WHAT, limits.archive_entries);
        let mut found = Self::default();
        let mut number = 0;
        while let Some(entry) = tar.next().map_err(|e| if number == 0 { source::no_tar(e) } else { e })? {
            let shown = entry.shown();
            let hostile =
                |fault| ImageError::HostileEntry { what: WHAT.to_owned(), entry: shown.clone(), fault };
            let path = clean_path(&entry.path).map_err(hostile)?;
            match entry.kind {
                EntryKind::Directory => {}
                EntryKind::File => {
                    found.keep(number, entry.size, &mut tar).map_err(|e| match e {
                        Kept::Unreadable(e) => stream_error(WHAT, Some(shown.clone()), e),
                        Kept::TooMuch => ImageError::TooLarge {
                            what: "the documents of the archive".to_owned(),
                            limit: MAX_DOCUMENTS_BYTES,
                            unit: "bytes",
                        },
                    })?;
                    found.links.remove(&path);
                    found.files.insert(path, number);
                }
                EntryKind::Symlink | EntryKind::Hardlink => {
                    let target = source::link_target(&path, &entry).map_err(hostile)?;
                    found.link(path, target)?;
                }
                EntryKind::Sparse => return Err(hostile(EntryFault::Sparse)),
                EntryKind::Fifo | EntryKind::Device | EntryKind::Other => {
                    return Err(hostile(EntryFault::UnsupportedType));
                }
            }
            number += 1;
        }
        // The rest must be readable too: a checksum at the end of a compressed stream is checked only there.
        io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|e| stream_error(WHAT, None, e))?;
        if found.files.is_empty() {
            return Err(ImageError::NotAnArchive { reason: "it has no files" });
        }
        Ok(found)
    }

    /// Keeps a file that begins like a JSON document.
    fn keep(&mut self, number: u64, size: u64, content: &mut impl Read) -> Result<(), Kept> {
        let mut bytes = Vec::new();
        content.take(1).read_to_end(&mut bytes).map_err(Kept::Unreadable)?;
        if !matches!(bytes.first(), Some(b'{' | b'[' | b' ' | b'\n' | b'\r' | b'\t')) {
            return Ok(());
        }
        if size > limits::MAX_DOCUMENT_BYTES {
            self.too_long.insert(number);
            return Ok(());
        }
        self.document_bytes += size;
        if self.document_bytes > MAX_DOCUMENTS_BYTES {
            return Err(Kept::TooMuch);
        }
        content.read_to_end(&mut bytes).map_err(Kept::Unreadable)?;
        self.documents.insert(number, bytes);
        Ok(())
    }

    fn link(&mut self, path: Vec<u8>, target: Vec<u8>) -> Result<(), ImageError> {
        if self.links.len() >= MAX_LINK_ENTRIES {
            let limit = MAX_LINK_ENTRIES as u64;
            return Err(ImageError::TooLarge { what: WHAT.to_owned(), limit, unit: "links" });
        }
        self.files.remove(&path);
        self.links.insert(path, target);
        Ok(())
    }

    /// The number of the entry that holds a file.
    fn find(&self, path: &str) -> Result<Option<u64>, ImageError> {
        let hostile = |fault| ImageError::HostileEntry { what: WHAT.to_owned(), entry: shown(path), fault };
        let mut at = clean_path(path.as_bytes()).map_err(hostile)?;
        for _ in 0..MAX_LINKS {
            if let Some(number) = self.files.get(&at) {
                return Ok(Some(*number));
            }
            match self.links.get(&at) {
                Some(target) => at.clone_from(target),
                None => return Ok(None),
            }
        }
        Err(hostile(EntryFault::BadLinkTarget))
    }
}

impl Documents for Contents {
    fn document(&self, path: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let Some(number) = self.find(path)? else { return Ok(None) };
        if self.too_long.contains(&number) {
            let limit = limits::MAX_DOCUMENT_BYTES;
            return Err(ImageError::TooLarge { what: shown(path), limit, unit: "bytes" });
        }
        // What does not begin like JSON is told by the parser.
        Ok(Some(self.documents.get(&number).cloned().unwrap_or_default()))
    }
}

/// Why a file of the first pass could not be kept.
enum Kept {
    Unreadable(io::Error),
    TooMuch,
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    bytes: u64,
    reported: u64,
}

impl<R: Read> Counted<R> {
    fn reporting(self, report: &dyn Fn(u64)) -> Reporting<'_, R> {
        Reporting { counted: self, report }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

/// Tells how much is read.
struct Reporting<'a, R> {
    counted: Counted<R>,
    report: &'a dyn Fn(u64),
}

impl<R: Read> Read for Reporting<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.counted.read(buffer)?;
        if self.counted.bytes - self.counted.reported >= REPORT_EVERY_BYTES {
            self.counted.reported = self.counted.bytes;
            (self.report)(self.counted.bytes);
        }
        Ok(n)
    }
}
