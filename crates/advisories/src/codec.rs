//! One advisory as bytes.
//!
//! A record stands on its own: it refers to nothing outside of itself, so that an unchanged advisory keeps its bytes from one
//! database to the next. Numbers are LEB128, text is length and UTF-8. `decode(encode(a)) == a` for normalised advisories.
//!
//! Invariant: no input makes the reader panic or allocate more than the input is long.

use jiff::Timestamp;

use crate::model::{Edge, bounds};
use crate::{Advisory, Affected, BaseScore, Range, Severity, State};

/// `flags` of a record.
const WITHDRAWN: u8 = 1;
const PUBLISHED: u8 = 2;
const SCORED: u8 = 4;
/// Stands for "no severity of its own".
const INHERITED: u8 = 0xff;

/// Appends LEB128.
pub(crate) fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

fn put_list(out: &mut Vec<u8>, list: &[String]) {
    put_number(out, list.len() as u64);
    for text in list {
        put_text(out, text);
    }
}

fn put_time(out: &mut Vec<u8>, at: Timestamp) {
    let value = at.as_microsecond();
    put_number(out, (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned());
}

/// The record of a normalised advisory.
pub(crate) fn encode(advisory: &Advisory) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    put_text(&mut out, &advisory.id);
    put_text(&mut out, &advisory.feed);
    let flag = |on: bool, bit: u8| if on { bit } else { 0 };
    out.push(
        flag(advisory.withdrawn, WITHDRAWN)
            | flag(advisory.published.is_some(), PUBLISHED)
            | flag(advisory.score.is_some(), SCORED),
    );
    put_time(&mut out, advisory.modified);
    if let Some(at) = advisory.published {
        put_time(&mut out, at);
    }
    out.push(advisory.severity.code());
    if let Some(score) = advisory.score {
        out.push(score.tenths());
    }
    put_text(&mut out, &advisory.vector);
    for list in [&advisory.aliases, &advisory.upstream, &advisory.related] {
        put_list(&mut out, list);
    }
    put_text(&mut out, &advisory.summary);
    put_text(&mut out, &advisory.details);
    put_list(&mut out, &advisory.references);
    put_affected(&mut out, &advisory.affected);
    out
}

/// Ecosystems repeat within a record, so they are numbered.
fn put_affected(out: &mut Vec<u8>, all: &[Affected]) {
    let mut ecosystems: Vec<&str> = all.iter().map(|a| a.ecosystem.as_str()).collect();
    ecosystems.sort_unstable();
    ecosystems.dedup();
    put_number(out, ecosystems.len() as u64);
    for ecosystem in &ecosystems {
        put_text(out, ecosystem);
    }
    put_number(out, all.len() as u64);
    for affected in all {
        let index = ecosystems.binary_search(&affected.ecosystem.as_str());
        put_number(out, index.expect("the table was made from these entries") as u64);
        put_text(out, &affected.package);
        out.push(affected.state.code());
        out.push(affected.severity.map_or(INHERITED, Severity::code));
        put_text(out, &affected.module);
        put_list(out, &affected.arches);
        put_number(out, affected.ranges.len() as u64);
        for range in &affected.ranges {
            put_number(out, range.len() as u64);
            for (edge, version) in bounds(range) {
                out.push(edge.code());
                put_text(out, version);
            }
        }
        put_list(out, &affected.versions);
    }
}

