//! Root file systems: overlay mounts of unpacked layers with a writable directory of their own.
//!
//! A snapshot is `snapshots/<key>/` with `image` (what it was made from), `upper`, `work` and the mount point `rootfs`.
//! Does not run anything in it. Invariants:
//! 1. The directory appears by rename with its `image` file, under the index lock: from then on the image is in use.
//! 2. `prepare` and `release` may be repeated; a root file system that is mounted is kept as it is, so that a restarted
//!    engine adopts it.
//! 3. Nothing is deleted below a mount point that is still mounted.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags};
use serde::{Deserialize, Serialize};

use crate::disk::{self, Disk};
use crate::error::ImageError;
use crate::ids::{ImageDigest, LayerDiffId, shown};
use crate::limits;
use crate::record::ImageRecord;
use crate::store::ContentStore;

/// Longest string value `fsconfig` takes.
const MAX_FSCONFIG_BYTES: usize = 255;
/// Mounts that can lie over each other at one mount point before giving up.
const MAX_STACKED_MOUNTS: usize = 16;
const INDEX_PARAMETER: &str = "/sys/module/overlay/parameters/index";

/// A mounted root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The mount point.
    pub rootfs: PathBuf,
}

/// The `image` file of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotImage {
    pub(crate) digest: ImageDigest,
    pub(crate) layers: Vec<LayerDiffId>,
}

/// All snapshots on disk, by key.
pub(crate) fn read_all(disk: &Disk) -> Result<Vec<(String, SnapshotImage)>, ImageError> {
    let mut all = Vec::new();
    for dir in disk::list_dir(&disk.snapshots())? {
        let Some(key) = dir.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if let Some(image) = read_image(&dir)? {
            all.push((key, image));
        }
    }
    Ok(all)
}

/// `None` when the snapshot is gone, or not one. The file is not flushed: after a power failure, when no root file system
/// is mounted any more, it may be empty, and what it belonged to is only rubbish.
fn read_image(dir: &Path) -> Result<Option<SnapshotImage>, ImageError> {
    let path = dir.join("image");
    match fs::read(&path) {
        Ok(bytes) => {
            let image = serde_json::from_slice(&bytes);
            if let Err(error) = &image {
                tracing::warn!(path = %path.display(), %error, "not a snapshot, passed over");
            }
            Ok(image.ok())
        }
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(ImageError::io("read", &path)(e)),
    }
}

fn check_key(key: &str) -> Result<(), ImageError> {
    let word = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let start = key.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if word && start && key.len() <= limits::MAX_KEY_BYTES {
        Ok(())
    } else {
        Err(ImageError::BadKey { key: shown(key) })
    }
}

impl ContentStore {
    /// Mounts an image as a root file system of its own. Repeating it is fine; another image under the same key is not.
    pub fn prepare(&self, key: &str, digest: &ImageDigest) -> Result<Snapshot, ImageError> {
        check_key(key)?;
        let _work = self.disk.lock_work()?;
        let _key = self.disk.lock_key(key)?;
        let dir = self.disk.snapshots().join(key);
        let rootfs = dir.join("rootfs");
        let known = read_image(&dir)?;
        match &known {
            Some(image) => {
                self.check_same(key, image, digest)?;
                if is_mounted(&rootfs)? {
                    return Ok(Snapshot { rootfs });
                }
            }
            None if dir.exists() => self.clear(&dir)?,
            None => {}
        }
        let record = self.register(&dir, digest)?;
        let mounted = self.unpack_layers(&record).and_then(|lower| self.mount_overlay(&dir, &lower));
        if mounted.is_err() && known.is_none() {
            self.disk.discard(&dir)?;
        }
        mounted.map(|()| Snapshot { rootfs })
    }

    fn check_same(&self, key: &str, image: &SnapshotImage, digest: &ImageDigest) -> Result<(), ImageError> {
        if image.digest == *digest || self.by_digest(digest)?.is_some_and(|r| r.digest == image.digest) {
            return Ok(());
        }
        Err(ImageError::SnapshotTaken { key: key.to_owned(), holds: image.digest.to_string() })
    }

