//! A document somebody handed over about something else: `CycloneDX` or SPDX 2 in JSON, read as a catalogue.
//!
//! Unlike the documents inside images (`formats`), this one is all there is: what cannot be understood is an error or makes the catalogue
//! incomplete. The distribution is the one that the package URLs name, else the operating system component.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::facts::warn;
use crate::formats::Format;
use crate::merge::sort;
use crate::{Catalogue, Distribution, Package, PackageClass, PackageKind, limits, purl};

/// Deepest nesting of components.
const MAX_DEPTH: usize = 16;
/// purl types of images and sources, which stand for a whole and no package.
const NO_PACKAGES: [&str; 6] = ["oci", "docker", "github", "gitlab", "bitbucket", "bitnami"];
/// Most types in a warning.
const MAX_KINDS: usize = 10;

/// Why a document is not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Longer than [`limits::MAX_FILE_BYTES`].
    #[error("{name}: longer than {limit} bytes")]
    TooLong {
        /// The file.
        name: String,
        /// The bound.
        limit: u64,
    },
    /// Not JSON, or a field of the wrong type.
    #[error("{name}: not a CycloneDX or SPDX document in JSON")]
    Syntax {
        /// The file.
        name: String,
        /// What the parser met, with line and column.
        #[source]
        source: serde_json::Error,
    },
    /// JSON, but something else, or of a version that is not read.
    #[error("{name}: field {field}: {problem}")]
    Field {
        /// The file.
        name: String,
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// What a document is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The name that it gives its subject; empty when none.
    pub subject: String,
    /// Its packages.
    pub catalogue: Catalogue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Either {
    bom_format: Option<String>,
    spec_version: Option<String>,
    spdx_version: Option<String>,
    #[serde(rename = "@context")]
    context: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct CycloneDx {
    metadata: Option<Metadata>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Metadata {
    component: Option<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    version: Option<String>,
    purl: Option<String>,
    #[serde(default)]
    properties: Vec<Property>,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Property {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Deserialize)]
struct Spdx {
    #[serde(default)]
    name: String,
    #[serde(default)]
    packages: Vec<SpdxPackage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SpdxPackage {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version_info: String,
    #[serde(default)]
    primary_package_purpose: String,
    #[serde(default)]
    external_refs: Vec<Reference>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    reference_type: String,
    reference_locator: String,
}

/// Reads a document; `name` is the file, for errors and as evidence.
pub fn read_document(bytes: &[u8], name: &str) -> Result<Document, DocumentError> {
    if bytes.len() as u64 > limits::MAX_FILE_BYTES {
        return Err(DocumentError::TooLong { name: name.to_owned(), limit: limits::MAX_FILE_BYTES });
    }
    let syntax = |source| DocumentError::Syntax { name: name.to_owned(), source };
    let field = |field, problem: String| DocumentError::Field { name: name.to_owned(), field, problem };
    let either: Either = serde_json::from_slice(bytes).map_err(syntax)?;
    let mut reading =
        Reading { name, found: Catalogue::default(), system: None, unnamed: 0, unread: BTreeSet::new() };
    let subject = match (either.bom_format.as_deref(), either.spdx_version.as_deref()) {
        (Some("CycloneDX"), _) => {
            let version = either.spec_version.unwrap_or_default();
            if !version.starts_with("1.") {
                return Err(field("specVersion", format!("{version:?} is not read")));
            }
            reading.cyclonedx(serde_json::from_slice(bytes).map_err(syntax)?)
        }
        (Some(other), _) => return Err(field("bomFormat", format!("{other:?} is not CycloneDX"))),
        (None, Some(version)) if version.starts_with("SPDX-2.") => {
            reading.spdx(serde_json::from_slice(bytes).map_err(syntax)?)
        }
        (None, Some(version)) => return Err(field("spdxVersion", format!("{version:?} is not read"))),
        (None, None) if either.context.is_some() => {
            return Err(field("@context", "SPDX 3 is not read, only SPDX 2".to_owned()));
        }
        (None, None) => return Err(field("bomFormat", "missing, and spdxVersion too".to_owned())),
    };
    Ok(Document { subject, catalogue: reading.finish() })
}

struct Reading<'a> {
    name: &'a str,
    found: Catalogue,
    /// Name and version of the operating system component.
    system: Option<(String, String)>,
    /// Libraries without a package URL.
    unnamed: usize,
    /// purl types of packages that were left out.
    unread: BTreeSet<String>,
}

impl Reading<'_> {
    fn cyclonedx(&mut self, document: CycloneDx) -> String {
        self.components(&document.components, 0);
        let subject = document.metadata.and_then(|m| m.component);
        subject.map(|component| component.name).unwrap_or_default()
    }

    fn components(&mut self, components: &[Component], depth: usize) {
        if depth > MAX_DEPTH {
            let text = format!("{}: components lie more than {MAX_DEPTH} deep in each other", self.name);
            return self.warn(&text);
        }
        for component in components {
            match &component.purl {
                Some(text) => {
                    if let Some(package) = self.package(text, Format::CycloneDx) {
                        source_of(package, &component.properties);
                    }
                }
                None if component.kind == "operating-system" => {
                    let version = component.version.clone().unwrap_or_default();
                    self.system.get_or_insert((component.name.to_ascii_lowercase(), version));
                }
                None if matches!(component.kind.as_str(), "library" | "framework") => self.unnamed += 1,
                None => {}
            }
            self.components(&component.components, depth + 1);
        }
    }

    fn spdx(&mut self, document: Spdx) -> String {
        for entry in document.packages {
            match entry.external_refs.iter().find(|r| r.reference_type == "purl") {
                Some(reference) => drop(self.package(&reference.reference_locator, Format::Spdx)),
                None => match entry.primary_package_purpose.as_str() {
                    "OPERATING-SYSTEM" | "OPERATING_SYSTEM" => {
                        let system = (entry.name.to_ascii_lowercase(), entry.version_info);
                        self.system.get_or_insert(system);
                    }
                    "LIBRARY" | "FRAMEWORK" => self.unnamed += 1,
                    _ => {}
                },
            }
        }
        document.name
    }

    fn package(&mut self, text: &str, format: Format) -> Option<&mut Package> {
        if self.found.packages.len() >= limits::MAX_PACKAGES {
            self.warn(&format!(
                "{}: more than {} packages: the rest was left out",
                self.name,
                limits::MAX_PACKAGES
            ));
            return None;
        }
        match purl::parse(text, format) {
            Ok(Some(mut package)) => {
                self.name.clone_into(&mut package.evidence);
                if package.class() == PackageClass::Os {
                    package.distro = purl::qualifier(text, "distro").unwrap_or_default();
                }
                self.found.packages.push(package);
                self.found.packages.last_mut()
            }
            Ok(None) => {
                let kind = text
                    .trim_start_matches("pkg:")
                    .trim_start_matches('/')
                    .split('/')
                    .next()
                    .unwrap_or_default();
                if PackageKind::from_purl_type(kind).is_none() && !NO_PACKAGES.contains(&kind) {
                    self.unread.insert(kind.chars().take(40).collect());
                }
                None
            }
            Err(error) => {
                self.warn(&format!("{}: {error}", self.name));
                None
            }
        }
    }

    fn warn(&mut self, text: &str) {
        warn(&mut self.found.warnings, text);
    }

    fn finish(mut self) -> Catalogue {
        if self.unnamed > 0 {
            let text = format!(
                "{}: {} libraries have no package URL, so nothing is known of them",
                self.name, self.unnamed
            );
            self.warn(&text);
        }
        if !self.unread.is_empty() {
            let kinds: Vec<&str> = self.unread.iter().take(MAX_KINDS).map(String::as_str).collect();
            let text = format!("{}: packages of these types were left out: {}", self.name, kinds.join(", "));
            self.warn(&text);
        }
        let mut found = self.found;
        let os = |p: &&mut Package| p.class() == PackageClass::Os;
        let named: BTreeSet<String> = found
            .packages
            .iter_mut()
            .filter(os)
            .map(|p| p.distro.clone())
            .filter(|d| !d.is_empty())
            .collect();
        let system = self.system.filter(|(id, _)| !id.is_empty());
        let system =
            system.map(|(id, version)| if version.is_empty() { id } else { format!("{id}-{version}") });
        let fallback = named.first().cloned().or(system);
        found.distribution = fallback.as_deref().map(Distribution::from_qualifier);
        for package in found.packages.iter_mut().filter(os) {
            if package.distro.is_empty() {
                package.distro = fallback.clone().unwrap_or_default();
            }
            if !package.distro.is_empty() {
                package.ecosystem = Distribution::from_qualifier(&package.distro).ecosystem();
            }
        }
        sort(&mut found.packages);
        found.complete = found.warnings.is_empty();
        found
    }
}

/// Trivy names the source package in properties rather than in the package URL.
fn source_of(package: &mut Package, properties: &[Property]) {
    if package.class() != PackageClass::Os {
        return;
    }
    let get = |key: &str| {
        let found = properties.iter().find(|p| p.name.strip_prefix("aquasecurity:trivy:") == Some(key));
        found
            .map(|p| p.value.as_str())
            .filter(|value| !value.is_empty() && value.len() <= limits::MAX_FIELD_BYTES)
    };
    let Some(name) = get("SrcName") else { return };
    name.clone_into(&mut package.source_name);
    if let Some(version) = get("SrcVersion") {
        let epoch = get("SrcEpoch").filter(|e| *e != "0").map(|e| format!("{e}:")).unwrap_or_default();
        let release = get("SrcRelease").map(|r| format!("-{r}")).unwrap_or_default();
        package.source_version = format!("{epoch}{version}{release}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<String> {
        let found = read_document(text.as_bytes(), "x.json").unwrap().catalogue;
        let row = |p: &Package| {
            format!("{} {} {} {} {}", p.name, p.version, p.source_name, p.source_version, p.ecosystem)
        };
        found.packages.iter().map(row).collect()
    }

    #[test]
    fn packages_of_both_forms() {
        let cyclonedx = r#"{"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [
            {"type": "operating-system", "name": "debian", "version": "12"},
            {"type": "library", "name": "libssl3", "purl": "pkg:deb/debian/libssl3@3.0.11-1?arch=amd64&upstream=openssl%403.0.11-1"},
            {"type": "library", "name": "zlib1g", "purl": "pkg:deb/debian/zlib1g@1:1.2?distro=debian-12", "properties": [
                {"name": "aquasecurity:trivy:SrcName", "value": "zlib"}, {"name": "aquasecurity:trivy:SrcVersion", "value": "1.2"},
                {"name": "aquasecurity:trivy:SrcEpoch", "value": "1"}, {"name": "aquasecurity:trivy:SrcRelease", "value": "9"}]},
            {"type": "file", "name": "x"},
            {"type": "application", "name": "app", "components": [{"type": "library", "name": "q", "purl": "pkg:pypi/requests@2.0"}]}]}"#;
        assert_eq!(
            rows(cyclonedx),
            [
                "libssl3 3.0.11-1 openssl 3.0.11-1 Debian:12",
                "requests 2.0 requests 2.0 PyPI",
                "zlib1g 1:1.2 zlib 1:1.2-9 Debian:12"
            ]
        );
        let spdx = r#"{"spdxVersion": "SPDX-2.3", "name": "n", "packages": [{"name": "musl", "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
             "referenceLocator": "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.3"}]}]}"#;
        assert_eq!(rows(spdx), ["musl 1.2.5-r0 musl 1.2.5-r0 Alpine:v3.20"]);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        let unnamed = r#"{"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [{"type": "library", "name": "x"}]}"#;
        let found = read_document(unnamed.as_bytes(), "x.json").unwrap().catalogue;
        assert!(!found.complete && found.warnings[0].contains("no package URL"), "{found:?}");
        let of_hex = r#"{"bomFormat": "CycloneDX", "specVersion": "1.5", "components": [
            {"purl": "pkg:hex/phoenix@1.7.0"}, {"purl": "pkg:npm/a@1"}, {"purl": "pkg:oci/x@sha256:00"}]}"#;
        let found = read_document(of_hex.as_bytes(), "x.json").unwrap().catalogue;
        assert_eq!(found.warnings, ["x.json: packages of these types were left out: hex"]);
        let bad = [
            ("{", "x.json: not a CycloneDX or SPDX document"),
            ("[1]", "x.json: not a CycloneDX or SPDX document"),
            ("{}", "field bomFormat"),
            (r#"{"bomFormat": "Other"}"#, "Other"),
            (r#"{"bomFormat": "CycloneDX", "specVersion": "2.0"}"#, "field specVersion"),
            (r#"{"spdxVersion": "SPDX-3.0"}"#, "SPDX-3.0"),
            (r#"{"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"}"#, "SPDX 3"),
        ];
        for (text, want) in bad {
            let error = read_document(text.as_bytes(), "x.json").unwrap_err().to_string();
            assert!(error.contains(want) && error.contains("x.json"), "{text}: {error}");
        }
    }
}
