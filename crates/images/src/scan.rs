//! Reading layers for scanners: the few files a package catalogue wants, straight from the stored tar.
//!
//! No temporary copies, nothing is unpacked. A wanted path that is a symbolic link is not followed (its target may be in
//! another layer) and becomes a warning, as does a file over its limit: what could not be read must not look clean.

use std::collections::BTreeMap;
use std::io::Read;

use konzert_packages::LayerFiles;

use crate::compress::stream_error;
use crate::error::ImageError;
use crate::ids::LayerDiffId;
use crate::layer::{self, LayerItem, LayerReader};
use crate::limits::ScanLimits;
use crate::store::ContentStore;
use crate::tarball::{Entry, EntryKind};

impl ContentStore {
    /// The files of a layer that `wanted` accepts (paths without leading slash), and what the layer removes.
    pub fn layer_files(
        &self,
        diff_id: &LayerDiffId,
        wanted: &dyn Fn(&str) -> bool,
        limits: ScanLimits,
    ) -> Result<LayerFiles, ImageError> {
        let index = self.index.read(&self.disk)?;
        let blob = index
            .blob_of_layer(diff_id)
            .ok_or_else(|| ImageError::LayerNotFound { diff_id: diff_id.to_string() })?;
        let mut reader = layer::open(self.open_blob(&blob)?, &format!("layer {blob}"), &self.limits)?;
        let mut collector = Collector { limits, bytes: 0, found: LayerFiles::default() };
        collector.found.diff_id = diff_id.to_string();
        while let Some(item) = reader.next()? {
            match item {
                LayerItem::Whiteout(path) => collector.found.removed.push(lossy(&path)),
                LayerItem::Opaque(dir) => collector.found.opaque.push(lossy(&dir)),
                LayerItem::Entry(entry) => {
                    let path = lossy(&entry.path);
                    if wanted(&path) {
                        collector.take(path, &entry, &mut reader)?;
                    }
                }
            }
        }
        Ok(collector.found)
    }
}

fn lossy(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

struct Collector {
    limits: ScanLimits,
    bytes: u64,
    found: LayerFiles,
}

impl Collector {
    fn take<R: Read>(
        &mut self,
        path: String,
        entry: &Entry,
        content: &mut LayerReader<R>,
    ) -> Result<(), ImageError> {
        // A later entry of the same path replaces the earlier one.
        if let Some(replaced) = self.found.files.remove(&path) {
            self.bytes -= replaced.len() as u64;
        }
        match entry.kind {
            EntryKind::File => {
                if let Some(problem) = self.refusal(entry.size) {
                    self.found.warnings.push(format!("{path} was not read: {problem}"));
                    return Ok(());
                }
                let mut bytes = Vec::new();
                let read = content.read_to_end(&mut bytes);
                read.map_err(|e| stream_error(content.what(), Some(entry.shown()), e))?;
                self.bytes += bytes.len() as u64;
                self.found.files.insert(path, bytes);
            }
            EntryKind::Hardlink => match linked(&self.found.files, &entry.link) {
                Some(bytes) if self.refusal(bytes.len() as u64).is_none() => {
                    self.bytes += bytes.len() as u64;
                    self.found.files.insert(path, bytes);
                }
                _ => self
                    .found
                    .warnings
                    .push(format!("{path} was not read: it is a hard link to another file")),
            },
            EntryKind::Symlink => {
                let target = lossy(&entry.link);
                self.found.warnings.push(format!("{path} was not read: it is a symbolic link to {target}"));
            }
            _ => {}
        }
        Ok(())
    }

    fn refusal(&self, size: u64) -> Option<String> {
        if size > self.limits.file_bytes {
            Some(format!("it has {size} bytes, more than the limit of {}", self.limits.file_bytes))
        } else if self.bytes + size > self.limits.total_bytes {
            Some(format!("the wanted files exceed {} bytes in total", self.limits.total_bytes))
        } else if self.found.files.len() >= self.limits.files {
            Some(format!("the layer has more than {} wanted files", self.limits.files))
        } else {
            None
        }
    }
}

fn linked(files: &BTreeMap<String, Vec<u8>>, target: &[u8]) -> Option<Vec<u8>> {
    files.get(std::str::from_utf8(target).ok()?).cloned()
}
