//! The advisory index, and its file format.
//!
//! File: one line `konzert-advisories 1 <sha256 of the rest>`, then one advisory as JSON a line, sorted by id, so that the
//! same advisories give the same bytes and the digest doubles as the revision. Does no I/O: see `fleet` for the file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::Advisory;

const MAGIC: &str = "konzert-advisories 1 ";

/// Why a database file is not usable.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The first line is not ours.
    #[error("not an advisory database of a version this program reads")]
    Header,
    /// The content does not have the digest of the first line: cut off or changed.
    #[error("the advisory database is damaged: its checksum does not match")]
    Checksum,
    /// A line is no advisory although the checksum holds.
    #[error("line {line} of the advisory database is not readable")]
    Line {
        /// From 1.
        line: usize,
        /// What the parser met.
        #[source]
        source: serde_json::Error,
    },
}

/// What a source says of an ecosystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// How many advisories speak of it.
    pub advisories: usize,
    /// The newest change among them.
    pub newest: Timestamp,
}

/// Advisories with their indexes.
#[derive(Clone, Debug, Default)]
pub struct Database {
    advisories: BTreeMap<String, Advisory>,
    /// ecosystem → package → advisory ids.
    packages: HashMap<String, HashMap<String, Vec<String>>>,
    coverage: BTreeMap<String, Coverage>,
    revision: String,
}

impl Database {
    /// Indexes advisories; of two with the same id the later modified one wins.
    pub fn new(advisories: impl IntoIterator<Item = Advisory>) -> Self {
        let mut by_id: BTreeMap<String, Advisory> = BTreeMap::new();
        for advisory in advisories {
            match by_id.get(&advisory.id) {
                Some(known) if known.modified > advisory.modified => {}
                _ => {
                    by_id.insert(advisory.id.clone(), advisory);
                }
            }
        }
        let mut database = Self { advisories: by_id, ..Self::default() };
        database.index();
        database
    }

    /// This database with more advisories; returns it and how many are new or changed.
    pub fn merged(&self, more: impl IntoIterator<Item = Advisory>) -> (Self, usize) {
        let mut changed = 0;
        let fresh: Vec<_> = more
            .into_iter()
            .filter(|a| {
                self.advisories.get(&a.id).is_none_or(|known| known.modified <= a.modified && known != a)
            })
            .inspect(|_| changed += 1)
            .collect();
        (Self::new(self.advisories.values().cloned().chain(fresh)), changed)
    }

    fn index(&mut self) {
        for advisory in self.advisories.values().filter(|a| !a.withdrawn) {
            for affected in &advisory.affected {
                let ids = self
                    .packages
                    .entry(affected.ecosystem.clone())
                    .or_default()
                    .entry(affected.package.clone())
                    .or_default();
                // One advisory may list a package twice, for two ranges.
                if ids.last() != Some(&advisory.id) {
                    ids.push(advisory.id.clone());
                }
            }
            let ecosystems: BTreeSet<_> = advisory.affected.iter().map(|a| a.ecosystem.as_str()).collect();
            for ecosystem in ecosystems {
                let entry = self
                    .coverage
                    .entry(ecosystem.to_owned())
                    .or_insert(Coverage { advisories: 0, newest: advisory.modified });
                entry.advisories += 1;
                entry.newest = entry.newest.max(advisory.modified);
            }
        }
        self.revision = hex::encode(Sha256::digest(self.body().as_bytes()));
    }

    /// Digest of the content; equal content gives equal revisions. Empty when there are no advisories.
    pub fn revision(&self) -> &str {
        if self.advisories.is_empty() { "" } else { &self.revision }
    }

    /// How many advisories, withdrawn ones included.
    pub fn len(&self) -> usize {
        self.advisories.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.advisories.is_empty()
    }

    /// An advisory by its own id.
    pub fn get(&self, id: &str) -> Option<&Advisory> {
        self.advisories.get(id)
    }

    /// Advisories that speak of a package.
    pub fn about(&self, ecosystem: &str, package: &str) -> impl Iterator<Item = &Advisory> {
        let ids = self.packages.get(ecosystem).and_then(|names| names.get(package));
        ids.into_iter().flatten().filter_map(|id| self.advisories.get(id))
    }

    /// What is known of an ecosystem; `None` means that silence says nothing.
    pub fn covers(&self, ecosystem: &str) -> Option<&Coverage> {
        self.coverage.get(ecosystem)
    }

    /// Every covered ecosystem.
    pub fn coverage(&self) -> &BTreeMap<String, Coverage> {
        &self.coverage
    }

    /// The ids of all live advisories that `id` stands for: its own, and those that name it as alias or related.
    pub fn ids(&self, id: &str) -> BTreeSet<String> {
        let live = self.advisories.values().filter(|a| !a.withdrawn);
        live.filter(|a| a.ids().any(|known| known.eq_ignore_ascii_case(id))).map(|a| a.id.clone()).collect()
    }

    fn body(&self) -> String {
        let mut text = String::new();
        for advisory in self.advisories.values() {
            let line = serde_json::to_string(advisory).expect("an advisory has string keys only");
            writeln!(text, "{line}").expect("writing to a string does not fail");
        }
        text
    }

    /// The file's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = self.body();
        format!("{MAGIC}{}\n{body}", hex::encode(Sha256::digest(body.as_bytes()))).into_bytes()
    }

    /// Reads the file's bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DatabaseError> {
        let end = bytes.iter().position(|b| *b == b'\n').ok_or(DatabaseError::Header)?;
        let digest = bytes[..end].strip_prefix(MAGIC.as_bytes()).ok_or(DatabaseError::Header)?;
        let body = &bytes[end + 1..];
        if hex::encode(Sha256::digest(body)).as_bytes() != digest {
            return Err(DatabaseError::Checksum);
        }
        let mut advisories = Vec::new();
        for (index, line) in body.split(|b| *b == b'\n').enumerate().filter(|(_, l)| !l.is_empty()) {
            let advisory = serde_json::from_slice(line)
                .map_err(|source| DatabaseError::Line { line: index + 2, source })?;
            advisories.push(advisory);
        }
        Ok(Self::new(advisories))
    }
}
