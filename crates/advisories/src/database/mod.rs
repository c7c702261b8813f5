//! The advisory database: one immutable run of bytes that every reader shares, and the lookups in it.
//!
//! File (little endian): a header of [`layout::HEADER`] bytes with magic, version, the place of each section, the digest of the
//! metadata, the digest of everything else, and a digest of the header itself; then the sections:
//! records (see `codec`), record table, keys, entries, ecosystems, ids, groups, priorities, strings, metadata.
//!
//! Invariants:
//! 1. A file whose digests do not match, or whose version is another, is refused as a whole; [`verify`] does it.
//! 2. The content digest leaves the metadata out and is the revision: the same advisories have the same revision however
//!    and whenever they were imported.
//! 3. Records stand in the order of (id, feed), and a record that did not change has the same bytes in the next file.
//! 4. Keys stand in the order of (ecosystem, package), ids in that of their lower-case form, priorities in that of the CVE: lookups
//!    are binary searches and touch few pages of a mapped file.
//! 5. The ceiling of a key, when it has one, is a version from which on no entry of the key applies: a package that is kept well
//!    costs one comparison, however many advisories its past has.
//! 6. A reader believes no offset: whatever the bytes are, it does not panic and does not read outside of them.
//!
//! 1 and 2: [`verify`], [`builder`]; 3 to 5: [`builder`]; 6: [`layout`]. Does no I/O: see `fleet` for the file.

mod builder;
mod groups;
mod layout;
mod source;

pub(crate) use groups::{covered, is_notice};

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::codec::{self, AffectedView, Head};
use crate::priority::{self, CveKey, Priority};
use crate::{Advisory, ecosystem};
pub use builder::{Added, Builder};
use layout::{HEADER, Layout, Section, text_at, u32_at, u64_at};
pub use source::{Source, SourceKind, Trust};

/// Why a database file is not usable.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The first bytes are not ours.
    #[error("not an advisory database")]
    Header,
    /// Of another version of the format.
    #[error("an advisory database of format {found}, this program reads {}", layout::VERSION)]
    Version {
        /// As found.
        found: u32,
    },
    /// The content does not have the digest of the header: cut off or changed.
    #[error("the advisory database is damaged: its checksum does not match")]
    Checksum,
    /// The parts do not fit together although the checksums hold.
    #[error("the advisory database is damaged: section {section} does not fit")]
    Layout {
        /// Which part.
        section: &'static str,
    },
    /// The file could not be read.
    #[error("the advisory database cannot be read")]
    Io(#[source] std::io::Error),
}

impl DatabaseError {
    /// Whether another import repairs it without losing what only this program wrote.
    pub fn is_old_format(&self) -> bool {
        matches!(self, Self::Version { .. })
    }
}

/// What the advisories say of an ecosystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// How many advisories speak of it.
    pub advisories: usize,
    /// The newest change among them; the epoch when the feed does not say.
    pub newest: Timestamp,
}

/// Advisories with their indexes. Cheap to clone: the bytes are shared.
#[derive(Clone, Debug, Default)]
pub struct Database {
    bytes: Bytes,
    layout: Layout,
    revision: String,
    coverage: BTreeMap<String, Coverage>,
    sources: Vec<Source>,
}

/// The entries of one package in one ecosystem.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Key<'a> {
    first: usize,
    entries: usize,
    /// From this version on no entry applies.
    pub(crate) ceiling: Option<&'a str>,
}

/// Checks the digests of a whole file without holding it.
pub fn verify(mut input: impl std::io::Read) -> Result<(), DatabaseError> {
    let mut header = [0; HEADER];
    input.read_exact(&mut header).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => DatabaseError::Header,
        _ => DatabaseError::Io(error),
    })?;
    let layout = Layout::read(&header)?;
    let (mut content, mut metadata) = (Sha256::new(), Sha256::new());
    let mut left = layout.content_bytes();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = input.read(&mut buffer).map_err(DatabaseError::Io)?;
        if read == 0 {
            break;
        }
        let of_content = usize::try_from(left).unwrap_or(usize::MAX).min(read);
        content.update(&buffer[..of_content]);
        metadata.update(&buffer[of_content..read]);
        left -= of_content as u64;
    }
    let holds = left == 0
        && content.finalize().as_slice() == layout.content_digest
        && metadata.finalize().as_slice() == layout.metadata_digest;
    if holds { Ok(()) } else { Err(DatabaseError::Checksum) }
}

impl Database {
    /// A database of these advisories; of two with the same id and feed the later modified one wins.
    pub fn new(advisories: impl IntoIterator<Item = Advisory>) -> Self {
        let empty = Self::default();
        let mut builder = Builder::new(&empty);
        for advisory in advisories {
            builder.add(advisory);
        }
        Self::open(builder.finish(&[]).into()).expect("the builder writes what the reader reads")
    }

