//! The store's directories: where things lie, locks between processes, temporary files, durable writes.
//!
//! Knows nothing of images. Invariants:
//! 1. A file gets its final name by rename, after its content was flushed (`durable` writes) or is derived data.
//! 2. Whoever writes below `tmp/` holds the shared work lock; who gets it exclusively may clean up what kills left.
//! 3. Lock order: work, key, unpack, index. Locks are `flock`s on their own open file, so they also hold between threads.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::error::ImageError;
use crate::ids::{ImageDigest, LayerDiffId};

const DIRS: [&str; 7] = ["blobs", "blobs/sha256", "layers", "snapshots", "tmp", "locks", "empty"];
/// Replaced whenever an image or a name comes or goes.
pub(crate) const INDEX: &str = "index.json";
/// Unpacking is serialised per layer by the first two digits of its diff id: few lock files, little false sharing.
const UNPACK_LOCK_DIGITS: usize = 2;

/// The root directory and what is where below it.
#[derive(Debug)]
pub(crate) struct Disk {
    root: PathBuf,
}

/// A held lock; released when dropped.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "closing the file releases the lock")] File);

impl Disk {
    /// Creates the directories. The root is for its owner only: layers contain set-uid programs of strangers.
    pub(crate) fn open(root: &Path) -> Result<Self, ImageError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .map_err(ImageError::io("create", root))?;
        // Absolute, because overlayfs remembers the paths it is given.
        let root = fs::canonicalize(root).map_err(ImageError::io("open", root))?;
        for dir in DIRS {
            let path = root.join(dir);
            match fs::create_dir(&path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(ImageError::io("create", &path)(e));
                }
                _ => {}
            }
        }
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    pub(crate) fn index(&self) -> PathBuf {
        self.root.join(INDEX)
    }
    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs/sha256")
    }
    pub(crate) fn blob(&self, digest: &ImageDigest) -> PathBuf {
        self.blobs().join(digest.hex())
    }
    pub(crate) fn layers(&self) -> PathBuf {
        self.root.join("layers")
    }
    pub(crate) fn layer(&self, diff_id: &LayerDiffId) -> PathBuf {
        self.layers().join(diff_id.hex())
    }
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }
    pub(crate) fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
    /// A directory that stays empty: the lower directory of images without layers.
    pub(crate) fn empty(&self) -> PathBuf {
        self.root.join("empty")
    }

    /// Excludes every other reader-modifier-writer of the index.
    pub(crate) fn lock_index(&self) -> Result<Lock, ImageError> {
        self.lock("index", FlockOperation::LockExclusive)
    }
    /// Excludes everybody who unpacks the same layer.
    pub(crate) fn lock_unpack(&self, diff_id: &LayerDiffId) -> Result<Lock, ImageError> {
        self.lock(&format!("unpack-{}", &diff_id.hex()[..UNPACK_LOCK_DIGITS]), FlockOperation::LockExclusive)
    }
    /// Excludes everybody who prepares or releases the same snapshot, or one that shares its lock.
    pub(crate) fn lock_key(&self, key: &str) -> Result<Lock, ImageError> {
        let shard = Sha256::digest(key)[0];
        self.lock(&format!("key-{shard:02x}"), FlockOperation::LockExclusive)
    }
    /// Announces work with temporary files.
    pub(crate) fn lock_work(&self) -> Result<Lock, ImageError> {
        self.lock("work", FlockOperation::LockShared)
    }
    /// The work lock for cleaning up; `None` while anybody works.
    pub(crate) fn try_lock_all_work(&self) -> Result<Option<Lock>, ImageError> {
        let path = self.root.join("locks/work");
        let file = open_lock(&path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(e) => Err(ImageError::io("lock", &path)(e)),
        }
    }

    fn lock(&self, name: &str, operation: FlockOperation) -> Result<Lock, ImageError> {
        let path = self.root.join("locks").join(name);
        let file = open_lock(&path)?;
        flock(&file, operation).map_err(ImageError::io("lock", &path))?;
        Ok(Lock(file))
    }

    /// A new directory below `tmp/`; the caller holds the work lock.
    pub(crate) fn temp_dir(&self, prefix: &str) -> Result<TempDir, ImageError> {
        let tmp = self.tmp();
        tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(&tmp)
            .map_err(ImageError::io("create a directory in", &tmp))
    }

    /// Writes a file so that after a crash either the old or the new content is there. Caller holds the work lock.
    pub(crate) fn write_durably(&self, path: &Path, content: &[u8]) -> Result<(), ImageError> {
        let tmp = self.tmp();
        let mut file = tempfile::Builder::new()
            .prefix("write-")
            .tempfile_in(&tmp)
            .map_err(ImageError::io("create a file in", &tmp))?;
        file.write_all(content).map_err(ImageError::io("write", path))?;
        file.as_file().sync_all().map_err(ImageError::io("write", path))?;
        file.persist(path).map_err(|e| ImageError::io("write", path)(e.error))?;
        sync_dir(path.parent().unwrap_or(path))
    }

    /// Takes `path` out of sight at once, then deletes it. Caller holds the work lock. Absent is fine.
    pub(crate) fn discard(&self, path: &Path) -> Result<(), ImageError> {
        let grave = self.temp_dir("gone-")?;
        match fs::rename(path, grave.path().join("x")) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(ImageError::io("remove", path)(e)),
        }
        grave.close().map_err(ImageError::io("remove", path))
    }

    /// Deletes what killed operations left in `tmp/`. Caller holds the work lock exclusively.
    pub(crate) fn clean_tmp(&self) -> Result<(), ImageError> {
        for path in list_dir(&self.tmp())? {
            let is_dir = path.symlink_metadata().map_err(ImageError::io("read", &path))?.is_dir();
            let removed = if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(ImageError::io("remove", &path))?;
        }
        Ok(())
    }
}

fn open_lock(path: &Path) -> Result<File, ImageError> {
    // The standard library opens with O_CLOEXEC: no child process keeps a lock alive.
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(ImageError::io("open", path))
}

fn flock(file: &File, operation: FlockOperation) -> Result<(), Errno> {
    loop {
        match rustix::fs::flock(file, operation) {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

/// Paths in a directory, sorted.
pub(crate) fn list_dir(dir: &Path) -> Result<Vec<PathBuf>, ImageError> {
    let entries = fs::read_dir(dir).map_err(ImageError::io("read", dir))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.map_err(ImageError::io("read", dir))?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Makes renames into `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), ImageError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(ImageError::io("flush", dir))
}

/// Removes a file that may be absent.
pub(crate) fn remove_file(path: &Path) -> Result<(), ImageError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(ImageError::io("remove", path)(e)),
        _ => Ok(()),
    }
}
