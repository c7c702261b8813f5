//! Reading a directory tree as if it were one layer, for scanners.
//!
//! Every directory and file is opened beneath a handle on the root, with no link followed anywhere on the way (openat2 with
//! `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS`), so that nothing outside is read whatever changes meanwhile. Invariants: devices, pipes
//! and sockets are never opened; depth and number of entries are bounded; whatever could not be read is a warning in the facts, which makes
//! the result partial; the same tree gives the same facts.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use konzert_packages::{LayerCataloguer, LayerFacts};
use rustix::fs::{Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::ImageError;
use crate::limits;

/// Deepest nesting of directories that is read.
pub const MAX_ROOT_DEPTH: usize = limits::MAX_PATH_DEPTH;
/// Most entries that are read.
pub const MAX_ROOT_ENTRIES: u64 = 5_000_000;
/// Most warnings about entries; the last one says that there are more.
const MAX_WARNINGS: usize = 20;
/// Entries between two progress reports.
const REPORT_EVERY: u64 = 1000;
/// File systems that hold no files of anybody's: procfs, sysfs, cgroup, cgroup2, devpts, debugfs, tracefs, securityfs, bpf,
/// mqueue, hugetlbfs.
const PSEUDO: [i64; 11] = [
    0x9fa0,
    0x6265_6572,
    0x27_e0eb,
    0x6367_7270,
    0x1cd1,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
    0x1980_0202,
    0x9584_58f6,
];

/// A tree under way.
struct Walk<'a> {
    root: OwnedFd,
    cataloguer: LayerCataloguer,
    warnings: Vec<String>,
    entries: u64,
    progress: &'a dyn Fn(u64),
}

/// Reads the tree below `dir`; `progress` hears of the number of entries. An error is about the directory itself.
pub fn read_root(dir: &Path, progress: &dyn Fn(u64)) -> Result<LayerFacts, ImageError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(dir, flags, Mode::empty()).map_err(ImageError::io("open", dir))?;
    let cataloguer = LayerCataloguer::new("");
    let mut walk = Walk { root, cataloguer, warnings: Vec::new(), entries: 0, progress };
    // The root itself must be readable: an empty answer would look clean.
    let first = walk.list(b"").map_err(ImageError::io("read", dir))?;
    let mut open: Vec<(Vec<u8>, usize)> = walk.take(b"", first, 0);
    while let Some((path, depth)) = open.pop() {
        if walk.is_full() {
            break;
        }
        if depth >= MAX_ROOT_DEPTH {
            walk.warn(
                &path,
                &format!("not read: directories lie more than {MAX_ROOT_DEPTH} deep in each other"),
            );
            continue;
        }
        match walk.list(&path) {
            Ok(names) => open.extend(walk.take(&path, names, depth)),
            Err(Errno::NOENT) => {}
            Err(error) => walk.warn(&path, &format!("not read: {error}")),
        }
    }
    let mut facts = walk.cataloguer.finish();
    facts.warnings.extend(walk.warnings);
    Ok(facts)
}

impl Walk<'_> {
    fn is_full(&self) -> bool {
        self.entries >= MAX_ROOT_ENTRIES
    }

    /// The names in a directory, sorted; none for a pseudo file system.
    fn list(&self, path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = if path.is_empty() {
            self.root.try_clone().map_err(|e| errno(&e))?
        } else {
            self.open(path, flags)?
        };
        if is_pseudo(&dir)? {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !matches!(name, b"." | b"..") {
                names.push(name.to_vec());
            }
            if names.len() as u64 > MAX_ROOT_ENTRIES {
                return Err(Errno::OVERFLOW);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads what is in a directory and gives its subdirectories, last one first.
    fn take(&mut self, dir: &[u8], names: Vec<Vec<u8>>, depth: usize) -> Vec<(Vec<u8>, usize)> {
        let mut directories = Vec::new();
        for name in names {
            if self.is_full() {
                let text = format!("not read: there are more than {MAX_ROOT_ENTRIES} entries");
                self.warn(dir, &text);
                break;
            }
            self.entries += 1;
            if self.entries.is_multiple_of(REPORT_EVERY) {
                (self.progress)(self.entries);
            }
            let path = crate::layer::join(dir, &name);
            if path.len() > limits::MAX_PATH_BYTES {
                self.warn(dir, &format!("not read: paths are longer than {} bytes", limits::MAX_PATH_BYTES));
                continue;
            }
            match self.entry(&path) {
                Ok(true) => directories.push((path, depth + 1)),
                Ok(false) => {}
                // Somebody else works in the tree.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.warn(&path, &format!("not read: {error}")),
            }
        }
        directories.reverse();
        directories
    }

    /// Hands one entry to the cataloguer; true for a directory, which is read later.
    fn entry(&mut self, path: &[u8]) -> io::Result<bool> {
        let handle = self.open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
        let stat = rustix::fs::fstat(&handle)?;
        let text = String::from_utf8_lossy(path).into_owned();
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return Ok(true),
            FileType::RegularFile => self.file(path, &text)?,
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(&handle, c"", Vec::new())?;
                self.cataloguer.symlink(&text, &String::from_utf8_lossy(target.as_bytes()));
            }
            _ => self.cataloguer.special(&text),
        }
        Ok(false)
    }

    fn file(&mut self, path: &[u8], text: &str) -> io::Result<()> {
        // Non-blocking, should a pipe have taken the place of the file meanwhile.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let mut file = File::from(self.open(path, flags)?);
        let meta = file.metadata()?;
        if !meta.is_file() {
            self.cataloguer.special(text);
            return Ok(());
        }
        self.cataloguer.file(text, meta.len(), &mut file)
    }

    fn open(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.root, OsStr::from_bytes(path), flags, Mode::empty(), resolve)
    }

    fn warn(&mut self, path: &[u8], text: &str) {
        match self.warnings.len() {
            n if n < MAX_WARNINGS => {
                let path: String = String::from_utf8_lossy(path).chars().take(200).collect();
                let shown = if path.is_empty() { "the root" } else { &path };
                let text = format!("{shown}: {text}");
                self.warnings
                    .push(text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect());
            }
            MAX_WARNINGS => self.warnings.push("more was not read".to_owned()),
            _ => {}
        }
    }
}