/// Reads what the functions above wrote; `None` where it is something else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    start: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, start: bytes.len() }
    }

    /// Bytes read so far.
    pub(crate) fn position(&self) -> usize {
        self.start - self.rest.len()
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            value |= part << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// A count of things that take a byte each at least, so that no count is larger than what follows.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count <= self.rest.len()).then_some(count)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        let length = self.count()?;
        let (text, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        std::str::from_utf8(text).ok()
    }

    fn list(&mut self) -> Option<Vec<String>> {
        let count = self.count()?;
        (0..count).map(|_| self.text().map(str::to_owned)).collect()
    }

    /// Does not look whether it is text: whoever reads it will.
    fn skip_text(&mut self) -> Option<()> {
        let length = self.count()?;
        self.rest = self.rest.get(length..)?;
        Some(())
    }

    fn skip_list(&mut self) -> Option<()> {
        for _ in 0..self.count()? {
            self.skip_text()?;
        }
        Some(())
    }

    fn time(&mut self) -> Option<Timestamp> {
        let value = self.number()?;
        let micros = (value >> 1).cast_signed() ^ -(value & 1).cast_signed();
        Timestamp::from_microsecond(micros).ok()
    }
}

/// The fields before the affected entries that matching and indexing need, borrowed.
#[derive(Clone, Debug)]
pub(crate) struct Head<'a> {
    pub(crate) id: &'a str,
    pub(crate) feed: &'a str,
    pub(crate) withdrawn: bool,
    pub(crate) modified: Timestamp,
    pub(crate) severity: Severity,
    pub(crate) score: Option<BaseScore>,
    pub(crate) vector: &'a str,
    lists: Cursor<'a>,
}

impl<'a> Head<'a> {
    pub(crate) fn read(record: &'a [u8]) -> Option<Self> {
        let mut at = Cursor::new(record);
        Self::read_at(&mut at).map(|(head, _)| head)
    }

    fn read_at(at: &mut Cursor<'a>) -> Option<(Self, Option<Timestamp>)> {
        let (id, feed, flags) = (at.text()?, at.text()?, at.byte()?);
        let modified = at.time()?;
        let published = if flags & PUBLISHED == 0 { None } else { Some(at.time()?) };
        let severity = Severity::from_code(at.byte()?)?;
        let score = if flags & SCORED == 0 { None } else { Some(BaseScore::from_tenths(at.byte()?)?) };
        let vector = at.text()?;
        let withdrawn = flags & WITHDRAWN != 0;
        Some((Self { id, feed, withdrawn, modified, severity, score, vector, lists: *at }, published))
    }

    /// Aliases, upstream and related ids, then the summary.
    pub(crate) fn names(&self) -> Option<Names<'a>> {
        let mut at = self.lists;
        let mut lists: [Vec<&'a str>; 3] = Default::default();
        for list in &mut lists {
            for _ in 0..at.count()? {
                list.push(at.text()?);
            }
        }
        let [aliases, upstream, related] = lists;
        Some(Names { aliases, upstream, related, summary: at.text()? })
    }

    /// The affected entries, each with its place in the record.
    pub(crate) fn affected(&self) -> Option<Vec<(usize, &'a str, AffectedView<'a>)>> {
        let mut at = self.lists;
        for _ in 0..3 {
            at.skip_list()?;
        }
        at.skip_text()?;
        at.skip_text()?;
        at.skip_list()?;
        let ecosystems: Vec<&str> = {
            let count = at.count()?;
            (0..count).map(|_| at.text()).collect::<Option<_>>()?
        };
        let count = at.count()?;
        let mut all = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            let place = at.position();
            let (index, view) = AffectedView::read(&mut at)?;
            all.push((place, *ecosystems.get(index)?, view));
        }
        Some(all)
    }
}

/// Ids and title of a record.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names<'a> {
    pub(crate) aliases: Vec<&'a str>,
    pub(crate) upstream: Vec<&'a str>,
    pub(crate) related: Vec<&'a str>,
    pub(crate) summary: &'a str,
}

/// One affected entry, borrowed; ranges and lists are walked in place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AffectedView<'a> {
    pub(crate) package: &'a str,
    pub(crate) state: State,
    pub(crate) severity: Option<Severity>,
    pub(crate) module: &'a str,
    arches: Cursor<'a>,
    ranges: Cursor<'a>,
    versions: Cursor<'a>,
}

