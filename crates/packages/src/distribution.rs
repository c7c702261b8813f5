//! Which distribution and release an image is, from its os-release file (os-release(5)), and the OSV ecosystem of it.
//!
//! Does not judge whether the release is still supported.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits;

/// In the order in which os-release(5) says to look.
const OS_RELEASE: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];

/// A distribution and its release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// `ID`: `debian`, `alpine`.
    pub id: String,
    /// `VERSION_ID`: `12`, `3.20.3`; empty for rolling and testing releases.
    pub version: String,
    /// `VERSION_CODENAME`: `bookworm`.
    pub codename: String,
    /// `PRETTY_NAME`.
    pub pretty: String,
}

impl Distribution {
    /// The OSV ecosystem with release; empty when OSV has none for this distribution.
    pub fn ecosystem(&self) -> String {
        match self.id.as_str() {
            "debian" if !self.version.is_empty() => format!("Debian:{}", first_parts(&self.version, 1)),
            "ubuntu" if !self.version.is_empty() => format!("Ubuntu:{}", first_parts(&self.version, 2)),
            "alpine" if !self.version.is_empty() => format!("Alpine:v{}", first_parts(&self.version, 2)),
            "wolfi" => "Wolfi".to_owned(),
            "chainguard" => "Chainguard".to_owned(),
            _ => String::new(),
        }
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.version.is_empty() {
            f.write_str(&self.id)
        } else {
            write!(f, "{} {}", self.id, self.version)
        }
    }
}

fn first_parts(version: &str, parts: usize) -> String {
    version.split('.').take(parts).collect::<Vec<_>>().join(".")
}

pub(crate) fn owns(path: &str) -> bool {
    OS_RELEASE.contains(&path)
}

/// The distribution named by the first os-release file that names one.
pub(crate) fn detect(files: &BTreeMap<&str, &[u8]>) -> Option<Distribution> {
    OS_RELEASE.iter().filter_map(|path| files.get(path)).find_map(|content| parse(content))
}

fn parse(content: &[u8]) -> Option<Distribution> {
    let text = String::from_utf8_lossy(content);
    let mut found = Distribution::default();
    for line in text.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let value = unquote(value.trim());
        match key.trim() {
            "ID" => found.id = value.to_ascii_lowercase(),
            "VERSION_ID" => found.version = value,
            "VERSION_CODENAME" => found.codename = value,
            "PRETTY_NAME" => found.pretty = value,
            _ => {}
        }
    }
    (!found.id.is_empty()).then_some(found)
}

/// Removes shell quotes as far as os-release(5) allows them, and what a terminal could take amiss.
fn unquote(value: &str) -> String {
    let inner = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q)).unwrap_or(value);
    inner.chars().filter(|c| *c != '\\' && !c.is_control()).take(limits::MAX_FIELD_BYTES).collect()
}
