//! One pass over one layer: entries come in the order of the archive, each file as a reader, and facts come out.
//!
//! Nothing is kept of a file but what it says; of a wanted file at most its format's limit is in memory, one at a time.
//! Reads from the given reader only as far as needed: the caller skips the rest.

use std::collections::HashSet;
use std::io::{self, Read};

use crate::elf::{self, Elf};
use crate::facts::{CATALOGUER_VERSION, FileFacts, LayerFacts, PathSet, hash, warn};
use crate::formats::{FORMATS, FormatRow, Reading, format_of};
use crate::{distribution, limits};

/// Smaller files are no executables.
const SMALLEST_EXECUTABLE: u64 = 52;

/// Collects the facts of one layer.
pub struct LayerCataloguer {
    facts: LayerFacts,
    touched: Vec<u64>,
    /// Wanted files that were read, also those that said nothing.
    read: HashSet<u64>,
    packages: usize,
}

impl LayerCataloguer {
    /// Begins a layer.
    pub fn new(diff_id: &str) -> Self {
        let facts = LayerFacts {
            cataloguer: CATALOGUER_VERSION,
            diff_id: diff_id.to_owned(),
            ..LayerFacts::default()
        };
        Self { facts, touched: Vec::new(), read: HashSet::new(), packages: 0 }
    }

    /// The layer removes a path of lower layers.
    pub fn whiteout(&mut self, path: &str) {
        self.facts.removed.push(path.to_owned());
    }

    /// The layer hides what lower layers have below a directory.
    pub fn opaque(&mut self, directory: &str) {
        self.facts.opaque.push(directory.to_owned());
    }

    /// Something that is neither file, link nor directory.
    pub fn special(&mut self, path: &str) {
        self.touch(path);
    }

    /// A symbolic link. It is not followed here, because its target may lie in another layer.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.touch(path);
        let database = format_of(path).is_some_and(|row| row.format.is_database());
        if (database || distribution::owns(path)) && self.facts.links.len() < limits::MAX_FACT_FILES {
            self.facts.links.insert(path.to_owned(), target.to_owned());
        }
    }

    /// A hard link to an earlier file of the layer.
    pub fn hardlink(&mut self, path: &str, target: &str) {
        self.touch(path);
        if format_of(path).is_none() && !distribution::owns(path) {
            return;
        }
        if let Some(facts) = self.facts.files.get(target) {
            let mut facts = facts.clone();
            for package in &mut facts.packages {
                path.clone_into(&mut package.evidence);
            }
            self.keep(path, facts);
        } else if !self.read.contains(&hash(target)) {
            self.warn(path, format!("{path} was not read: it is a hard link to {target}"));
        }
    }

    /// A regular file of `size` bytes. An error is one of the reader.
    pub fn file(&mut self, path: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        self.touch(path);
        if distribution::owns(path) {
            self.read.insert(hash(path));
            let Some(bytes) = self.whole(path, size, distribution::MAX_TEXT_BYTES, content)? else {
                return Ok(());
            };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            self.keep(path, FileFacts { text, ..FileFacts::default() });
            return Ok(());
        }
        match format_of(path) {
            Some(row) => self.wanted(row, path, size, content),
            None if size >= SMALLEST_EXECUTABLE => self.executable(path, size, content),
            None => Ok(()),
        }
    }

    /// The facts, to be kept by diff id and [`CATALOGUER_VERSION`].
    pub fn finish(mut self) -> LayerFacts {
        self.facts.touched = PathSet::from_hashes(self.touched);
        self.facts
    }

    fn wanted(&mut self, row: &FormatRow, path: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        self.read.insert(hash(path));
        let facts = match row.reading {
            Reading::Whole { limit, parse, .. } => {
                let Some(bytes) = self.whole(path, size, limit, content)? else { return Ok(()) };
                parse(path, &bytes)
            }
            Reading::Stream { parse, .. } => parse(path, size, content),
            Reading::Elf { .. } => return Ok(()),
        };
        self.keep(path, facts);
        Ok(())
    }

    fn executable(&mut self, path: &str, size: u64, content: &mut dyn Read) -> io::Result<()> {
        let mut start = [0; 4];
        content.read_exact(&mut start)?;
        if &start != elf::MAGIC {
            return Ok(());
        }
        let Some(elf) = Elf::read(&start, size, content)? else { return Ok(()) };
        let mut facts = FileFacts::default();
        for row in FORMATS {
            if let Reading::Elf { parse } = row.reading {
                facts.absorb(parse(path, &elf));
            }
        }
        self.keep(path, facts);
        Ok(())
    }

    fn whole(
        &mut self,
        path: &str,
        size: u64,
        limit: u64,
        content: &mut dyn Read,
    ) -> io::Result<Option<Vec<u8>>> {
        if size > limit {
            self.warn(
                path,
                format!("{path} was not read: it has {size} bytes, more than the limit of {limit}"),
            );
            return Ok(None);
        }
        let mut bytes = Vec::new();
        content.take(limit).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn keep(&mut self, path: &str, mut facts: FileFacts) {
        if facts.is_empty() {
            return;
        }
        self.packages += facts.packages.len();
        if self.packages > limits::MAX_PACKAGES || self.facts.files.len() >= limits::MAX_FACT_FILES {
            let text = format!("{path}: the layer has more packages than are kept; they were left out");
            return warn(&mut self.facts.warnings, &text);
        }
        facts.packages.shrink_to_fit();
        self.facts.files.insert(path.to_owned(), facts);
    }

    /// A warning that no longer counts when a higher layer hides the path.
    fn warn(&mut self, path: &str, text: String) {
        self.facts.files.entry(path.to_owned()).or_default().warn(text);
    }

    /// A later entry of the same path replaces the earlier one.
    fn touch(&mut self, path: &str) {
        self.touched.push(hash(path));
        self.facts.links.remove(path);
        if let Some(replaced) = self.facts.files.remove(path) {
            self.packages -= replaced.packages.len().min(self.packages);
        }
    }
}