impl<'a> AffectedView<'a> {
    /// Reads the entry at a place that [`Head::affected`] told.
    pub(crate) fn at(record: &'a [u8], place: usize) -> Option<Self> {
        AffectedView::read(&mut Cursor::new(record.get(place..)?)).map(|(_, view)| view)
    }

    fn read(at: &mut Cursor<'a>) -> Option<(usize, Self)> {
        let index = usize::try_from(at.number()?).ok()?;
        let (package, state) = (at.text()?, State::from_code(at.byte()?)?);
        let severity = match at.byte()? {
            INHERITED => None,
            code => Some(Severity::from_code(code)?),
        };
        let module = at.text()?;
        let arches = *at;
        at.skip_list()?;
        let ranges = *at;
        for _ in 0..at.count()? {
            for _ in 0..at.count()? {
                Edge::from_code(at.byte()?)?;
                at.skip_text()?;
            }
        }
        let versions = *at;
        at.skip_list()?;
        Some((index, Self { package, state, severity, module, arches, ranges, versions }))
    }

    pub(crate) fn arches(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        Texts::of(self.arches)
    }

    pub(crate) fn versions(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        Texts::of(self.versions)
    }

    /// The ranges, each as an iterator of its events.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Events<'a>> + use<'a> {
        let mut at = self.ranges;
        let count = at.count().unwrap_or(0);
        (0..count).map_while(move |_| {
            let left = at.count()?;
            let events = Events { at, left };
            for _ in 0..left {
                at.byte()?;
                at.skip_text()?;
            }
            Some(events)
        })
    }

    /// Whether it names versions at all.
    pub(crate) fn is_bare(&self) -> bool {
        let (mut ranges, mut versions) = (self.ranges, self.versions);
        ranges.count() == Some(0) && versions.count() == Some(0)
    }
}

struct Texts<'a> {
    at: Cursor<'a>,
    left: usize,
}

impl<'a> Texts<'a> {
    fn of(mut at: Cursor<'a>) -> Self {
        let left = at.count().unwrap_or(0);
        Self { at, left }
    }
}

impl<'a> Iterator for Texts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.left = self.left.checked_sub(1)?;
        self.at.text()
    }
}

/// The events of one range.
#[derive(Clone, Debug)]
pub(crate) struct Events<'a> {
    at: Cursor<'a>,
    left: usize,
}

impl<'a> Iterator for Events<'a> {
    type Item = (Edge, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((Edge::from_code(self.at.byte()?)?, self.at.text()?))
    }
}

/// The whole advisory of a record.
pub(crate) fn decode(record: &[u8]) -> Option<Advisory> {
    let mut at = Cursor::new(record);
    let (head, published) = Head::read_at(&mut at)?;
    let mut advisory = Advisory::empty(head.id, head.feed);
    advisory.published = published;
    (advisory.withdrawn, advisory.modified) = (head.withdrawn, head.modified);
    (advisory.severity, advisory.score) = (head.severity, head.score);
    head.vector.clone_into(&mut advisory.vector);
    for list in [&mut advisory.aliases, &mut advisory.upstream, &mut advisory.related] {
        *list = at.list()?;
    }
    at.text()?.clone_into(&mut advisory.summary);
    at.text()?.clone_into(&mut advisory.details);
    advisory.references = at.list()?;
    for (_, ecosystem, view) in head.affected()? {
        let range = |events: Events<'_>| -> Range { events.map(|(edge, at)| edge.with(at)).collect() };
        advisory.affected.push(Affected {
            ecosystem: ecosystem.to_owned(),
            package: view.package.to_owned(),
            ranges: view.ranges().map(range).collect(),
            versions: view.versions().map(str::to_owned).collect(),
            state: view.state,
            severity: view.severity,
            arches: view.arches().map(str::to_owned).collect(),
            module: view.module.to_owned(),
        });
    }
    Some(advisory)
}
