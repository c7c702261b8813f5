//! Unpacking layers, each into a directory of its own that overlayfs can use as a lower directory.
//!
//! Whiteouts become character devices 0:0, opaque directories get `trusted.overlay.opaque` (kernel documentation,
//! overlayfs); one that hides nothing is listed in its directory but not found there. No other device is ever made. Directories that a layer implies but does not list get mode 0755 and owner
//! root, because layers are unpacked without regard to the ones below.
//!
//! Invariants:
//! 1. Every path is resolved by the kernel inside the layer's root (`RESOLVE_IN_ROOT`), the last component is never
//!    followed: whatever a layer contains, nothing outside its root is touched.
//! 2. An unpacked layer appears by rename, complete, and belongs to a blob whose diff id was checked.
//! 3. Unpacked layers are derived data and are not flushed. Each notes the boot it was made in; one from an earlier boot
//!    may have lost writes in a crash and is made again.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::compress::stream_error;
use crate::error::ImageError;
use crate::ids::{ImageDigest, LayerDiffId};
use crate::layer::{self, LayerItem, LayerReader, split};
use crate::record::ImageRecord;
use crate::store::ContentStore;
use crate::tarball::{Entry, EntryKind};

const COPY_BUFFER_BYTES: usize = 128 << 10;
const OPAQUE_XATTR: &str = "trusted.overlay.opaque";
const BOOT_FILE: &str = "boot";
const FILES_DIR: &str = "fs";

impl ContentStore {
    /// The unpacked directories of an image's layers, lowest first; unpacks what is not there yet.
    pub(crate) fn unpack_layers(&self, record: &ImageRecord) -> Result<Vec<PathBuf>, ImageError> {
        let boot = boot_id()?;
        let mut dirs = Vec::with_capacity(record.layers.len());
        for layer in &record.layers {
            let dir = self.disk.layer(&layer.diff_id);
            if !is_current(&dir, &boot) {
                let _lock = self.disk.lock_unpack(&layer.diff_id)?;
                if !is_current(&dir, &boot) {
                    self.unpack(&layer.diff_id, &layer.blob_digest, &boot)?;
                }
            }
            dirs.push(dir.join(FILES_DIR));
        }
        Ok(dirs)
    }

    fn unpack(&self, diff_id: &LayerDiffId, blob: &ImageDigest, boot: &str) -> Result<(), ImageError> {
        let temp = self.disk.temp_dir("unpack-")?;
        let root = temp.path().join(FILES_DIR);
        fs::create_dir(&root).map_err(ImageError::io("create", &root))?;
        let what = format!("layer {blob}");
        let mut reader = layer::open(self.open_blob(blob)?, &what, &self.limits)?;
        let mut tree = Tree::open(&root)?;
        while let Some(item) = reader.next()? {
            tree.apply(item, &mut reader)?;
        }
        tree.finish()?;
        let actual = reader.finish()?;
        if actual != *diff_id {
            let (expected, actual) = (diff_id.to_string(), actual.to_string());
            return Err(ImageError::DiffIdMismatch { layer: blob.to_string(), expected, actual });
        }
        let note = temp.path().join(BOOT_FILE);
        File::create_new(&note)
            .and_then(|mut f| f.write_all(boot.as_bytes()))
            .map_err(ImageError::io("write", &note))?;
        let target = self.disk.layer(diff_id);
        // Only a directory from an earlier boot can be in the way; its mounts went with that boot.
        self.disk.discard(&target)?;
        fs::rename(temp.path(), &target).map_err(ImageError::io("create", &target))?;
        // The directory is no longer where `temp` would delete it.
        drop(temp.keep());
        Ok(())
    }
}

fn is_current(dir: &Path, boot: &str) -> bool {
    fs::read_to_string(dir.join(BOOT_FILE)).is_ok_and(|noted| noted == boot)
}

fn boot_id() -> Result<String, ImageError> {
    let path = Path::new("/proc/sys/kernel/random/boot_id");
    fs::read_to_string(path).map(|id| id.trim().to_owned()).map_err(ImageError::io("read", path))
}

/// A directory being filled.
struct Tree {
    path: PathBuf,
    root: OwnedFd,
    /// The directory of the entry before: archives list directories one after the other.
    last_parent: Option<(Vec<u8>, OwnedFd)>,
    /// Times of directories, set at the end because filling them changes their times.
    times: Vec<(Vec<u8>, i64)>,
}

