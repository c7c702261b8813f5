//! What layers say, kept: a layer is read once, whichever images it belongs to and however often the engine starts.
//!
//! In memory up to a bound; on disk in `facts/` beside the images, a file for each layer, named by diff id and cataloguer
//! version.
//!
//! Invariants: a kept file is used only when its digest, version and layer are right, otherwise the layer is read again
//! and a warning says so; a file gets its name when it is complete; files of layers that no image has go
//! after a week, and when the rest takes more than the bound, the oldest go. The files are derived data: losing one costs a read.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use konzert_images::{ContentStore, ImageError, LayerDiffId};
use konzert_packages::{CATALOGUER_VERSION, LayerFacts};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use super::recent::Recent;

/// Memory of facts: they are needed only until their image is catalogued.
const MEMORY_BYTES: usize = 16 << 20;
/// All files together.
const DISK_BYTES: u64 = 512 << 20;
/// One file; facts of more are not kept.
const ENTRY_BYTES: u64 = 64 << 20;
/// One file, unpacked.
const UNPACKED_BYTES: u64 = 512 << 20;
/// Files are looked through before the first one is written, and again after this many.
const SWEEP_EVERY: u64 = 64;
/// What a killed process left behind is that old.
const ABANDONED: Duration = Duration::from_hours(1);
/// So long the layers of images that are not on this machine are remembered: those of registries that were scanned.
const FOREIGN: Duration = Duration::from_hours(24 * 7);
const MAGIC: &[u8; 8] = b"kzfacts1";
const DIR: &str = "facts";
const TEMPORARY: &str = ".facts-";
const COMPRESSION_LEVEL: i32 = 1;
/// Readers of the same layer wait for each other, and sometimes for those of another.
const SHARDS: usize = 16;

/// Facts of layers.
#[derive(Debug)]
pub(crate) struct LayerCache {
    store: Arc<ContentStore>,
    dir: PathBuf,
    reads: AtomicU64,
    writes: AtomicU64,
    memory: Mutex<Recent<LayerDiffId, Arc<LayerFacts>>>,
    reading: [Mutex<()>; SHARDS],
}

/// Why a kept file is not used.
#[derive(Debug, thiserror::Error)]
enum EntryError {
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    #[error("it is longer than {ENTRY_BYTES} bytes")]
    TooLong,
    #[error("it is no file of facts, or not all of it is there")]
    Header,
    #[error("its digest is wrong")]
    Digest,
    #[error("its content does not say what facts say")]
    Content(#[from] serde_json::Error),
    #[error("it is about another layer, or of another cataloguer")]
    Another,
}

impl LayerCache {
    pub(crate) fn new(store: Arc<ContentStore>) -> Self {
        let dir = store.root().join(DIR);
        Self {
            store,
            dir,
            reads: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            memory: Mutex::new(Recent::new(MEMORY_BYTES)),
            reading: Default::default(),
        }
    }

    /// How many layers had to be read.
    pub(crate) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// The facts of a layer of the store; blocks while it is read for the first time.
    pub(crate) fn facts(&self, diff_id: &LayerDiffId) -> Result<Arc<LayerFacts>, ImageError> {
        self.facts_or(diff_id, || self.store.layer_facts(diff_id))
    }

    /// The facts of a layer that may be somewhere else; `read` gets them when they are not kept.
    pub(crate) fn facts_or(
        &self,
        diff_id: &LayerDiffId,
        read: impl FnOnce() -> Result<LayerFacts, ImageError>,
    ) -> Result<Arc<LayerFacts>, ImageError> {
        let shard = usize::from_str_radix(&diff_id.hex()[..1], 16).unwrap_or_default();
        let _one_reader = self.reading[shard % SHARDS].lock();
        if let Some(known) = self.memory.lock().get(diff_id) {
            return Ok(known.clone());
        }
        let path = self.dir.join(file_name(diff_id));
        let facts = match load(&path, diff_id) {
            Ok(Some(kept)) => kept,
            Ok(None) => self.read(read, &path)?,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(path = %path.display(), error, "kept facts are damaged: the layer is read again");
                self.read(read, &path)?
            }
        };
        let facts = Arc::new(facts);
        let bytes = facts.memory_bytes() + 1024;
        self.memory.lock().insert(diff_id.clone(), facts.clone(), bytes);
        Ok(facts)
    }