    /// Makes the snapshot's directory, unless it is there; from here on the image is in use.
    fn register(&self, dir: &Path, digest: &ImageDigest) -> Result<ImageRecord, ImageError> {
        let _index = self.disk.lock_index()?;
        let record = self.required(digest)?;
        if dir.exists() {
            return Ok(record);
        }
        let image = SnapshotImage {
            digest: record.digest.clone(),
            layers: record.layers.iter().map(|l| l.diff_id.clone()).collect(),
        };
        let temp = self.disk.temp_dir("snapshot-")?;
        for name in ["upper", "work", "rootfs"] {
            let path = temp.path().join(name);
            fs::create_dir(&path).map_err(ImageError::io("create", &path))?;
        }
        // The upper directory's mode is that of `/` in the container, where others than root look around.
        let upper = temp.path().join("upper");
        rustix::fs::chmod(&upper, Mode::from_raw_mode(0o755)).map_err(ImageError::io("create", &upper))?;
        let bytes = serde_json::to_vec(&image)
            .map_err(|source| ImageError::MalformedJson { what: dir.display().to_string(), source })?;
        let note = temp.path().join("image");
        fs::File::create_new(&note)
            .and_then(|mut f| f.write_all(&bytes))
            .map_err(ImageError::io("write", &note))?;
        fs::rename(temp.path(), dir).map_err(ImageError::io("create", dir))?;
        // The directory is no longer where `temp` would delete it.
        drop(temp.keep());
        Ok(record)
    }

    fn mount_overlay(&self, dir: &Path, lower: &[PathBuf]) -> Result<(), ImageError> {
        let target = dir.join("rootfs");
        let empty = [self.disk.empty()];
        let lower = if lower.is_empty() { &empty[..] } else { lower };
        let layers = Layers::open(dir, lower)?;
        let mounted = match layers.mount_by_handle(&target) {
            // Kernels before 6.8 know no `lowerdir+`, those before 5.2 no `fsopen`.
            Err(Errno::INVAL | Errno::NOSYS) => layers.mount_by_options(&target),
            other => other,
        };
        mounted.map_err(|e| ImageError::Mount { action: "mount", target, source: e.into() })
    }

    /// Unmounts a root file system and deletes what was written to it. An unknown key is fine.
    pub fn release(&self, key: &str) -> Result<(), ImageError> {
        check_key(key)?;
        let _work = self.disk.lock_work()?;
        let _key = self.disk.lock_key(key)?;
        let dir = self.disk.snapshots().join(key);
        if !dir.exists() {
            return Ok(());
        }
        let layers: BTreeSet<LayerDiffId> =
            read_image(&dir)?.map(|image| image.layers.into_iter().collect()).unwrap_or_default();
        self.clear(&dir)?;
        // After a forced removal of the image, its snapshots were the last to need the layers.
        let _index = self.disk.lock_index()?;
        let index = self.index.read(&self.disk)?;
        self.collect_layers(&index, &layers)
    }

    fn clear(&self, dir: &Path) -> Result<(), ImageError> {
        unmount_all(&dir.join("rootfs"))?;
        self.disk.discard(dir)
    }

    /// The snapshots on disk with their images. Unreadable ones are left out.
    pub fn snapshots(&self) -> Vec<(String, ImageDigest)> {
        match read_all(&self.disk) {
            Ok(all) => all.into_iter().map(|(key, image)| (key, image.digest)).collect(),
            Err(error) => {
                tracing::warn!(%error, "snapshots cannot be listed");
                Vec::new()
            }
        }
    }
}

/// The directories of an overlay, open, so that mount options can name them in a few bytes.
struct Layers {
    upper: (PathBuf, OwnedFd),
    work: (PathBuf, OwnedFd),
    /// Highest first, as overlayfs wants them.
    lower: Vec<(PathBuf, OwnedFd)>,
}