impl Tree {
    fn open(path: &Path) -> Result<Self, ImageError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(ImageError::io("open", path))?;
        Ok(Self { path: path.to_owned(), root, last_parent: None, times: Vec::new() })
    }

    fn apply<R: Read>(&mut self, item: LayerItem, content: &mut LayerReader<R>) -> Result<(), ImageError> {
        match item {
            LayerItem::Whiteout(path) => self.on(&path, "hide", |tree| tree.whiteout(&path)),
            LayerItem::Opaque(dir) => self.on(&dir, "hide", |tree| tree.opaque(&dir)),
            LayerItem::Entry(entry) if entry.path.is_empty() => {
                self.on(b"", "create", |tree| attributes(&tree.root, &entry))
            }
            LayerItem::Entry(entry) => self.entry(&entry, content),
        }
    }

    fn on<T>(
        &mut self,
        path: &[u8],
        action: &'static str,
        change: impl FnOnce(&mut Self) -> Result<T, Errno>,
    ) -> Result<T, ImageError> {
        change(self).map_err(|e| self.error(action, path)(e))
    }

    fn error(&self, action: &'static str, path: &[u8]) -> impl FnOnce(Errno) -> ImageError + use<> {
        // The message only; nothing is opened by this path.
        ImageError::io(action, &self.path.join(OsStr::from_bytes(path)))
    }

    fn entry<R: Read>(&mut self, entry: &Entry, content: &mut LayerReader<R>) -> Result<(), ImageError> {
        match entry.kind {
            EntryKind::Directory => self.on(&entry.path, "create", |tree| tree.directory(entry)),
            EntryKind::File => self.file(entry, content),
            EntryKind::Symlink => self.on(&entry.path, "create", |tree| {
                tree.make_way(&entry.path)?;
                let (parent, name) = tree.parent(&entry.path)?;
                rustix::fs::symlinkat(entry.link.as_slice(), &parent, name.as_slice())?;
                attributes_at(parent, name.as_slice(), entry)
            }),
            EntryKind::Hardlink => self.on(&entry.path, "link", |tree| {
                tree.make_way(&entry.path)?;
                let (target_parent, target) = tree.parent(&entry.link)?;
                let (parent, name) = tree.parent(&entry.path)?;
                rustix::fs::linkat(
                    target_parent,
                    target.as_slice(),
                    parent,
                    name.as_slice(),
                    AtFlags::empty(),
                )
            }),
            EntryKind::Fifo => self.on(&entry.path, "create", |tree| {
                tree.make_way(&entry.path)?;
                let (parent, name) = tree.parent(&entry.path)?;
                rustix::fs::mknodat(&parent, name.as_slice(), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
                rustix::fs::chmodat(&parent, name.as_slice(), mode(entry.mode), AtFlags::empty())?;
                attributes_at(parent, name.as_slice(), entry)
            }),
            // The layer reader gives none of these out.
            EntryKind::Device | EntryKind::Sparse | EntryKind::Other => Ok(()),
        }
    }

    /// Opens a directory of the tree; a symbolic link in it cannot lead out.
    fn open_dir(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path: &[u8] = if path.is_empty() { b"." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, path, flags, Mode::empty(), resolve)
    }

    /// The open parent of a path, made when absent, and the path's last component.
    fn parent(&mut self, path: &[u8]) -> Result<(OwnedFd, Vec<u8>), Errno> {
        let (parent, name) = split(path);
        if let Some((known, fd)) = &self.last_parent
            && known == parent
        {
            return Ok((fd.try_clone().map_err(|e| errno(&e))?, name.to_vec()));
        }
        let fd = match self.open_dir(parent) {
            // Not a directory: perhaps a whiteout of an earlier entry, which then becomes an opaque directory.
            Err(Errno::NOENT | Errno::NOTDIR) => {
                self.make_parents(path)?;
                self.open_dir(parent)?
            }
            other => other?,
        };
        self.last_parent = Some((parent.to_vec(), fd.try_clone().map_err(|e| errno(&e))?));
        Ok((fd, name.to_vec()))
    }

    fn make_parents(&self, path: &[u8]) -> Result<(), Errno> {
        for ancestor in layer::ancestors(path) {
            let (above, name) = split(ancestor);
            let above = self.open_dir(above)?;
            make_dir(&above, name)?;
        }
        Ok(())
    }

    /// Removes what an earlier entry of the same layer put at a path; a directory stays and makes the caller fail.
    fn make_way(&mut self, path: &[u8]) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        match kind_at(&parent, &name)? {
            None => Ok(()),
            Some(FileType::Directory) => Err(Errno::ISDIR),
            Some(_) => {
                // It may be a link through which a directory was opened.
                self.last_parent = None;
                rustix::fs::unlinkat(&parent, name.as_slice(), AtFlags::empty())
            }
        }
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), Errno> {
        let (parent, name) = self.parent(&entry.path)?;
        if kind_at(&parent, &name)? == Some(FileType::Symlink) {
            rustix::fs::unlinkat(&parent, name.as_slice(), AtFlags::empty())?;
            // What was open as a directory through that link is elsewhere.
            self.last_parent = None;
        } else if matches!(kind_at(&parent, &name)?, Some(FileType::RegularFile | FileType::Fifo)) {
            rustix::fs::unlinkat(&parent, name.as_slice(), AtFlags::empty())?;
        }
        make_dir(&parent, &name)?;
        let dir = open_here(&parent, &name)?;
        attributes(&dir, entry)?;
        self.times.push((entry.path.clone(), entry.mtime));
        Ok(())
    }

    fn file<R: Read>(&mut self, entry: &Entry, content: &mut LayerReader<R>) -> Result<(), ImageError> {
        let created = self.on(&entry.path, "create", |tree| {
            tree.make_way(&entry.path)?;
            let (parent, name) = tree.parent(&entry.path)?;
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&parent, name.as_slice(), flags, Mode::RUSR | Mode::WUSR)
        })?;
        let mut file = File::from(created);
        let mut buffer =
            vec![0; COPY_BUFFER_BYTES.min(usize::try_from(entry.size).unwrap_or(usize::MAX).max(1))];
        loop {
            let n = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(stream_error(content.what(), Some(entry.shown()), e)),
            };
            file.write_all(&buffer[..n]).map_err(|e| self.error("write", &entry.path)(errno(&e)))?;
        }
        self.on(&entry.path, "set the attributes of", |_| {
            attributes(&file, entry)?;
            rustix::fs::futimens(&file, &times(entry.mtime))
        })
    }

    fn whiteout(&mut self, path: &[u8]) -> Result<(), Errno> {
        let (parent, name) = self.parent(path)?;
        match kind_at(&parent, &name)? {
            // The layer has this directory itself: what is below of lower layers is hidden.
            Some(FileType::Directory) => set_opaque(&open_here(&parent, &name)?),
            // The layer has this file itself, which hides lower ones.
            Some(_) => Ok(()),
            None => {
                rustix::fs::mknodat(&parent, name.as_slice(), FileType::CharacterDevice, Mode::empty(), 0)
            }
        }
    }

    fn opaque(&mut self, dir: &[u8]) -> Result<(), Errno> {
        if dir.is_empty() {
            return set_opaque(&self.root);
        }
        let (parent, name) = self.parent(dir)?;
        make_dir(&parent, &name)?;
        set_opaque(&open_here(&parent, &name)?)
    }

    fn finish(&mut self) -> Result<(), ImageError> {
        for (path, mtime) in std::mem::take(&mut self.times).into_iter().rev() {
            self.on(&path, "set the attributes of", |tree| {
                match tree.open_dir(&path) {
                    Ok(dir) => rustix::fs::futimens(&dir, &times(mtime)),
                    // A later entry may have replaced it.
                    Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
                    Err(e) => Err(e),
                }
            })?;
        }
        Ok(())
    }
}

