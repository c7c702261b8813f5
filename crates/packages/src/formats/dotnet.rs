//! .NET: `*.deps.json` next to an application or shared framework, which names the packages it was built from.
//!
//! Libraries of type `project` are the application itself and are passed over; a runtime pack is the package it came from.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::text::field;
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::{Package, PackageKind};

pub(super) fn owns(path: &str) -> bool {
    path.ends_with(".deps.json")
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    libraries: BTreeMap<String, Library>,
}

#[derive(Deserialize)]
struct Library {
    #[serde(rename = "type", default)]
    kind: String,
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let document: Document = match serde_json::from_slice(content) {
        Ok(document) => document,
        Err(error) => {
            out.warn(format!("{path}: not the JSON of dependencies: {error}"));
            return out;
        }
    };
    for (key, library) in document.libraries {
        if !matches!(library.kind.as_str(), "package" | "runtimepack") {
            continue;
        }
        let key = key.strip_prefix("runtimepack.").unwrap_or(&key);
        let Some((Some(name), Some(version))) = key.split_once('/').map(|(n, v)| (field(n), field(v))) else {
            out.warn(format!("{path}: a library with an impossible name or version was left out"));
            continue;
        };
        let mut package = Package::new(PackageKind::Nuget, Format::Dotnet, name, version);
        path.clone_into(&mut package.evidence);
        out.add(package);
    }
    out
}