impl Layers {
    /// A layer that an image has twice is taken once, where it is highest: up there it puts and hides all that it would
    /// put and hide below, and overlayfs refuses to have a directory twice.
    fn open(dir: &Path, lower: &[PathBuf]) -> Result<Self, ImageError> {
        let mut seen = BTreeSet::new();
        let highest_first = lower.iter().rev().filter(|path| seen.insert(*path));
        let open = |path: PathBuf| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            match rustix::fs::open(&path, flags, Mode::empty()) {
                Ok(fd) => Ok((path, fd)),
                Err(e) => Err(ImageError::io("open", &path)(e)),
            }
        };
        Ok(Self {
            upper: open(dir.join("upper"))?,
            work: open(dir.join("work"))?,
            lower: highest_first.cloned().map(open).collect::<Result<_, _>>()?,
        })
    }

    /// One parameter per layer: no limit but the number of layers.
    fn mount_by_handle(&self, target: &Path) -> Result<(), Errno> {
        let fs = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_set_string(&fs, "source", "konzert")?;
        for layer in &self.lower {
            rustix::mount::fsconfig_set_string(&fs, "lowerdir+", option_path(layer))?;
        }
        rustix::mount::fsconfig_set_string(&fs, "upperdir", option_path(&self.upper))?;
        rustix::mount::fsconfig_set_string(&fs, "workdir", option_path(&self.work))?;
        if Path::new(INDEX_PARAMETER).exists() {
            rustix::mount::fsconfig_set_string(&fs, "index", "off")?;
        }
        rustix::mount::fsconfig_create(&fs)?;
        let mount = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
        rustix::mount::move_mount(mount, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
    }

    /// One option string of at most a page: every path by its descriptor.
    fn mount_by_options(&self, target: &Path) -> Result<(), Errno> {
        let lower: Vec<String> = self.lower.iter().map(|(_, fd)| fd_path(fd)).collect();
        let index = if Path::new(INDEX_PARAMETER).exists() { ",index=off" } else { "" };
        let (upper, work) = (fd_path(&self.upper.1), fd_path(&self.work.1));
        let options = format!("lowerdir={},upperdir={upper},workdir={work}{index}\0", lower.join(":"));
        let options =
            std::ffi::CStr::from_bytes_with_nul(options.as_bytes()).map_err(|_nul_inside| Errno::INVAL)?;
        rustix::mount::mount("konzert", target, "overlay", MountFlags::empty(), Some(options))
    }
}

/// The path as a mount parameter; a long one by its descriptor.
fn option_path((path, fd): &(PathBuf, OwnedFd)) -> PathBuf {
    if path.as_os_str().as_bytes().len() <= MAX_FSCONFIG_BYTES { path.clone() } else { fd_path(fd).into() }
}

fn fd_path(fd: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", fd.as_raw_fd())
}

/// True when something is mounted at `path`.
fn is_mounted(path: &Path) -> Result<bool, ImageError> {
    match rustix::fs::statx(CWD, path, AtFlags::NO_AUTOMOUNT | AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())
    {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(Errno::NOENT) => Ok(false),
        Err(e) => Err(ImageError::io("read", path)(e)),
    }
}

fn unmount_all(target: &Path) -> Result<(), ImageError> {
    for _ in 0..MAX_STACKED_MOUNTS {
        if !is_mounted(target)? {
            return Ok(());
        }
        let unmounted = match rustix::mount::unmount(target, UnmountFlags::NOFOLLOW) {
            // A process still looks at it: the mount goes from sight now and for good with that process.
            Err(Errno::BUSY) => rustix::mount::unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH),
            other => other,
        };
        unmounted.map_err(|e| ImageError::Mount {
            action: "unmount",
            target: target.to_owned(),
            source: e.into(),
        })?;
    }
    let source = io::ErrorKind::ResourceBusy.into();
    Err(ImageError::Mount { action: "unmount", target: target.to_owned(), source })
}

/// Mounts a snapshot again the way of kernels without `lowerdir+`.
#[cfg(test)]
pub(crate) fn tests_remount_by_options(store: &ContentStore, dir: &Path, record: &ImageRecord) {
    let target = dir.join("rootfs");
    unmount_all(&target).expect("unmount");
    let lower = store.unpack_layers(record).expect("unpack");
    Layers::open(dir, &lower).expect("open").mount_by_options(&target).expect("mount");
}
