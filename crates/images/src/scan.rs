//! Reading layers for scanners: one pass over the stored tar, straight into the cataloguer.
//!
//! No temporary copies, nothing is unpacked. What could not be read becomes a warning in the facts: it must not look clean.

use std::io::Read;

use konzert_packages::{LayerCataloguer, LayerFacts};

use crate::compress::stream_error;
use crate::error::ImageError;
use crate::ids::LayerDiffId;
use crate::layer::{self, LayerItem, LayerReader};
use crate::store::ContentStore;
use crate::tarball::EntryKind;

impl ContentStore {
    /// What the files of a layer say of the packages in it, and what the layer hides of lower ones.
    pub fn layer_facts(&self, diff_id: &LayerDiffId) -> Result<LayerFacts, ImageError> {
        let index = self.index.read(&self.disk)?;
        let blob = index
            .blob_of_layer(diff_id)
            .ok_or_else(|| ImageError::LayerNotFound { diff_id: diff_id.to_string() })?;
        let mut reader = layer::open(self.open_blob(&blob)?, &format!("layer {blob}"), &self.limits)?;
        facts_of(&mut reader, diff_id)
    }
}

/// Reads a layer to its last entry into the cataloguer.
pub(crate) fn facts_of<R: Read>(
    reader: &mut LayerReader<R>,
    diff_id: &LayerDiffId,
) -> Result<LayerFacts, ImageError> {
    let mut cataloguer = LayerCataloguer::new(diff_id.as_str());
    while let Some(item) = reader.next()? {
        let entry = match item {
            LayerItem::Whiteout(path) => {
                cataloguer.whiteout(&lossy(&path));
                continue;
            }
            LayerItem::Opaque(dir) => {
                cataloguer.opaque(&lossy(&dir));
                continue;
            }
            LayerItem::Entry(entry) => entry,
        };
        let path = lossy(&entry.path);
        match entry.kind {
            EntryKind::File => {
                let read = cataloguer.file(&path, entry.size, reader);
                read.map_err(|e| stream_error(reader.what(), Some(entry.shown()), e))?;
            }
            EntryKind::Symlink => cataloguer.symlink(&path, &lossy(&entry.link)),
            EntryKind::Hardlink => cataloguer.hardlink(&path, &lossy(&entry.link)),
            EntryKind::Directory => {}
            EntryKind::Fifo | EntryKind::Device | EntryKind::Sparse | EntryKind::Other => {
                cataloguer.special(&path);
            }
        }
    }
    Ok(cataloguer.finish())
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}
