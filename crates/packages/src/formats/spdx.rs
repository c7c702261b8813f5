//! SPDX 2.x documents in JSON that an image carries about itself (Chainguard, Wolfi, Bitnami).
//!
//! Only packages with a package URL count; the tag-value form and SPDX 3 are warnings.

use serde::Deserialize;

use super::text::licences;
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::purl;

const DIRS: [&str; 4] = ["var/lib/db/sbom/", "opt/bitnami/", "usr/share/sbom/", "usr/local/share/sbom/"];

/// Whether documents at this path speak of the image.
pub(super) fn in_document_dir(path: &str) -> bool {
    DIRS.iter().any(|dir| path.starts_with(dir))
        || path.contains(".dist-info/sboms/")
        || path.contains("/sbom/")
        || path.starts_with("sbom/")
}

pub(super) fn owns(path: &str) -> bool {
    [".spdx.json", ".spdx"].iter().any(|extension| path.ends_with(extension)) && in_document_dir(path)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    spdx_version: String,
    #[serde(default)]
    packages: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    license_declared: String,
    #[serde(default)]
    external_refs: Vec<Reference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_type: String,
    reference_locator: String,
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let document: Document = match serde_json::from_slice(content) {
        Ok(document) => document,
        Err(error) => {
            out.warn(format!("{path}: not an SPDX 2 document in JSON: {error}"));
            return out;
        }
    };
    if !document.spdx_version.starts_with("SPDX-2.") {
        out.warn(format!("{path}: {} is not read", document.spdx_version));
        return out;
    }
    for entry in document.packages {
        let Some(reference) = entry.external_refs.iter().find(|r| r.reference_type == "purl") else {
            continue;
        };
        match purl::parse(&reference.reference_locator, Format::Spdx) {
            Ok(Some(mut package)) => {
                package.licences = licences([entry.license_declared.as_str()]);
                path.clone_into(&mut package.evidence);
                out.add(package);
            }
            Ok(None) => {}
            Err(error) => out.warn(format!("{path}: {error}")),
        }
    }
    out
}
