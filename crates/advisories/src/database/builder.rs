//! Makes a database from an old one and what an import brings.
//!
//! Advisories are encoded as they come, so that an import holds bytes and not objects.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::groups::{Groups, same_as};
use super::{Database, Source, layout};
use crate::codec::{self, AffectedView, Head};
use crate::ecosystem::{self, Order};
use crate::model::Edge;
use crate::priority::{self, CveKey, Epss, KnownExploited, Priority};
use crate::sources::{FileFacts, Item};
use crate::{Advisory, State};

/// What became of an advisory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// There was none with its id and feed.
    New,
    /// It replaced another.
    Changed,
    /// The same was there.
    Unchanged,
    /// A later one was there.
    Older,
}

/// Where the bytes of a record are.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// Record number of the old database.
    Old(usize),
    /// In the builder's own bytes.
    New { from: usize, to: usize },
}

type Key = (String, String);

/// Collects advisories on top of an old database.
#[derive(Debug)]
pub struct Builder<'a> {
    old: &'a Database,
    bytes: Vec<u8>,
    places: BTreeMap<Key, Place>,
    /// Keys that the import named, by feed: the rest of a snapshot's feed is gone.
    named: HashMap<String, BTreeSet<String>>,
    exploited: BTreeMap<CveKey, KnownExploited>,
    likely: BTreeMap<CveKey, Epss>,
    fresh_exploited: Option<BTreeMap<CveKey, KnownExploited>>,
    fresh_likely: Option<BTreeMap<CveKey, Epss>>,
}

impl<'a> Builder<'a> {
    /// Starts with everything that `old` has.
    pub fn new(old: &'a Database) -> Self {
        let mut places = BTreeMap::new();
        for index in 0..old.len() {
            if let Some(head) = old.head(index) {
                places.insert((head.id.to_owned(), head.feed.to_owned()), Place::Old(index));
            }
        }
        let (mut exploited, mut likely) = (BTreeMap::new(), BTreeMap::new());
        for (key, priority) in old.priority_rows() {
            exploited.extend(priority.exploited.map(|known| (key, known)));
            likely.extend(priority.epss.map(|epss| (key, epss)));
        }
        Self {
            old,
            bytes: Vec::new(),
            places,
            named: HashMap::new(),
            exploited,
            likely,
            fresh_exploited: None,
            fresh_likely: None,
        }
    }

    fn record(&self, place: Place) -> &[u8] {
        match place {
            Place::Old(index) => self.old.record(index),
            Place::New { from, to } => &self.bytes[from..to],
        }
    }

    /// Takes what a parser found; true when it changes the database.
    pub fn take(&mut self, item: Item) -> bool {
        match item {
            Item::Advisory(advisory) => matches!(self.add(*advisory), Added::New | Added::Changed),
            Item::Exploited(key, known) => {
                self.fresh_exploited.get_or_insert_default().insert(key, known);
                self.exploited.get(&key) != Some(&known)
            }
            Item::Likely(key, epss) => {
                self.fresh_likely.get_or_insert_default().insert(key, epss);
                self.likely.get(&key) != Some(&epss)
            }
        }
    }

    /// Adds an advisory unless a later one with its id and feed is there. Feeds without dates are taken as they come.
    pub fn add(&mut self, advisory: Advisory) -> Added {
        let advisory = advisory.normalised();
        let key = (advisory.id.clone(), advisory.feed.clone());
        if !advisory.feed.is_empty() {
            self.named.entry(advisory.feed.clone()).or_default().insert(advisory.id.clone());
        }
        let record = codec::encode(&advisory);
        let known = self.places.get(&key).copied();
        if let Some(place) = known {
            let bytes = self.record(place);
            if bytes == record {
                return Added::Unchanged;
            }
            if Head::read(bytes).is_some_and(|head| head.modified > advisory.modified) {
                return Added::Older;
            }
        }
        let from = self.bytes.len();
        self.bytes.extend_from_slice(&record);
        self.places.insert(key, Place::New { from, to: self.bytes.len() });
        if known.is_some() { Added::Changed } else { Added::New }
    }

