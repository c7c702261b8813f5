//! One layer in the making, and the tar it becomes.
//!
//! Entries are sorted by path and have a fixed time, so the order of calls does not matter. Directories that are only
//! implied take mode and owner from the base image, because an entry for them would otherwise change them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tar::{EntryType, Header};

use crate::error::{EntryFault, ImageError};
use crate::ids::shown;
use crate::layer::{ancestors, join, split};
use crate::tarball::clean_path;
use crate::tree::{Node as TreeNode, Tree};

const BLOCK: usize = 512;
const COPY_BUFFER_BYTES: usize = 128 << 10;
/// Longest name and link name of a ustar header.
const MAX_USTAR_NAME_BYTES: usize = 100;

/// How a layer is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerCompression {
    /// As a plain tar: diff id and blob digest are the same, nothing is decompressed later.
    #[default]
    None,
    /// Gzip.
    Gzip,
}

/// A layer in the making. Wrong paths are reported when the image is committed.
#[derive(Clone, Debug, Default)]
pub struct LayerBuilder {
    nodes: BTreeMap<Vec<u8>, Node>,
    refused: Option<(String, &'static str)>,
    uid: u32,
    gid: u32,
    mtime: i64,
    compression: LayerCompression,
}

#[derive(Clone, Debug)]
struct Node {
    uid: u32,
    gid: u32,
    mode: u32,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Bytes(Vec<u8>),
    From(PathBuf),
    Directory,
    Symlink(Vec<u8>),
}

impl LayerBuilder {
    /// An empty layer, owned by root, times at the epoch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Owner of what is added from here on.
    #[must_use]
    pub fn owner(mut self, uid: u32, gid: u32) -> Self {
        (self.uid, self.gid) = (uid, gid);
        self
    }

    /// Modification time of all entries, seconds since the epoch.
    #[must_use]
    pub fn mtime(mut self, seconds: i64) -> Self {
        self.mtime = seconds;
        self
    }

    /// How the layer is stored.
    #[must_use]
    pub fn compression(mut self, compression: LayerCompression) -> Self {
        self.compression = compression;
        self
    }

    /// A file with the given content.
    #[must_use]
    pub fn file(self, path: impl AsRef<Path>, mode: u32, content: impl Into<Vec<u8>>) -> Self {
        self.add(path.as_ref(), mode, Kind::Bytes(content.into()))
    }

    /// A file with the content of a file of this machine, read when the image is committed.
    #[must_use]
    pub fn file_from(self, path: impl AsRef<Path>, mode: u32, source: &Path) -> Self {
        self.add(path.as_ref(), mode, Kind::From(source.to_owned()))
    }

    /// A directory.
    #[must_use]
    pub fn dir(self, path: impl AsRef<Path>, mode: u32) -> Self {
        self.add(path.as_ref(), mode, Kind::Directory)
    }

    /// A symbolic link.
    #[must_use]
    pub fn symlink(self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        let target = target.as_ref().as_os_str().as_encoded_bytes().to_vec();
        self.add(path.as_ref(), 0o777, Kind::Symlink(target))
    }

    /// Removes what lower layers have at a path.
    #[must_use]
    pub fn whiteout(self, path: impl AsRef<Path>) -> Self {
        let raw = path.as_ref().as_os_str().as_encoded_bytes();
        match clean_path(strip_root(raw)) {
            Ok(path) if !path.is_empty() => {
                let (parent, name) = split(&path);
                let marker = join(parent, &[b".wh.", name].concat());
                self.insert(marker, 0, Kind::Bytes(Vec::new()))
            }
            _ => self.refuse(raw, "it names nothing that could be removed"),
        }
    }

    /// Removes everything that lower layers have below a directory.
    #[must_use]
    pub fn opaque(self, dir: impl AsRef<Path>) -> Self {
        let raw = dir.as_ref().as_os_str().as_encoded_bytes();
        match clean_path(strip_root(raw)) {
            Ok(dir) if !dir.is_empty() => {
                self.insert(join(&dir, b".wh..wh..opq"), 0, Kind::Bytes(Vec::new()))
            }
            _ => self.refuse(raw, "it is not a directory below the root"),
        }
    }

    fn add(self, path: &Path, mode: u32, kind: Kind) -> Self {
        let raw = path.as_os_str().as_encoded_bytes();
        let clean = match clean_path(strip_root(raw)) {
            Ok(path) if path.is_empty() => return self.refuse(raw, "it is the root"),
            Ok(path) => path,
            Err(EntryFault::ParentComponent) => return self.refuse(raw, "it climbs out with \"..\""),
            Err(EntryFault::TooLong) => return self.refuse(raw, "it is too long or nested too deeply"),
            Err(_) => return self.refuse(raw, "it is not a usable path"),
        };
        if split(&clean).1.starts_with(b".wh.") {
            return self.refuse(raw, "names that start with .wh. are whiteouts");
        }
        self.insert(clean, mode, kind)
    }

    fn insert(mut self, path: Vec<u8>, mode: u32, kind: Kind) -> Self {
        let node = Node { uid: self.uid, gid: self.gid, mode: mode & 0o7777, kind };
        self.nodes.insert(path, node);
        self
    }

    fn refuse(mut self, path: &[u8], reason: &'static str) -> Self {
        self.refused.get_or_insert((shown(&String::from_utf8_lossy(path)), reason));
        self
    }