    fn read(
        &self,
        read: impl FnOnce() -> Result<LayerFacts, ImageError>,
        path: &Path,
    ) -> Result<LayerFacts, ImageError> {
        let facts = read()?;
        self.reads.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = self.keep(&facts, path) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(path = %path.display(), error, "facts were not kept: the layer will be read again");
        }
        Ok(facts)
    }

    fn keep(&self, facts: &LayerFacts, path: &Path) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        if self.writes.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEP_EVERY) {
            let needed = self.store.layers().map_err(io::Error::other)?;
            sweep(&self.dir, &needed, DISK_BYTES)?;
        }
        let body = zstd::encode_all(serde_json::to_vec(facts)?.as_slice(), COMPRESSION_LEVEL)?;
        if body.len() as u64 + 40 > ENTRY_BYTES {
            return Ok(());
        }
        let mut file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.dir)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(&body))?;
        file.write_all(&body)?;
        // Not flushed: after a crash the digest tells, and the layer is read again.
        file.persist(path)?;
        Ok(())
    }
}

fn file_name(diff_id: &LayerDiffId) -> String {
    format!("{}.v{CATALOGUER_VERSION}", diff_id.hex())
}

/// `None` when nothing is kept.
fn load(path: &Path, diff_id: &LayerDiffId) -> Result<Option<LayerFacts>, EntryError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(ENTRY_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > ENTRY_BYTES {
        return Err(EntryError::TooLong);
    }
    let rest = bytes.strip_prefix(MAGIC).ok_or(EntryError::Header)?;
    let (digest, body) = rest.split_at_checked(32).ok_or(EntryError::Header)?;
    if Sha256::digest(body).as_slice() != digest {
        return Err(EntryError::Digest);
    }
    let mut text = Vec::new();
    zstd::Decoder::new(body)?.take(UNPACKED_BYTES).read_to_end(&mut text)?;
    let facts: LayerFacts = serde_json::from_slice(&text)?;
    let right = facts.cataloguer == CATALOGUER_VERSION && facts.diff_id == diff_id.as_str();
    if right { Ok(Some(facts)) } else { Err(EntryError::Another) }
}

/// Of the present cataloguer; facts of an older one are no use to anybody.
fn is_present(name: &str) -> bool {
    name.ends_with(&format!(".v{CATALOGUER_VERSION}"))
}

/// Deletes what nobody needs; then the oldest, until a quarter of the bound is free.
fn sweep(dir: &Path, needed: &BTreeSet<LayerDiffId>, bound: u64) -> io::Result<()> {
    let needed: BTreeSet<String> = needed.iter().map(file_name).collect();
    let mut kept: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let written = metadata.modified()?;
        let younger_than = |bound: Duration| written.elapsed().is_ok_and(|age| age < bound);
        let is_needed = if name.starts_with(TEMPORARY) {
            younger_than(ABANDONED)
        } else {
            needed.contains(&name) || (is_present(&name) && younger_than(FOREIGN))
        };
        if is_needed {
            kept.push((written, metadata.len(), entry.path()));
        } else {
            remove(&entry.path())?;
        }
    }
    let mut total: u64 = kept.iter().map(|(_, bytes, _)| bytes).sum();
    if total <= bound {
        return Ok(());
    }
    kept.sort();
    for (_, bytes, path) in kept {
        if total <= bound / 4 * 3 {
            break;
        }
        remove(&path)?;
        total -= bytes;
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "layers/tests.rs"]
mod tests;