    /// Forgets what snapshots named before and do not name any more; returns how many advisories that were.
    pub fn settle(&mut self, facts: &FileFacts) -> usize {
        let mut gone = 0;
        for feed in &facts.snapshot_of {
            match feed.as_str() {
                crate::sources::KEV_FEED => {
                    let fresh = self.fresh_exploited.take().unwrap_or_default();
                    gone += self.exploited.keys().filter(|key| !fresh.contains_key(key)).count();
                    self.exploited = fresh;
                }
                crate::sources::EPSS_FEED => {
                    let fresh = self.fresh_likely.take().unwrap_or_default();
                    gone += self.likely.keys().filter(|key| !fresh.contains_key(key)).count();
                    self.likely = fresh;
                }
                _ => {
                    let named = self.named.remove(feed).unwrap_or_default();
                    let before = self.places.len();
                    self.places.retain(|(id, of), _| of != feed || named.contains(id));
                    gone += before - self.places.len();
                }
            }
        }
        gone
    }

    /// How many advisories there are now.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The file's bytes.
    pub fn finish(self, sources: &[Source]) -> Vec<u8> {
        let records: Vec<&[u8]> = self.places.values().map(|place| self.record(*place)).collect();
        let mut index = Index::default();
        for (number, record) in records.iter().enumerate() {
            index.add(number, record);
        }
        let groups = index.groups.take_numbers();
        let mut table = Vec::with_capacity(records.len() * 16);
        let mut body = Vec::with_capacity(records.iter().map(|r| r.len()).sum());
        for (record, group) in records.iter().zip(&groups) {
            table.extend_from_slice(&(body.len() as u64).to_le_bytes());
            put(&mut table, &[narrow(record.len()), *group]);
            body.extend_from_slice(record);
        }
        let mut members: Vec<(u32, u32)> =
            groups.iter().enumerate().map(|(record, group)| (*group, narrow(record))).collect();
        members.sort_unstable();
        let mut group_rows = Vec::with_capacity(members.len() * 8);
        for (group, record) in members {
            put(&mut group_rows, &[group, record]);
        }
        let mut strings = Strings::default();
        let (keys, entries, ecosystems) = index.key_sections(&records, &mut strings);
        let ids = index.id_section(&mut strings);
        let priorities = priorities(&self.exploited, &self.likely);
        let metadata = serde_json::to_vec(sources).expect("sources have string keys only");
        let strings = strings.bytes;
        layout::assemble([
            body, table, keys, entries, ecosystems, ids, group_rows, priorities, strings, metadata,
        ])
    }
}

fn priorities(exploited: &BTreeMap<CveKey, KnownExploited>, likely: &BTreeMap<CveKey, Epss>) -> Vec<u8> {
    let keys: BTreeSet<CveKey> = exploited.keys().chain(likely.keys()).copied().collect();
    let mut rows = Vec::with_capacity(keys.len() * priority::ROW);
    for key in keys {
        let both = Priority { exploited: exploited.get(&key).copied(), epss: likely.get(&key).copied() };
        priority::put_row(&mut rows, key, &both);
    }
    rows
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("an import is bounded far below four billion")
}

fn put(out: &mut Vec<u8>, fields: &[u32]) {
    for field in fields {
        out.extend_from_slice(&field.to_le_bytes());
    }
}

/// The version from which on none of these entries applies; `None` unless each range ends with a fix and every version in them has a
/// place in the order.
fn ceiling<'a>(order: Order, views: impl Iterator<Item = Option<AffectedView<'a>>>) -> Option<&'a str> {
    let mut top: Option<&str> = None;
    for view in views {
        let view = view?;
        if view.state == State::NotAffected || view.is_bare() || view.versions().next().is_some() {
            return None;
        }
        for range in view.ranges() {
            if range.clone().last().is_none_or(|(edge, _)| edge != Edge::Fixed) {
                return None;
            }
            for (edge, version) in range {
                if edge == Edge::Introduced && version == "0" {
                    continue;
                }
                let higher = match top {
                    Some(top) => ecosystem::compare(order, version, top)? == Ordering::Greater,
                    None => ecosystem::compare(order, version, version).is_some(),
                };
                if higher {
                    top = Some(version);
                }
            }
        }
    }
    top
}

