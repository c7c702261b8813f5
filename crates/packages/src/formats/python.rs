//! Python: what pip and setuptools leave behind (`dist-info`, `egg-info`; core metadata specification).
//!
//! Lock files say what should be installed, not what is; they are not read. Names are normalised as PEP 503 says, because
//! advisories use that form.

use super::text::{field, headers, licences};
use crate::facts::FileFacts;
use crate::formats::Format;
use crate::{Package, PackageKind};

pub(super) fn owns(path: &str) -> bool {
    path.ends_with(".dist-info/METADATA")
        || path.ends_with(".egg-info/PKG-INFO")
        || path.ends_with("EGG-INFO/PKG-INFO")
        || path.ends_with(".egg-info")
}

/// PEP 503: lower case, runs of `-`, `_` and `.` are one dash.
pub(crate) fn normalised(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if matches!(c, '-' | '_' | '.') {
            if !out.ends_with('-') {
                out.push('-');
            }
        } else {
            out.push(c.to_ascii_lowercase());
        }
    }
    out
}

pub(super) fn parse(path: &str, content: &[u8]) -> FileFacts {
    let mut out = FileFacts::default();
    let text = String::from_utf8_lossy(content);
    let (mut name, mut version, mut licence, mut expression) = ("", "", "", "");
    for (key, value) in headers(&text) {
        match key.to_ascii_lowercase().as_str() {
            "name" => name = value,
            "version" => version = value,
            "license" => licence = value,
            "license-expression" => expression = value,
            _ => {}
        }
    }
    let (Some(name), Some(version)) = (field(name), field(version)) else {
        out.warn(format!("{path}: no Name or Version that can be believed"));
        return out;
    };
    let mut package = Package::new(PackageKind::Pypi, Format::Python, &normalised(name), version);
    package.licences = licences([if expression.is_empty() { licence } else { expression }]);
    path.clone_into(&mut package.evidence);
    out.add(package);
    out
}
