//! What layers amount to: the effects of one layer, and the file tree of several, without unpacking anything.
//!
//! Holds no content, only fingerprints. Invariant: two nodes with the same fingerprint have the same type, mode, owner,
//! content, target and kept extended attributes; times do not count.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};

use crate::compress::stream_error;
use crate::error::ImageError;
use crate::ids::LayerDiffId;
use crate::layer::{self, LayerItem, LayerReader};
use crate::record::LayerRef;
use crate::store::ContentStore;
use crate::tarball::{Entry, EntryKind};
use crate::unpack::is_allowed_xattr;

/// Most effects of all remembered layers together; about ten megabytes.
const REMEMBERED: usize = 100_000;

/// Hash over everything of a node that counts.
pub(crate) type Fingerprint = [u8; 32];

/// A node of a file tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) is_dir: bool,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) fingerprint: Fingerprint,
}

impl Node {
    /// A directory that is only implied by what lies below it.
    pub(crate) fn implied_dir() -> Self {
        Self { is_dir: true, mode: 0o755, uid: 0, gid: 0, fingerprint: [0; 32] }
    }
}

/// What a layer does to what is below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Put(Vec<u8>, Node),
    Remove(Vec<u8>),
    Clear(Vec<u8>),
}

/// A file tree; no entry for the root itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<Vec<u8>, Node>,
}

impl Tree {
    pub(crate) fn get(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// The paths strictly below a directory; all paths below the empty one.
    pub(crate) fn below<'a>(&'a self, dir: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let start = if dir.is_empty() { Vec::new() } else { [dir, b"/"].concat() };
        let prefix = start.clone();
        self.nodes.range(start..).map(|(path, _)| path.as_slice()).take_while(move |p| p.starts_with(&prefix))
    }

    fn clear_below(&mut self, dir: &[u8]) {
        let gone: Vec<Vec<u8>> = self.below(dir).map(<[u8]>::to_vec).collect();
        for path in gone {
            self.nodes.remove(&path);
        }
    }

    fn remove(&mut self, path: &[u8]) {
        self.clear_below(path);
        self.nodes.remove(path);
    }

    fn put(&mut self, path: &[u8], node: Node) {
        for ancestor in layer::ancestors(path) {
            if !self.nodes.get(ancestor).is_some_and(|n| n.is_dir) {
                self.nodes.insert(ancestor.to_vec(), Node::implied_dir());
            }
        }
        if !node.is_dir {
            self.clear_below(path);
        }
        self.nodes.insert(path.to_vec(), node);
    }

    /// Lays a layer on top. Removals concern lower layers only, wherever they stand in the archive.
    pub(crate) fn apply(&mut self, effects: &[Effect]) {
        for effect in effects {
            match effect {
                Effect::Remove(path) => self.remove(path),
                Effect::Clear(dir) => self.clear_below(dir),
                Effect::Put(..) => {}
            }
        }
        for effect in effects {
            if let Effect::Put(path, node) = effect {
                self.put(path, node.clone());
            }
        }
    }
}

/// Effects by layer. A diff id stands for its content, so nothing in here goes stale.
#[derive(Debug, Default)]
pub(crate) struct RememberedEffects(Mutex<HashMap<LayerDiffId, Arc<Vec<Effect>>>>);

impl RememberedEffects {
    fn get(&self, layer: &LayerDiffId) -> Option<Arc<Vec<Effect>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(layer).cloned()
    }

    /// Forgets everything when there is too much, rather than keeping an order of use.
    fn put(&self, layer: &LayerDiffId, effects: &Arc<Vec<Effect>>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held: usize = known.values().map(|effects| effects.len()).sum();
        if held + effects.len() > REMEMBERED {
            known.clear();
        }
        if effects.len() <= REMEMBERED {
            known.insert(layer.clone(), effects.clone());
        }
    }
}

impl ContentStore {
    /// The file tree of layers, lowest first.
    pub(crate) fn tree(&self, layers: &[LayerRef]) -> Result<Tree, ImageError> {
        let mut tree = Tree::default();
        for layer in layers {
            tree.apply(&self.effects(layer)?);
        }
        Ok(tree)
    }

    /// What one layer does, in the order of the archive. A layer is read once while it is remembered: a campaign asks for
    /// the same base with every application.
    pub(crate) fn effects(&self, layer: &LayerRef) -> Result<Arc<Vec<Effect>>, ImageError> {
        if let Some(known) = self.effects.get(&layer.diff_id) {
            return Ok(known);
        }
        let effects = Arc::new(self.read_effects(layer)?);
        self.effects.put(&layer.diff_id, &effects);
        Ok(effects)
    }

    fn read_effects(&self, layer: &LayerRef) -> Result<Vec<Effect>, ImageError> {
        let what = format!("layer {}", layer.blob_digest);
        let mut reader = layer::open(self.open_blob(&layer.blob_digest)?, &what, &self.limits)?;
        let mut effects = Vec::new();
        let mut prints: HashMap<Vec<u8>, Fingerprint> = HashMap::new();
        while let Some(item) = reader.next()? {
            match item {
                LayerItem::Whiteout(path) => effects.push(Effect::Remove(path)),
                LayerItem::Opaque(dir) => effects.push(Effect::Clear(dir)),
                LayerItem::Entry(entry) if entry.path.is_empty() => {}
                LayerItem::Entry(entry) => {
                    let linked = prints.get(&entry.link).copied();
                    let fingerprint = match (entry.kind, linked) {
                        (EntryKind::Hardlink, Some(print)) => print,
                        _ => fingerprint(&entry, &mut reader)?,
                    };
                    prints.insert(entry.path.clone(), fingerprint);
                    let is_dir = entry.kind == EntryKind::Directory;
                    let node = Node { is_dir, mode: entry.mode, uid: entry.uid, gid: entry.gid, fingerprint };
                    effects.push(Effect::Put(entry.path, node));
                }
            }
        }
        Ok(effects)
    }
}

fn fingerprint<R: Read>(entry: &Entry, content: &mut LayerReader<R>) -> Result<Fingerprint, ImageError> {
    let mut hash = Sha256::new();
    let kind: u8 = match entry.kind {
        EntryKind::Directory => b'd',
        EntryKind::Symlink => b'l',
        EntryKind::Fifo => b'p',
        _ => b'f',
    };
    hash.update([kind]);
    // The mode of a symbolic link means nothing and differs between archivers.
    let mode = if kind == b'l' { 0 } else { entry.mode };
    for number in [mode, entry.uid, entry.gid] {
        hash.update(number.to_le_bytes());
    }
    let mut xattrs: Vec<_> = entry.xattrs.iter().filter(|(name, _)| is_allowed_xattr(name)).collect();
    xattrs.sort();
    hash.update((xattrs.len() as u64).to_le_bytes());
    let parts = xattrs.iter().flat_map(|(name, value)| [name, value]);
    for part in parts.chain((kind == b'l').then_some(&entry.link)) {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    if entry.kind == EntryKind::File {
        io::copy(content, &mut hash).map_err(|e| stream_error(content.what(), Some(entry.shown()), e))?;
    }
    Ok(hash.finalize().into())
}