/// Each text once.
#[derive(Debug, Default)]
struct Strings {
    bytes: Vec<u8>,
    known: HashMap<String, (u32, u32)>,
}

impl Strings {
    fn place(&mut self, text: &str) -> (u32, u32) {
        if let Some(place) = self.known.get(text) {
            return *place;
        }
        let place = (narrow(self.bytes.len()), narrow(text.len()));
        self.bytes.extend_from_slice(text.as_bytes());
        self.known.insert(text.to_owned(), place);
        place
    }
}

/// What the lookups of the file are made of.
#[derive(Debug, Default)]
struct Index<'a> {
    /// (ecosystem, package) → (record, place in it).
    keys: BTreeMap<(&'a str, &'a str), Vec<(u32, u32)>>,
    /// ecosystem → advisories, newest change.
    ecosystems: BTreeMap<&'a str, (u32, Timestamp)>,
    ids: BTreeSet<(String, u32)>,
    groups: Joined<'a>,
}

#[derive(Debug, Default)]
struct Joined<'a> {
    groups: Groups<'a>,
    own: Vec<&'a str>,
}

impl Joined<'_> {
    fn take_numbers(&mut self) -> Vec<u32> {
        let own = std::mem::take(&mut self.own);
        std::mem::take(&mut self.groups).numbered(own.into_iter())
    }
}

impl<'a> Index<'a> {
    fn add(&mut self, number: usize, record: &'a [u8]) {
        let read = || {
            let head = Head::read(record)?;
            let (names, affected) = (head.names()?, head.affected()?);
            Some((head, names, affected))
        };
        let (head, names, affected) = read().expect("records were encoded by this program and verified");
        let number = narrow(number);
        let all = [head.id].into_iter().chain(names.aliases.iter().copied());
        for id in all.chain(names.upstream.iter().copied()).chain(names.related.iter().copied()) {
            self.ids.insert((id.to_ascii_lowercase(), number));
        }
        self.groups.own.push(head.id);
        if head.withdrawn {
            return;
        }
        self.groups.groups.join(head.id, &same_as(&head, &names));
        let mut seen = BTreeSet::new();
        for (place, ecosystem, view) in affected {
            self.keys.entry((ecosystem, view.package)).or_default().push((number, narrow(place)));
            if seen.insert(ecosystem) {
                let entry = self.ecosystems.entry(ecosystem).or_insert((0, head.modified));
                *entry = (entry.0 + 1, entry.1.max(head.modified));
            }
        }
    }

    fn key_sections(&self, records: &[&[u8]], strings: &mut Strings) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let (mut keys, mut entries, mut ecosystems) = (Vec::new(), Vec::new(), Vec::new());
        let mut numbers = HashMap::new();
        for (number, (name, (advisories, newest))) in self.ecosystems.iter().enumerate() {
            numbers.insert(*name, narrow(number));
            let (offset, length) = strings.place(name);
            put(&mut ecosystems, &[offset, length, *advisories]);
            ecosystems.extend_from_slice(&newest.as_microsecond().to_le_bytes());
        }
        let mut first = 0;
        for ((ecosystem_name, package), places) in &self.keys {
            let (offset, length) = strings.place(package);
            let order = ecosystem::order(ecosystem_name);
            let views =
                places.iter().map(|(at, place)| AffectedView::at(records[*at as usize], *place as usize));
            let ceiling = ceiling(order, views).map_or((0, 0), |version| strings.place(version));
            let number = numbers[ecosystem_name];
            put(&mut keys, &[number, offset, length, first, narrow(places.len()), ceiling.0, ceiling.1]);
            first += narrow(places.len());
            for (record, place) in places {
                put(&mut entries, &[*record, *place]);
            }
        }
        (keys, entries, ecosystems)
    }

    fn id_section(&self, strings: &mut Strings) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.ids.len() * 12);
        for (id, record) in &self.ids {
            let (offset, length) = strings.place(id);
            put(&mut rows, &[offset, length, *record]);
        }
        rows
    }
}