fn is_pseudo(dir: &impl AsFd) -> Result<bool, Errno> {
    let kind = rustix::fs::fstatfs(dir)?.f_type;
    Ok(PSEUDO.contains(&kind))
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc")).unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib/dpkg")).unwrap();
        put(&dir.path().join("etc/os-release"), "ID=debian\nVERSION_ID=\"12\"\n");
        put(&dir.path().join("var/lib/dpkg/status"), STATUS);
        dir
    }

    const STATUS: &str =
        "Package: zlib1g\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:1.2.13\n";

    fn put(path: &Path, text: &str) {
        use std::io::Write as _;
        File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn read(dir: &Path) -> konzert_packages::Catalogue {
        let facts = read_root(dir, &|_| {}).unwrap();
        konzert_packages::catalogue(&[facts], konzert_packages::Precision::Precise)
    }

    #[test]
    fn a_tree_is_read_like_a_layer() {
        let dir = tree();
        let found = read(dir.path());
        assert_eq!(found.packages[0].purl(), "pkg:deb/debian/zlib1g@1:1.2.13?arch=amd64&distro=debian-12");
        assert!(found.complete, "{:?}", found.warnings);
    }

    #[test]
    fn links_lead_nowhere_and_loops_end() {
        let outside = tree();
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("var/lib")).unwrap();
        symlink(outside.path().join("var/lib/dpkg"), dir.path().join("var/lib/dpkg")).unwrap();
        symlink("..", dir.path().join("var/loop")).unwrap();
        symlink(outside.path().join("etc"), dir.path().join("etc")).unwrap();
        let found = read(dir.path());
        assert!(found.packages.is_empty() && found.distribution.is_none(), "{found:?}");
        // A database that is a link is not silently absent.
        symlink(outside.path().join("var/lib/dpkg/status"), dir.path().join("status")).unwrap();
        std::fs::remove_file(dir.path().join("var/lib/dpkg")).unwrap();
        std::fs::create_dir(dir.path().join("var/lib/dpkg")).unwrap();
        symlink(outside.path().join("var/lib/dpkg/status"), dir.path().join("var/lib/dpkg/status")).unwrap();
        let found = read(dir.path());
        assert!(found.packages.is_empty() && !found.complete, "{found:?}");
    }

    #[test]
    fn depth_is_bounded_and_said() {
        let dir = tree();
        let mut deep = dir.path().join("deep");
        std::fs::create_dir(&deep).unwrap();
        let mut at = rustix::fs::open(&deep, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        for _ in 0..3000 {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
            at = rustix::fs::openat(&at, "d", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        }
        let found = read(dir.path());
        assert!(!found.complete, "partial");
        assert!(found.warnings.iter().any(|w| w.contains("deep in each other")), "{:?}", found.warnings);
        assert_eq!(found.packages.len(), 1, "the rest is read");
        deep.pop();
    }

    #[test]
    fn pipes_and_large_files_do_not_hang() {
        let dir = tree();
        let mode = nix::sys::stat::Mode::from_bits_truncate(0o644);
        nix::unistd::mkfifo(&dir.path().join("var/lib/dpkg/available"), mode).unwrap();
        std::fs::create_dir(dir.path().join("var/lib/rpm")).unwrap();
        nix::unistd::mkfifo(&dir.path().join("var/lib/rpm/rpmdb.sqlite"), mode).unwrap();
        File::create(dir.path().join("large")).unwrap().set_len(2 << 30).unwrap();
        assert_eq!(read(dir.path()).packages.len(), 1);
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        assert!(read_root(Path::new("/nowhere/at/all"), &|_| {}).is_err());
        let dir = tree();
        assert!(read_root(&dir.path().join("etc/os-release"), &|_| {}).is_err());
    }
}
