//! Which format a file has, by what is in it; its name may lie.
//!
//! Reads no more than the first keys.

use std::cell::Cell;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::SourceKind;

/// Lines of YAML that are looked at.
const MAX_LINES: usize = 2000;

/// Whether a text begins as JSON does.
pub(super) fn is_json(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['))
}

/// The format of a file; `None` when it is none that konzert reads.
pub fn detect(bytes: &[u8]) -> Option<SourceKind> {
    if is_json(bytes) {
        let found = Cell::new(None);
        let mut input = serde_json::Deserializer::from_slice(bytes);
        // The answer is in the cell; the visitor stops the parser by an error once it knows.
        return match input.deserialize_map(TopLevel(&found)) {
            Ok(()) | Err(_) => found.get(),
        };
    }
    let text = std::str::from_utf8(&bytes[..bytes.len().min(1 << 20)])
        .or_else(|e| std::str::from_utf8(&bytes[..e.valid_up_to()]));
    let text = text.ok()?;
    let first = text.lines().next()?.trim();
    if first.starts_with("#model_version:") || first.starts_with("cve,epss") {
        return Some(SourceKind::Epss);
    }
    let keys = text.lines().take(MAX_LINES).filter(|line| !line.starts_with([' ', '#', '-']));
    keys.filter_map(|line| line.split_once(':')).find_map(|(key, _)| by_key(key.trim_matches(['"', '\''])))
}

fn by_key(key: &str) -> Option<SourceKind> {
    match key {
        "id" | "schema_version" | "modified" | "affected" | "aliases" => Some(SourceKind::Osv),
        "distroversion" | "reponame" | "apkurl" | "urlprefix" => Some(SourceKind::AlpineSecdb),
        "catalogVersion" | "dateReleased" => Some(SourceKind::Kev),
        _ => None,
    }
}

struct TopLevel<'a>(&'a Cell<Option<SourceKind>>);

impl<'de> Visitor<'de> for TopLevel<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut first = true;
        while let Some(key) = map.next_key::<String>()? {
            if let Some(kind) = by_key(&key) {
                self.0.set(Some(kind));
                return Err(serde::de::Error::custom("known"));
            }
            if first {
                map.next_value_seed(Tracker(self.0))?;
                if self.0.get().is_some() {
                    return Err(serde::de::Error::custom("known"));
                }
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            first = false;
        }
        Ok(())
    }
}

/// The tracker's file has packages on top, vulnerabilities below, and `releases` in each.
struct Tracker<'a>(&'a Cell<Option<SourceKind>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Probe {
    Issues(std::collections::BTreeMap<String, Issue>),
    Other(IgnoredAny),
}

/// An entry counts as an issue when its `releases` is an object.
#[derive(Deserialize)]
struct Issue {
    releases: Option<serde_json::Map<String, serde_json::Value>>,
}

impl<'de> DeserializeSeed<'de> for Tracker<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        match Probe::deserialize(input)? {
            Probe::Issues(issues) if issues.values().any(|issue| issue.releases.is_some()) => {
                self.0.set(Some(SourceKind::DebianTracker));
            }
            Probe::Issues(_) | Probe::Other(_) => {}
        }
        Ok(())
    }
}
