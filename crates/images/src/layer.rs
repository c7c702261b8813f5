//! Reading a layer: tar entries with their paths judged, whiteouts told apart (OCI image layer specification).
//!
//! Writes nothing. Device nodes are passed over: containers get their own `/dev`, and a node in a layer is only a risk.
//! Invariants: a path given out is relative, clean and not behind a symbolic link that leaves the layer; a hard link's
//! target is an earlier entry of the same layer. `unpack` holds these without trusting this module.

use std::collections::HashMap;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};

use crate::compress::{self, Guard, stream_error};
use crate::error::{EntryFault, ImageError};
use crate::ids::LayerDiffId;
use crate::limits::{self, Limits};
use crate::staging::HashingReader;
use crate::tarball::{Entry, EntryKind, TarReader, clean_path};

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Bookkeeping entries of AUFS; they mean nothing to anybody else.
const AUFS: &[u8] = b".wh..wh.";
/// Most bytes of names and targets of symbolic links kept to judge later entries.
const MAX_SYMLINK_BYTES: u64 = 64 * limits::MIB;
/// Most symbolic links followed in judging one path (`MAXSYMLINKS`).
const MAX_SYMLINKS_FOLLOWED: usize = 40;

/// One thing a layer does.
#[derive(Debug)]
pub(crate) enum LayerItem {
    /// Adds or replaces; `path` is clean, a hard link's target too.
    Entry(Entry),
    /// Removes what lower layers have at this path.
    Whiteout(Vec<u8>),
    /// Removes what lower layers have below this directory.
    Opaque(Vec<u8>),
}

/// Iterates over a layer. Reading from it gives the content of the current entry.
pub(crate) struct LayerReader<R> {
    tar: TarReader<R>,
    seen: Seen,
}

/// An uncompressed layer stream that hashes what passes.
pub(crate) type LayerStream<'a> = HashingReader<Box<dyn Read + 'a>>;

/// Opens a stored layer; `what` names it in errors.
pub(crate) fn open<'a>(
    blob: impl Read + 'a,
    what: &str,
    limits: &Limits,
) -> Result<LayerReader<LayerStream<'a>>, ImageError> {
    let (_, stream) =
        compress::expand(blob, Guard::layer(limits)).map_err(|e| stream_error(what, None, e))?;
    Ok(LayerReader::new(HashingReader::new(stream), what, limits))
}

/// Reads a layer to its end, judging every entry, and gives its diff id.
pub(crate) fn verify(blob: File, what: &str, limits: &Limits) -> Result<LayerDiffId, ImageError> {
    let mut layer = open(blob, what, limits)?;
    while layer.next()?.is_some() {}
    layer.finish()
}

impl LayerReader<LayerStream<'_>> {
    /// Reads what follows the last entry and gives the diff id of the whole stream.
    pub(crate) fn finish(self) -> Result<LayerDiffId, ImageError> {
        let what = self.tar.what().to_owned();
        let hash = self.tar.into_inner().finish().map_err(|e| stream_error(&what, None, e))?;
        Ok(LayerDiffId::from_hash(hash))
    }
}

impl<R: Read> LayerReader<R> {
    pub(crate) fn new(stream: R, what: &str, limits: &Limits) -> Self {
        Self { tar: TarReader::new(stream, what, limits.layer_entries), seen: Seen::default() }
    }

    /// The layer's name in errors.
    pub(crate) fn what(&self) -> &str {
        self.tar.what()
    }

    /// The next thing the layer does.
    pub(crate) fn next(&mut self) -> Result<Option<LayerItem>, ImageError> {
        while let Some(entry) = self.tar.next()? {
            let shown = entry.shown();
            match self.judge(entry) {
                Ok(Some(item)) => return Ok(Some(item)),
                Ok(None) => tracing::debug!(layer = self.what(), entry = shown, "entry passed over"),
                Err(fault) => {
                    return Err(ImageError::HostileEntry {
                        what: self.what().to_owned(),
                        entry: shown,
                        fault,
                    });
                }
            }
            self.seen.check_memory(self.tar.what())?;
        }
        Ok(None)
    }

    fn judge(&mut self, mut entry: Entry) -> Result<Option<LayerItem>, EntryFault> {
        entry.path = clean_path(&entry.path)?;
        match entry.kind {
            EntryKind::Sparse => return Err(EntryFault::Sparse),
            EntryKind::Other => return Err(EntryFault::UnsupportedType),
            _ => {}
        }
        if entry.path.is_empty() {
            // The root itself: only its attributes may be given.
            return match entry.kind {
                EntryKind::Directory => Ok(Some(LayerItem::Entry(entry))),
                _ => Err(EntryFault::BadName),
            };
        }
        self.seen.check_parents(&entry.path)?;
        let (parent, name) = split(&entry.path);
        if name == OPAQUE {
            return Ok(Some(LayerItem::Opaque(parent.to_vec())));
        }
        if name.starts_with(AUFS) {
            return Ok(None);
        }
        if let Some(removed) = name.strip_prefix(WHITEOUT) {
            if matches!(removed, b"" | b"." | b"..") {
                return Err(EntryFault::BadWhiteout);
            }
            return Ok(Some(LayerItem::Whiteout(join(parent, removed))));
        }
        match entry.kind {
            EntryKind::Device => return Ok(None),
            EntryKind::Hardlink => {
                entry.link = self.seen.hardlink_target(&entry.link)?;
                if entry.link == entry.path {
                    return Err(EntryFault::BadLinkTarget);
                }
            }
            EntryKind::Symlink => {
                let too_long = entry.link.len() >= limits::MAX_PATH_BYTES;
                if entry.link.is_empty() || too_long || entry.link.contains(&0) {
                    return Err(EntryFault::BadLinkTarget);
                }
            }
            _ => {}
        }
        self.seen.note(&entry)?;
        Ok(Some(LayerItem::Entry(entry)))
    }
}

