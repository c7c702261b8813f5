//! What one layer says: packages, owned paths, distribution files, and what it hides of the layers below.
//!
//! Facts depend on the layer's bytes and [`CATALOGUER_VERSION`] alone, so they can be kept by (diff id, version). They say
//! nothing of other layers; `merge` lays them over each other.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Package, limits};

/// Raised whenever the same bytes would give other facts; facts of another version must not be used.
pub const CATALOGUER_VERSION: u32 = 3;

/// The facts of one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerFacts {
    /// The [`CATALOGUER_VERSION`] that found them.
    pub cataloguer: u32,
    /// `DiffID` of the layer, `sha256:<hex>`.
    pub diff_id: String,
    /// Path without leading slash → what the file says; only files that say something.
    pub files: BTreeMap<String, FileFacts>,
    /// Symbolic links at paths of package databases and distribution files → their targets.
    pub links: BTreeMap<String, String>,
    /// Paths that the layer removes from the ones below (OCI whiteouts).
    pub removed: Vec<String>,
    /// Directories whose content below is hidden (OCI opaque whiteouts).
    pub opaque: Vec<String>,
    /// Every path of the layer that is not a directory: it hides the path, and all below it, in lower layers.
    pub touched: PathSet,
    /// What could not be read whichever layers lie above.
    pub warnings: Vec<String>,
}

impl LayerFacts {
    /// Roughly how many bytes of memory they take.
    pub fn memory_bytes(&self) -> usize {
        let files = self.files.iter().map(|(path, facts)| path.len() + facts.memory_bytes());
        files.sum::<usize>() + self.touched.0.len() * 8 + self.removed.iter().map(String::len).sum::<usize>()
    }
}

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileFacts {
    /// Packages; ecosystem of distribution packages, layer and owner still unset.
    pub packages: Vec<Package>,
    /// Which package owns which files.
    pub owned: Vec<Owned>,
    /// The text of a distribution file.
    pub text: String,
    /// What could not be understood, bounded by [`limits::MAX_WARNINGS`].
    pub warnings: Vec<String>,
}

/// The files of one package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owned {
    /// Name of the package.
    pub package: String,
    /// Its files.
    pub paths: PathSet,
}

impl FileFacts {
    /// Adds a warning unless there are enough of them already.
    pub fn warn(&mut self, text: impl AsRef<str>) {
        warn(&mut self.warnings, text.as_ref());
    }

    /// Adds a package unless there are enough of them already: a database of 20 bytes a package must not take gigabytes of memory.
    pub(crate) fn add(&mut self, package: Package) {
        if self.packages.len() < limits::MAX_PACKAGES {
            return self.packages.push(package);
        }
        let text = format!(
            "{}: more than {} packages: the rest was left out",
            package.evidence,
            limits::MAX_PACKAGES
        );
        if !self.warnings.contains(&text) {
            self.warn(text);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.owned.is_empty() && self.text.is_empty() && self.warnings.is_empty()
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.packages.extend(other.packages);
        self.owned.extend(other.owned);
        self.text.push_str(&other.text);
        for text in other.warnings {
            self.warn(text);
        }
    }

    fn memory_bytes(&self) -> usize {
        let owned = self.owned.iter().map(|o| o.package.len() + o.paths.0.len() * 8);
        self.packages.len() * 512 + owned.sum::<usize>() + self.text.len()
    }
}

/// Adds a warning to a bounded list, free of control characters.
pub(crate) fn warn(warnings: &mut Vec<String>, text: &str) {
    match warnings.len() {
        n if n < limits::MAX_WARNINGS => {
            let clean = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
            warnings.push(clean.take(limits::MAX_FIELD_BYTES).collect());
        }
        n if n == limits::MAX_WARNINGS => warnings.push("more warnings were left out".to_owned()),
        _ => {}
    }
}

/// A set of paths, kept as sorted hashes: a hundred thousand paths take 800 KB.
///
/// FNV-1a of 64 bits with a final mix: the same on every machine. An image that aims at collisions can only hide its own
/// files, which it could as well leave out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PathSet(Vec<u64>);

impl PathSet {
    /// Whether the hash of a path is in the set.
    pub(crate) fn has(&self, hash: u64) -> bool {
        self.0.binary_search(&hash).is_ok()
    }

    /// The number of paths.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without any path.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn hashes(&self) -> &[u64] {
        &self.0
    }

    pub(crate) fn from_hashes(mut hashes: Vec<u64>) -> Self {
        hashes.sort_unstable();
        hashes.dedup();
        hashes.shrink_to_fit();
        Self(hashes)
    }
}

/// The hash of a path without leading slash.
pub(crate) fn hash(path: &str) -> u64 {
    hash_of("", path)
}

/// The hash of a path for ownership: `bin/sh` and `usr/bin/sh` are one file to dpkg and rpm (usr-merge).
pub(crate) fn owned_hash(path: &str) -> u64 {
    const MERGED: [&str; 6] = ["bin/", "sbin/", "lib/", "lib32/", "lib64/", "libx32/"];
    let path = path.trim_start_matches(['/', '.']);
    hash_of(if MERGED.iter().any(|dir| path.starts_with(dir)) { "usr/" } else { "" }, path)
}

fn hash_of(prefix: &str, path: &str) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut state: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in prefix.bytes().chain(path.trim_start_matches('/').bytes()) {
        state = (state ^ u64::from(byte)).wrapping_mul(PRIME);
    }
    state ^= state >> 33;
    state = state.wrapping_mul(0xff51_afd7_ed55_8ccd);
    state ^ (state >> 33)
}

impl Serialize for PathSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: Vec<u8> = self.0.iter().flat_map(|h| h.to_le_bytes()).collect();
        serializer.serialize_str(&STANDARD.encode(raw))
    }
}

impl<'de> Deserialize<'de> for PathSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let raw = STANDARD.decode(text).map_err(D::Error::custom)?;
        let (chunks, rest) = raw.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(D::Error::custom("a path set is not a whole number of hashes"));
        }
        Ok(Self::from_hashes(chunks.iter().map(|c| u64::from_le_bytes(*c)).collect()))
    }
}

/// Adds the files of a package, within the bound of the file.
pub(crate) fn own(facts: &mut FileFacts, package: &str, hashes: Vec<u64>, total: &mut usize) {
    *total += hashes.len();
    if *total > limits::MAX_OWNED_PATHS {
        facts.warn(format!("more than {} owned files: the rest was left out", limits::MAX_OWNED_PATHS));
    } else if !hashes.is_empty() {
        facts.owned.push(Owned { package: package.to_owned(), paths: PathSet::from_hashes(hashes) });
    }
}
