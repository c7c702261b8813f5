//! PHP: `installed.json`, which composer writes next to what it installed.

use serde::Deserialize;

use super::text::{field, licences};
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::{Package, PackageKind};

pub(super) fn owns(path: &str) -> bool {
    path.ends_with("/composer/installed.json") || path == "composer/installed.json"
}

/// Composer 2 writes an object, composer 1 a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Installed {
    Two { packages: Vec<Entry> },
    One(Vec<Entry>),
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    version: String,
    #[serde(default)]
    license: Vec<String>,
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let entries = match serde_json::from_slice(content) {
        Ok(Installed::Two { packages } | Installed::One(packages)) => packages,
        Err(error) => {
            out.warn(format!("{path}: not what composer writes: {error}"));
            return out;
        }
    };
    for entry in entries {
        let (Some(name), Some(version)) = (field(&entry.name), field(&entry.version)) else {
            out.warn(format!("{path}: a package with an impossible name or version was left out"));
            continue;
        };
        let mut package =
            Package::new(PackageKind::Composer, Format::Composer, &name.to_ascii_lowercase(), version);
        package.licences = licences(entry.license.iter().map(String::as_str));
        path.clone_into(&mut package.evidence);
        out.add(package);
    }
    out
}