impl<R: Read> Read for LayerReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.tar.read(buffer)
    }
}

/// Parent and last component; the parent of a path in the root is empty.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (&[], path),
    }
}

pub(crate) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, b"/", name].concat() }
}

/// Every proper ancestor of a path, outermost first, without the root.
pub(crate) fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(slash, _)| &path[..slash])
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SeenKind {
    Directory,
    Symlink,
    Other,
}

/// What the layer has so far. Paths are kept as hashes (keyed, so input cannot aim at collisions): a million entries
/// cost some 20 MB. Only symbolic links are kept in full.
#[derive(Default)]
struct Seen {
    hasher: RandomState,
    kinds: HashMap<u64, SeenKind>,
    symlinks: HashMap<Vec<u8>, Vec<u8>>,
    symlink_bytes: u64,
}

impl Seen {
    fn kind(&self, path: &[u8]) -> Option<SeenKind> {
        self.kinds.get(&self.hasher.hash_one(path)).copied()
    }

    fn check_parents(&mut self, path: &[u8]) -> Result<(), EntryFault> {
        for ancestor in ancestors(path) {
            match self.kind(ancestor) {
                Some(SeenKind::Other) => return Err(EntryFault::BelowFile),
                Some(SeenKind::Symlink) if self.leaves(ancestor, 0) => {
                    return Err(EntryFault::ThroughSymlink);
                }
                Some(SeenKind::Directory | SeenKind::Symlink) => {}
                None => {
                    self.kinds.insert(self.hasher.hash_one(ancestor), SeenKind::Directory);
                }
            }
        }
        Ok(())
    }

    /// True when the symbolic link at `link` leads out of the layer, or nowhere.
    fn leaves(&self, link: &[u8], followed: usize) -> bool {
        let Some(target) = self.symlinks.get(link) else { return false };
        if followed > MAX_SYMLINKS_FOLLOWED || target.starts_with(b"/") {
            return true;
        }
        let mut at: Vec<u8> = split(link).0.to_vec();
        for part in target.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." if at.is_empty() => return true,
                b".." => at = split(&at).0.to_vec(),
                name => {
                    at = join(&at, name);
                    if self.kind(&at) == Some(SeenKind::Symlink) && self.leaves(&at, followed + 1) {
                        return true;
                    }
                }
            }
        }
        false
    }

    fn hardlink_target(&self, raw: &[u8]) -> Result<Vec<u8>, EntryFault> {
        let target = match clean_path(raw) {
            Ok(target) if target.is_empty() => return Err(EntryFault::BadLinkTarget),
            Ok(target) => target,
            Err(EntryFault::Absolute | EntryFault::ParentComponent) => return Err(EntryFault::LinkEscapes),
            Err(_) => return Err(EntryFault::BadLinkTarget),
        };
        let escapes = |a: &[u8]| self.kind(a) == Some(SeenKind::Symlink) && self.leaves(a, 0);
        if ancestors(&target).any(escapes) {
            return Err(EntryFault::LinkEscapes);
        }
        match self.kind(&target) {
            Some(SeenKind::Other | SeenKind::Symlink) => Ok(target),
            _ => Err(EntryFault::LinkTargetMissing),
        }
    }

    fn note(&mut self, entry: &Entry) -> Result<(), EntryFault> {
        let kind = match entry.kind {
            EntryKind::Directory => SeenKind::Directory,
            EntryKind::Symlink => SeenKind::Symlink,
            // Also a hard link to a symbolic link: nothing may lie below it.
            _ => SeenKind::Other,
        };
        if kind != SeenKind::Directory && self.kind(&entry.path) == Some(SeenKind::Directory) {
            return Err(EntryFault::ReplacesDirectory);
        }
        if kind == SeenKind::Symlink {
            self.symlink_bytes += (entry.path.len() + entry.link.len()) as u64;
            self.symlinks.insert(entry.path.clone(), entry.link.clone());
        } else {
            self.symlinks.remove(&entry.path);
        }
        self.kinds.insert(self.hasher.hash_one(entry.path.as_slice()), kind);
        Ok(())
    }

    fn check_memory(&self, what: &str) -> Result<(), ImageError> {
        if self.symlink_bytes > MAX_SYMLINK_BYTES {
            let what = format!("symbolic links in {what}");
            return Err(ImageError::TooLarge { what, limit: MAX_SYMLINK_BYTES, unit: "bytes" });
        }
        Ok(())
    }
}