    /// Reads a whole file's bytes, digests included.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DatabaseError> {
        verify(&*bytes)?;
        Self::open(bytes)
    }

    /// Reads bytes that [`verify`] has seen: a mapped file need not be paged in as a whole.
    pub fn open(bytes: Bytes) -> Result<Self, DatabaseError> {
        let header = bytes.first_chunk::<HEADER>().ok_or(DatabaseError::Header)?;
        let layout = Layout::read(header)?;
        layout.fits(bytes.len())?;
        let mut database = Self { bytes, layout, ..Self::default() };
        database.revision = hex::encode(database.layout.content_digest);
        database.coverage = database.read_coverage();
        let metadata = database.section(Section::Metadata);
        database.sources = serde_json::from_slice(metadata)
            .map_err(|_not_ours| DatabaseError::Layout { section: "metadata" })?;
        Ok(database)
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn section(&self, section: Section) -> &[u8] {
        self.layout.of(&self.bytes, section)
    }

    fn row(&self, section: Section, index: usize) -> &[u8] {
        let size = section.row_bytes();
        let place = index.checked_mul(size).and_then(|from| Some(from..from.checked_add(size)?));
        place.and_then(|place| self.section(section).get(place)).unwrap_or_default()
    }

    fn rows(&self, section: Section) -> usize {
        self.section(section).len() / section.row_bytes()
    }

    fn string(&self, row: &[u8], at: usize) -> &str {
        text_at(self.section(Section::Strings), u32_at(row, at), u32_at(row, at + 4))
    }

    fn read_coverage(&self) -> BTreeMap<String, Coverage> {
        (0..self.rows(Section::Ecosystems))
            .map(|index| {
                let row = self.row(Section::Ecosystems, index);
                let newest = Timestamp::from_microsecond(u64_at(row, 12).cast_signed());
                let advisories = u32_at(row, 8) as usize;
                let coverage = Coverage { advisories, newest: newest.unwrap_or_default() };
                (self.string(row, 0).to_owned(), coverage)
            })
            .collect()
    }

    /// Digest of the content; equal content gives equal revisions. Empty when there are no advisories.
    pub fn revision(&self) -> &str {
        if self.is_empty() { "" } else { &self.revision }
    }

    /// How many advisories, withdrawn ones included.
    pub fn len(&self) -> usize {
        self.rows(Section::Table)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where the advisories came from.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// How many vulnerabilities have a priority.
    pub fn priorities(&self) -> usize {
        self.rows(Section::Priorities)
    }

    /// The bytes of a record; empty when there is none.
    pub(crate) fn record(&self, index: usize) -> &[u8] {
        let row = self.row(Section::Table, index);
        let records = self.section(Section::Records);
        let from = usize::try_from(u64_at(row, 0)).unwrap_or(usize::MAX);
        from.checked_add(u32_at(row, 8) as usize).and_then(|to| records.get(from..to)).unwrap_or_default()
    }

    pub(crate) fn head(&self, index: usize) -> Option<Head<'_>> {
        Head::read(self.record(index))
    }

    /// The alias group of a record.
    pub(crate) fn group(&self, index: usize) -> u32 {
        u32_at(self.row(Section::Table, index), 12)
    }

    /// The records of an alias group, in order.
    pub(crate) fn members(&self, group: u32) -> impl Iterator<Item = usize> + '_ {
        let at = |row: &[u8]| (u32_at(row, 0), u32_at(row, 4));
        let total = self.rows(Section::Groups);
        let first = partition(total, |i| at(self.row(Section::Groups, i)).0 < group);
        (first..total)
            .map(move |i| at(self.row(Section::Groups, i)))
            .take_while(move |(of, _)| *of == group)
            .map(|(_, record)| record as usize)
    }

    /// The records with an id of their own, one for each feed.
    fn with_id(&self, id: &str) -> impl Iterator<Item = usize> + '_ {
        let id = id.to_owned();
        let of = |index: usize| self.head(index).map_or("", |head| head.id);
        let first = partition(self.len(), |i| of(i) < id.as_str());
        (first..self.len()).take_while(move |i| self.head(*i).is_some_and(|head| head.id == id))
    }

    #[cfg(test)]
    pub(crate) fn find(&self, id: &str, feed: &str) -> Option<usize> {
        self.with_id(id).find(|index| self.head(*index).is_some_and(|head| head.feed == feed))
    }

    /// An advisory by its own id; of several feeds the first one.
    pub fn get(&self, id: &str) -> Option<Advisory> {
        self.with_id(id).next().and_then(|index| codec::decode(self.record(index)))
    }

    /// All advisories, by id.
    pub fn advisories(&self) -> impl Iterator<Item = Advisory> + '_ {
        (0..self.len()).filter_map(|index| codec::decode(self.record(index)))
    }

    /// Live records that speak of a package, each with what they say of it.
    pub(crate) fn entries(
        &self,
        ecosystem: &str,
        package: &str,
    ) -> impl Iterator<Item = (usize, AffectedView<'_>)> + '_ {
        self.about(self.key(ecosystem, package).unwrap_or_default())
    }

    /// What [`Self::entries`] says, for a key that was looked up.
    pub(crate) fn about<'a>(&'a self, key: Key<'a>) -> impl Iterator<Item = (usize, AffectedView<'a>)> + 'a {
        let end = key.first.saturating_add(key.entries).min(self.rows(Section::Entries));
        (key.first..end).filter_map(|index| {
            let row = self.row(Section::Entries, index);
            let (record, place) = (u32_at(row, 0) as usize, u32_at(row, 4) as usize);
            Some((record, AffectedView::at(self.record(record), place)?))
        })
    }

    /// Where the entries of a package are.
    pub(crate) fn key(&self, ecosystem: &str, package: &str) -> Option<Key<'_>> {
        let number = self.ecosystem_number(ecosystem)?;
        let compare = |index: usize| {
            let row = self.row(Section::Keys, index);
            u32_at(row, 0).cmp(&number).then_with(|| self.string(row, 4).cmp(package))
        };
        let at = partition(self.rows(Section::Keys), |i| compare(i) == Ordering::Less);
        let found = at < self.rows(Section::Keys) && compare(at) == Ordering::Equal;
        let row = self.row(Section::Keys, at);
        found.then(|| Key {
            first: u32_at(row, 12) as usize,
            entries: u32_at(row, 16) as usize,
            ceiling: Some(self.string(row, 20)).filter(|ceiling| !ceiling.is_empty()),
        })
    }

    fn ecosystem_number(&self, ecosystem: &str) -> Option<u32> {
        let name = |index: usize| self.string(self.row(Section::Ecosystems, index), 0);
        let total = self.rows(Section::Ecosystems);
        let at = partition(total, |i| name(i) < ecosystem);
        (at < total && name(at) == ecosystem).then(|| u32::try_from(at).ok()).flatten()
    }

    /// What is known of an ecosystem; `None` means that silence says nothing.
    pub fn covers(&self, ecosystem: &str) -> Option<&Coverage> {
        self.coverage.get(&ecosystem::canonical(ecosystem))
    }

    /// Every covered ecosystem.
    pub fn coverage(&self) -> &BTreeMap<String, Coverage> {
        &self.coverage
    }

    /// The ids of all live advisories that `id` stands for: its own, those that name it as alias, upstream or related, and
    /// the aliases of all of these.
    pub fn ids(&self, id: &str) -> BTreeSet<String> {
        let live = |index: &usize| self.head(*index).is_some_and(|head| !head.withdrawn);
        let groups: BTreeSet<u32> = self.naming(id).filter(live).map(|index| self.group(index)).collect();
        let members = groups.into_iter().flat_map(|group| self.members(group)).filter(live);
        members.filter_map(|index| Some(self.head(index)?.id.to_owned())).collect()
    }

    /// The records that name an id in any way.
    pub(crate) fn naming(&self, id: &str) -> impl Iterator<Item = usize> + '_ {
        let id = id.to_ascii_lowercase();
        let total = self.rows(Section::Ids);
        let first = partition(total, |i| self.string(self.row(Section::Ids, i), 0) < id.as_str());
        (first..total)
            .map(|index| self.row(Section::Ids, index))
            .take_while(move |row| self.string(row, 0) == id)
            .map(|row| u32_at(row, 8) as usize)
    }

    /// What is known of the urgency of a vulnerability.
    pub fn priority(&self, id: &str) -> Priority {
        let Some(key) = CveKey::parse(id) else { return Priority::default() };
        let of = |index: usize| priority::read_row(self.row(Section::Priorities, index));
        let total = self.rows(Section::Priorities);
        let at = partition(total, |i| of(i).is_some_and(|(k, _)| k < key));
        of(at).filter(|(k, _)| *k == key).map(|(_, priority)| priority).unwrap_or_default()
    }

    /// All priorities, by CVE.
    pub(crate) fn priority_rows(&self) -> impl Iterator<Item = (CveKey, Priority)> + '_ {
        (0..self.priorities()).filter_map(|i| priority::read_row(self.row(Section::Priorities, i)))
    }

    /// Whether silence about an ecosystem means safety at a moment.
    pub fn trust(&self, ecosystem: &str, now: Timestamp, max_age: jiff::SignedDuration) -> Trust {
        let name = ecosystem::canonical(ecosystem);
        if self.coverage.contains_key(&name) {
            source::trust(&self.sources, &name, now, max_age)
        } else {
            Trust::NotCovered
        }
    }
}

/// The first index for which `before` is false.
fn partition(total: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, total);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
