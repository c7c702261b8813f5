//! Where an archive's files come from: a tar stream, staged file by file, or a directory.
//!
//! Knows nothing of images. Invariants: a path of a tar archive is only ever a key of a map; a directory is read through
//! a handle that symbolic links cannot lead out of.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Documents;
use crate::compress::{self, Guard, stream_error};
use crate::error::{EntryFault, ImageError};
use crate::ids::shown;
use crate::layer::{join, split};
use crate::limits::{self, Limits};
use crate::staging::{StagedBlob, Staging};
use crate::tarball::{Entry, EntryKind, TarReader, clean_path};

/// Most links followed to a file inside an archive.
pub(super) const MAX_LINKS: usize = 8;
/// Most links and directories remembered of an archive.
pub(super) const MAX_LINK_ENTRIES: usize = 10_000;
pub(super) const WHAT: &str = "the archive";

/// The files of an archive.
pub(super) enum Source {
    Tar(TarFiles),
    Directory { root: OwnedFd, path: PathBuf, limit: u64 },
}

/// The staged files of a tar archive, by path.
pub(super) struct TarFiles {
    files: HashMap<Vec<u8>, StagedBlob>,
    links: HashMap<Vec<u8>, Vec<u8>>,
}

impl Source {
    pub(super) fn directory(path: &Path, limits: &Limits) -> Result<Self, ImageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(ImageError::io("open", path))?;
        Ok(Self::Directory { root, path: path.to_owned(), limit: limits.archive_bytes })
    }

    /// Reads a whole tar stream, compressed or not, into the staging area.
    pub(super) fn tar(reader: impl Read, staging: &mut Staging, limits: &Limits) -> Result<Self, ImageError> {
        let (_, stream) =
            compress::expand(reader, Guard::archive(limits)).map_err(|e| stream_error(WHAT, None, e))?;
        let mut tar = TarReader::new(stream, WHAT, limits.archive_entries);
        let mut found = TarFiles { files: HashMap::new(), links: HashMap::new() };
        let mut first = true;
        while let Some(entry) = tar.next().map_err(|e| if first { no_tar(e) } else { e })? {
            first = false;
            let shown = entry.shown();
            let hostile =
                |fault| ImageError::HostileEntry { what: WHAT.to_owned(), entry: shown.clone(), fault };
            let path = clean_path(&entry.path).map_err(hostile)?;
            match entry.kind {
                EntryKind::Directory => {}
                EntryKind::File => {
                    let name = shown.clone();
                    let blob = staging.copy(&mut tar, |e| stream_error(WHAT, Some(name), e))?;
                    found.links.remove(&path);
                    if let Some(replaced) = found.files.insert(path, blob) {
                        crate::disk::remove_file(&replaced.path)?;
                    }
                }
                EntryKind::Symlink | EntryKind::Hardlink => {
                    let target = link_target(&path, &entry).map_err(hostile)?;
                    found.link(path, target)?;
                }
                EntryKind::Sparse => return Err(hostile(EntryFault::Sparse)),
                EntryKind::Fifo | EntryKind::Device | EntryKind::Other => {
                    return Err(hostile(EntryFault::UnsupportedType));
                }
            }
        }
        // The rest must be readable too: a checksum at the end of a compressed stream is checked only there.
        std::io::copy(&mut tar.into_inner(), &mut std::io::sink())
            .map_err(|e| stream_error(WHAT, None, e))?;
        if found.files.is_empty() {
            return Err(ImageError::NotAnArchive { reason: "it has no files" });
        }
        Ok(Self::Tar(found))
    }

    /// A file in the staging area, hashed; `None` when absent.
    pub(super) fn stage(&self, path: &str, staging: &mut Staging) -> Result<Option<StagedBlob>, ImageError> {
        match self {
            Self::Tar(tar) => Ok(tar.find(path)?.cloned()),
            Self::Directory { limit, .. } => {
                let Some(file) = self.open(path)? else { return Ok(None) };
                let read_error = |source| ImageError::Read { what: shown(path), source };
                let size = file.metadata().map_err(read_error)?.len();
                if size > *limit {
                    return Err(ImageError::TooLarge { what: shown(path), limit: *limit, unit: "bytes" });
                }
                // A file that grows meanwhile is cut at the size seen and then fails its digest.
                staging.copy(&mut file.take(size), read_error).map(Some)
            }
        }
    }

    /// A file; `None` when absent.
    pub(super) fn open(&self, path: &str) -> Result<Option<File>, ImageError> {
        match self {
            Self::Tar(tar) => match tar.find(path)? {
                Some(blob) => File::open(&blob.path).map(Some).map_err(ImageError::io("read", &blob.path)),
                None => Ok(None),
            },
            Self::Directory { root, path: base, .. } => {
                // Non-blocking, so that a pipe in place of a file cannot hang us.
                let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
                let opened = match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
                    Ok(fd) => File::from(fd),
                    Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                    Err(Errno::XDEV) => {
                        let (what, fault) = (base.display().to_string(), EntryFault::ThroughSymlink);
                        return Err(ImageError::HostileEntry { what, entry: shown(path), fault });
                    }
                    Err(e) => return Err(ImageError::io("read", &base.join(path))(e)),
                };
                let stat = rustix::fs::fstat(&opened).map_err(ImageError::io("read", &base.join(path)))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                    let (what, fault) = (base.display().to_string(), EntryFault::UnsupportedType);
                    return Err(ImageError::HostileEntry { what, entry: shown(path), fault });
                }
                Ok(Some(opened))
            }
        }
    }
}