    pub(super) fn layer_compression(&self) -> LayerCompression {
        self.compression
    }

    /// Writes the tar; `path` names the output in errors.
    pub(super) fn write(&self, base: &Tree, out: &mut dyn Write, path: &Path) -> Result<(), ImageError> {
        if let Some((path, reason)) = &self.refused {
            return Err(ImageError::BadLayerPath { path: path.clone(), reason });
        }
        let mut nodes = self.nodes.clone();
        for known in self.nodes.keys() {
            for ancestor in ancestors(known) {
                let node = nodes.entry(ancestor.to_vec()).or_insert_with(|| implied(base, ancestor));
                if !matches!(node.kind, Kind::Directory) {
                    let path = shown(&String::from_utf8_lossy(known));
                    return Err(ImageError::BadLayerPath {
                        path,
                        reason: "it lies below a file of the same layer",
                    });
                }
            }
        }
        let mut tar = TarWriter { out, path, mtime: self.mtime };
        for (path, node) in &nodes {
            tar.node(path, node)?;
        }
        tar.put(&[0; 2 * BLOCK])
    }
}

/// `/etc/x` and `etc/x` are the same to a caller; archives have the latter.
fn strip_root(path: &[u8]) -> &[u8] {
    path.strip_prefix(b"/").unwrap_or(path)
}

fn implied(base: &Tree, path: &[u8]) -> Node {
    let like = match base.get(path) {
        Some(node) if node.is_dir => node.clone(),
        _ => TreeNode::implied_dir(),
    };
    Node { uid: like.uid, gid: like.gid, mode: like.mode, kind: Kind::Directory }
}

struct TarWriter<'a> {
    out: &'a mut dyn Write,
    path: &'a Path,
    mtime: i64,
}

impl TarWriter<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.out.write_all(bytes).map_err(ImageError::io("write", self.path))
    }

    fn pad(&mut self, size: u64) -> Result<(), ImageError> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if over == 0 { Ok(()) } else { self.put(&[0; BLOCK][over..]) }
    }

    fn node(&mut self, path: &[u8], node: &Node) -> Result<(), ImageError> {
        match &node.kind {
            Kind::Directory => self.header(&[path, b"/"].concat(), node, EntryType::Directory, b"", 0),
            Kind::Symlink(target) => self.header(path, node, EntryType::Symlink, target, 0),
            Kind::Bytes(content) => {
                self.header(path, node, EntryType::Regular, b"", content.len() as u64)?;
                self.put(content)?;
                self.pad(content.len() as u64)
            }
            Kind::From(source) => self.file_from(path, node, source),
        }
    }

    fn file_from(&mut self, path: &[u8], node: &Node, source: &Path) -> Result<(), ImageError> {
        let mut file = File::open(source).map_err(ImageError::io("read", source))?;
        let size = file.metadata().map_err(ImageError::io("read", source))?.len();
        self.header(path, node, EntryType::Regular, b"", size)?;
        let mut left = size;
        let mut buffer = vec![0; COPY_BUFFER_BYTES];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            match file.read(&mut buffer[..want]) {
                Ok(0) => {
                    return Err(ImageError::io("read", source)(io::Error::from(
                        io::ErrorKind::UnexpectedEof,
                    )));
                }
                Ok(n) => {
                    self.put(&buffer[..n])?;
                    left -= n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(ImageError::io("read", source)(e)),
            }
        }
        self.pad(size)
    }

    fn header(
        &mut self,
        name: &[u8],
        node: &Node,
        kind: EntryType,
        link: &[u8],
        size: u64,
    ) -> Result<(), ImageError> {
        let mut records = Vec::new();
        if name.len() > MAX_USTAR_NAME_BYTES {
            records.extend(pax_record("path", name));
        }
        if link.len() > MAX_USTAR_NAME_BYTES {
            records.extend(pax_record("linkpath", link));
        }
        if self.mtime < 0 {
            records.extend(pax_record("mtime", self.mtime.to_string().as_bytes()));
        }
        if !records.is_empty() {
            let extension = Node { uid: 0, gid: 0, mode: 0o644, kind: Kind::Directory };
            let size = records.len() as u64;
            let block = self.block(b"pax", &extension, EntryType::XHeader, b"", size);
            self.put(block.as_bytes())?;
            self.put(&records)?;
            self.pad(size)?;
        }
        let block = self.block(name, node, kind, link, size);
        self.put(block.as_bytes())
    }

    fn block(&self, name: &[u8], node: &Node, kind: EntryType, link: &[u8], size: u64) -> Header {
        let mut header = Header::new_ustar();
        let fields = header.as_old_mut();
        for (field, value) in [(&mut fields.name, name), (&mut fields.linkname, link)] {
            let n = value.len().min(field.len());
            field[..n].copy_from_slice(&value[..n]);
        }
        header.set_entry_type(kind);
        header.set_mode(node.mode);
        header.set_uid(node.uid.into());
        header.set_gid(node.gid.into());
        header.set_size(size);
        header.set_mtime(u64::try_from(self.mtime).unwrap_or(0));
        header.set_cksum();
        header
    }
}

/// `<length> <key>=<value>\n`, where the length counts its own digits.
fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length += 1;
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}
