//! `CycloneDX` documents in JSON that an image carries about itself, and those inside Python wheels (PEP 770).
//!
//! Components count when they have a package URL; nested components are read to a bounded depth.

use serde::Deserialize;

use super::spdx::in_document_dir;
use super::text::{file_name, licences};
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::purl;

const MAX_DEPTH: usize = 16;

pub(super) fn owns(path: &str) -> bool {
    let name = file_name(path);
    (name.ends_with(".cdx.json") || name == "bom.json" || name.ends_with(".cyclonedx.json"))
        && in_document_dir(path)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    bom_format: String,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Component {
    purl: Option<String>,
    #[serde(default)]
    licenses: Vec<Choice>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Choice {
    expression: Option<String>,
    license: Option<Licence>,
}

#[derive(Deserialize)]
struct Licence {
    id: Option<String>,
    name: Option<String>,
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    match serde_json::from_slice::<Document>(content) {
        Ok(document) if document.bom_format == "CycloneDX" => take(path, &document.components, 0, &mut out),
        Ok(document) => out.warn(format!("{path}: {} is not CycloneDX", document.bom_format)),
        Err(error) => out.warn(format!("{path}: not a CycloneDX document in JSON: {error}")),
    }
    out
}

fn take(path: &str, components: &[Component], depth: usize, out: &mut FileFacts) {
    if depth > MAX_DEPTH {
        return out.warn(format!("{path}: components lie more than {MAX_DEPTH} deep in each other"));
    }
    for component in components {
        match component.purl.as_deref().map(|text| purl::parse(text, Format::CycloneDx)) {
            Some(Ok(Some(mut package))) => {
                package.licences = licences(component.licenses.iter().filter_map(name));
                path.clone_into(&mut package.evidence);
                out.add(package);
            }
            Some(Err(error)) => out.warn(format!("{path}: {error}")),
            Some(Ok(None)) | None => {}
        }
        take(path, &component.components, depth + 1, out);
    }
}

fn name(choice: &Choice) -> Option<&str> {
    let licence = choice.license.as_ref();
    choice.expression.as_deref().or_else(|| licence.and_then(|l| l.id.as_deref().or(l.name.as_deref())))
}