impl Documents for Source {
    fn document(&self, path: &str) -> Result<Option<Vec<u8>>, ImageError> {
        let Some(file) = self.open(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let limit = limits::MAX_DOCUMENT_BYTES;
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| ImageError::Read { what: shown(path), source })?;
        if bytes.len() as u64 > limit {
            return Err(ImageError::TooLarge { what: shown(path), limit, unit: "bytes" });
        }
        Ok(Some(bytes))
    }
}

impl TarFiles {
    fn link(&mut self, path: Vec<u8>, target: Vec<u8>) -> Result<(), ImageError> {
        if self.links.len() >= MAX_LINK_ENTRIES {
            let limit = MAX_LINK_ENTRIES as u64;
            return Err(ImageError::TooLarge { what: WHAT.to_owned(), limit, unit: "links" });
        }
        self.files.remove(&path);
        self.links.insert(path, target);
        Ok(())
    }

    fn find(&self, path: &str) -> Result<Option<&StagedBlob>, ImageError> {
        let hostile = |fault| ImageError::HostileEntry { what: WHAT.to_owned(), entry: shown(path), fault };
        let mut at = clean_path(path.as_bytes()).map_err(hostile)?;
        for _ in 0..MAX_LINKS {
            if let Some(file) = self.files.get(&at) {
                return Ok(Some(file));
            }
            match self.links.get(&at) {
                Some(target) => at.clone_from(target),
                None => return Ok(None),
            }
        }
        Err(hostile(EntryFault::BadLinkTarget))
    }
}

/// A stream that is wrong from its first header on is not a damaged archive but something else.
pub(super) fn no_tar(error: ImageError) -> ImageError {
    match error {
        ImageError::Damaged { .. } => ImageError::NotAnArchive { reason: "it is not a tar file" },
        other => other,
    }
}

/// Where a link points, as a path of the archive. `docker save` writes links between its layer directories.
pub(super) fn link_target(path: &[u8], entry: &Entry) -> Result<Vec<u8>, EntryFault> {
    let escapes = |_: EntryFault| EntryFault::LinkEscapes;
    if entry.kind == EntryKind::Hardlink {
        return clean_path(&entry.link).map_err(escapes);
    }
    if entry.link.is_empty() {
        return Err(EntryFault::BadLinkTarget);
    }
    if entry.link.starts_with(b"/") {
        return Err(EntryFault::ThroughSymlink);
    }
    let mut at = split(path).0.to_vec();
    for part in entry.link.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if at.is_empty() => return Err(EntryFault::ThroughSymlink),
            b".." => at = split(&at).0.to_vec(),
            name => at = join(&at, name),
        }
    }
    clean_path(&at).map_err(escapes)
}
