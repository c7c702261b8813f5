//! Node: `package.json` of installed packages.
//!
//! Only the root of a package directly under a `node_modules` directory counts (and yarn's own in `opt`): deeper ones are
//! fixtures and module markers, and one outside is the application's own manifest, whose name may be anybody's. Lock files
//! are not read.

use serde::Deserialize;

use super::text::{field, licences};
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::{Package, PackageKind};

pub(super) fn owns(path: &str) -> bool {
    let Some(dir) = path.strip_suffix("/package.json") else { return false };
    if dir.starts_with("opt/yarn-") && dir.matches('/').count() == 1 {
        return true;
    }
    let below = match dir.rsplit_once("/node_modules/") {
        Some((_, below)) => below,
        None => match dir.strip_prefix("node_modules/") {
            Some(below) => below,
            None => return false,
        },
    };
    below.matches('/').count() == usize::from(below.starts_with('@'))
}

#[derive(Deserialize)]
struct Manifest {
    name: Option<String>,
    version: Option<String>,
    license: Option<serde_json::Value>,
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    // As npm reads it: a byte order mark is passed over, and of two equal keys the last holds.
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let value = serde_json::from_slice(content).and_then(serde_json::from_value::<Manifest>);
    let manifest = match value {
        Ok(manifest) => manifest,
        Err(error) => {
            out.warn(format!("{path}: not the JSON of a package: {error}"));
            return out;
        }
    };
    // A manifest without name or version is a marker for the module loader.
    let (Some(name), Some(version)) = (manifest.name.as_deref(), manifest.version.as_deref()) else {
        return out;
    };
    let (Some(name), Some(version)) = (field(name), field(version)) else {
        if !name.is_empty() && !version.is_empty() {
            out.warn(format!("{path}: an impossible name or version"));
        }
        return out;
    };
    let mut package = Package::new(PackageKind::Npm, Format::Node, name, version.trim_start_matches('='));
    let licence = manifest.license.as_ref();
    let licence = licence.and_then(|l| l.as_str().or_else(|| l.get("type").and_then(|t| t.as_str())));
    package.licences = licences(licence);
    path.clone_into(&mut package.evidence);
    out.add(package);
    out
}
