//! Layers laid over each other, for the few files that matter: whiteouts, opaque directories, and which layer a package
//! first appears in (base or application).

use std::collections::{BTreeMap, HashMap};

use crate::{LayerFiles, Package, formats};

/// The files as the top of the stack shows them.
pub(crate) fn merge(layers: &[LayerFiles]) -> BTreeMap<&str, &[u8]> {
    let mut merged: BTreeMap<&str, &[u8]> = BTreeMap::new();
    for layer in layers {
        // OCI image spec, layer.md: whiteouts hide only what lies in lower layers, so they come first.
        merged.retain(|path, _| !hides(layer, path));
        for (path, content) in &layer.files {
            merged.insert(path, content);
        }
    }
    merged
}

fn hides(layer: &LayerFiles, path: &str) -> bool {
    let below = |dir: &str| {
        let dir = dir.trim_end_matches('/');
        dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
    };
    layer.removed.iter().any(|gone| gone == path || below(gone)) || layer.opaque.iter().any(|dir| below(dir))
}

/// Sets each package's layer to the lowest one whose own database already lists that name and version.
pub(crate) fn attribute(layers: &[LayerFiles], packages: &mut [Package]) {
    let mut first: HashMap<(String, String, String), usize> = HashMap::new();
    for (index, layer) in layers.iter().enumerate() {
        for (path, content) in &layer.files {
            let Some(row) = formats::format_of(path) else { continue };
            for package in (row.parse)(path, content).packages {
                first.entry((package.name, package.version, package.arch)).or_insert(index);
            }
        }
    }
    for package in packages {
        let key = (package.name.clone(), package.version.clone(), package.arch.clone());
        package.layer = first.get(&key).copied().unwrap_or_default();
    }
}