/// Makes a directory unless it is there; one that an earlier entry hid gets opaque instead.
fn make_dir(parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    let hidden = match kind_at(parent, name)? {
        Some(FileType::Directory | FileType::Symlink) => return Ok(()),
        Some(FileType::CharacterDevice) => {
            rustix::fs::unlinkat(parent, name, AtFlags::empty())?;
            true
        }
        _ => false,
    };
    rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755))?;
    // `mkdir` heeds the process's umask.
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
    if hidden { set_opaque(&open_here(parent, name)?) } else { Ok(()) }
}

/// Owner, mode and extended attributes; the owner first, because changing it clears set-uid bits and capabilities.
fn attributes(target: &impl AsFd, entry: &Entry) -> Result<(), Errno> {
    let (uid, gid) = owner(entry);
    rustix::fs::fchown(target, uid, gid)?;
    rustix::fs::fchmod(target, mode(entry.mode))?;
    for (name, value) in &entry.xattrs {
        if !is_allowed_xattr(name) {
            continue;
        }
        match rustix::fs::fsetxattr(target, name.as_slice(), value, XattrFlags::empty()) {
            // Some file systems have no user attributes; a capability that is lost would break the program.
            Err(Errno::NOTSUP) if name.starts_with(b"user.") => {}
            other => other?,
        }
    }
    Ok(())
}

fn attributes_at(parent: OwnedFd, name: &[u8], entry: &Entry) -> Result<(), Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = owner(entry);
    rustix::fs::chownat(&parent, name, uid, gid, flags)?;
    rustix::fs::utimensat(parent, name, &times(entry.mtime), flags)
}

fn open_here(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(parent, name, flags, Mode::empty())
}

fn kind_at(parent: &OwnedFd, name: &[u8]) -> Result<Option<FileType>, Errno> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

fn set_opaque(dir: &OwnedFd) -> Result<(), Errno> {
    rustix::fs::fsetxattr(dir, OPAQUE_XATTR, b"y", XattrFlags::empty())
}

/// Capabilities and the user's own attributes. Everything else either means something to this kernel only (overlay,
/// labels) or must not come from a stranger.
pub(crate) fn is_allowed_xattr(name: &[u8]) -> bool {
    name == b"security.capability" || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

fn mode(bits: u32) -> Mode {
    Mode::from_raw_mode(bits & 0o7777)
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

fn times(mtime: i64) -> Timestamps {
    let at = Timespec { tv_sec: mtime, tv_nsec: 0 };
    Timestamps { last_access: at, last_modification: at }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
