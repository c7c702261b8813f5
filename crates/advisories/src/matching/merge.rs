//! Makes one finding of everything that several advisories say of one vulnerability in one package.
//!
//! Rules: the vendor's own advisory gives id, state and severity; of several fixed versions the highest holds, because only it has every
//! fix; a vendor's "not affected" overrules the others; a notice whose vulnerabilities are all found under their own ids, or in
//! a later notice that covers them too, is not repeated.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use konzert_packages::{Package, PackageClass};

use super::{Finding, FindingState};
use crate::codec::{Head, Names};
use crate::database::{covered, is_notice};
use crate::ecosystem::{self, Order};
use crate::{Database, Priority, Severity};

/// Most covered ids whose severities a notice without one borrows.
const MAX_BORROWED: usize = 64;

/// A record that speaks of the package.
#[derive(Debug)]
pub(super) struct Hit<'a> {
    pub(super) record: usize,
    pub(super) group: u32,
    pub(super) order: Order,
    pub(super) verdict: Verdict<'a>,
}

/// What one record says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict<'a> {
    pub(super) state: FindingState,
    pub(super) fixed: Option<&'a str>,
    pub(super) severity: Option<Severity>,
}

impl Verdict<'_> {
    /// Both entries of one record: affected by any is affected, and the higher fix holds.
    pub(super) fn or(self, other: Self, order: Order) -> Self {
        let weight = |v: &Self| match v.state {
            FindingState::NotAffected => 0,
            FindingState::Unknown => 1,
            _ => 2,
        };
        let (first, second) = if weight(&other) > weight(&self) { (other, self) } else { (self, other) };
        let fixed = if weight(&first) == weight(&second) {
            higher(order, first.fixed, second.fixed)
        } else {
            first.fixed
        };
        Self { fixed, severity: first.severity.max(second.severity), ..first }
    }
}

fn higher<'a>(order: Order, a: Option<&'a str>, b: Option<&'a str>) -> Option<&'a str> {
    match (a, b) {
        (Some(a), Some(b)) if ecosystem::compare(order, b, a) == Some(Ordering::Greater) => Some(b),
        (a, b) => a.or(b),
    }
}

/// Lower is better.
fn rank(id: &str, class: PackageClass) -> u8 {
    let (cve, ghsa) = (id.starts_with("CVE-"), id.starts_with("GHSA-"));
    let general = ["OSV-", "SNYK-", "UVI-"].iter().any(|prefix| id.starts_with(prefix));
    match class {
        _ if !cve && !ghsa && !general => 0,
        PackageClass::Os if cve => 1,
        PackageClass::Language if ghsa => 1,
        _ if cve || ghsa => 2,
        _ => 3,
    }
}

/// One record of a group, read.
struct Voice<'a> {
    hit: Hit<'a>,
    rank: u8,
    head: Head<'a>,
    names: Names<'a>,
}

/// What a group says, before notices are weighed against each other.
struct Draft<'a> {
    finding: Finding,
    order: Order,
    notice: bool,
    /// Vulnerabilities it covers.
    covers: BTreeSet<&'a str>,
}

impl<'a> Draft<'a> {
    fn cves(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.covers.iter().copied().filter(|id| id.starts_with("CVE-"))
    }
}

pub(super) fn findings(database: &Database, package: &Package, hits: Vec<Hit<'_>>) -> Vec<Finding> {
    let mut groups: BTreeMap<u32, Vec<Voice<'_>>> = BTreeMap::new();
    for hit in hits {
        let Some(head) = database.head(hit.record) else { continue };
        let Some(names) = head.names() else { continue };
        let rank = rank(head.id, package.class());
        groups.entry(hit.group).or_default().push(Voice { hit, rank, head, names });
    }
    let mut drafts: Vec<Draft<'_>> =
        groups.into_values().filter_map(|voices| draft(database, package, voices)).collect();
    weigh_notices(&mut drafts);
    drafts.into_iter().map(|draft| draft.finding).collect()
}

fn draft<'a>(database: &'a Database, package: &Package, mut voices: Vec<Voice<'a>>) -> Option<Draft<'a>> {
    voices.sort_by(|a, b| (a.rank, a.head.id, a.head.feed).cmp(&(b.rank, b.head.id, b.head.feed)));
    let denies = |v: &Voice<'_>| v.hit.verdict.state == FindingState::NotAffected;
    let best_rank = voices.first()?.rank;
    let (deny, affirm): (Vec<_>, Vec<_>) =
        voices.iter().take_while(|v| v.rank == best_rank).partition(|v| denies(v));
    // Aliases may join two vulnerabilities, of which the vendor denies one.
    let settled = affirm.iter().all(|v| deny.iter().any(|d| d.head.id == v.head.id));
    if !deny.is_empty() && settled {
        return None;
    }
    voices.retain(|v| !denies(v));
    // A record that can place the version knows more than one that cannot.
    let placed = |v: &Voice<'_>| v.hit.verdict.state != FindingState::Unknown;
    let best = voices.iter().position(placed).unwrap_or(0);
    let order = voices.first()?.hit.order;
    let fixed = voices.iter().fold(None, |fixed, v| higher(order, fixed, v.hit.verdict.fixed));
    let mut covers = BTreeSet::new();
    for voice in &voices {
        covers.insert(voice.head.id);
        covers.extend(covered(&voice.head, &voice.names));
    }
    let mut aliases: BTreeSet<&str> = covers.clone();
    for voice in &voices {
        aliases.extend(voice.names.related.iter().copied());
    }
    let voice = &voices[best];
    aliases.remove(voice.head.id);
    let weight = Weight::of(database, &voices, best, &covers);
    let notice = is_notice(voice.head.id) && covers.iter().filter(|id| id.starts_with("CVE-")).count() > 1;
    let summary = voices.iter().map(|v| v.names.summary).find(|s| !s.is_empty()).unwrap_or_default();
    let finding = Finding {
        advisory: voice.head.id.to_owned(),
        aliases: aliases.into_iter().map(str::to_owned).collect(),
        package: package.name.clone(),
        ecosystem: package.ecosystem.clone(),
        installed: package.version.clone(),
        fixed: fixed.map(str::to_owned),
        state: voice.hit.verdict.state,
        severity: weight.severity,
        score: weight.score.map(|(score, _)| score),
        vector: weight.score.map_or_else(String::new, |(_, vector)| vector.to_owned()),
        known_exploited: weight.priority.exploited,
        epss: weight.priority.epss,
        layer: package.layer,
        evidence: package.evidence.clone(),
        summary: summary.to_owned(),
    };
    Some(Draft { finding, order, notice, covers })
}

/// How much a vulnerability weighs.
struct Weight<'a> {
    severity: Severity,
    score: Option<(crate::BaseScore, &'a str)>,
    priority: Priority,
}

impl<'a> Weight<'a> {
    /// The best record's word; else that of others on this package, of others in the group, of what a notice covers.
    fn of(database: &'a Database, voices: &[Voice<'a>], best: usize, covers: &BTreeSet<&str>) -> Self {
        let own = |v: &Voice<'a>| v.hit.verdict.severity.unwrap_or(v.head.severity);
        let mut severity = own(&voices[best]);
        if severity == Severity::Unknown {
            severity = voices.iter().map(own).find(|s| *s != Severity::Unknown).unwrap_or_default();
        }
        let scored = |head: &Head<'a>| head.score.map(|score| (score, head.vector));
        let mut score = scored(&voices[best].head).or_else(|| voices.iter().find_map(|v| scored(&v.head)));
        if severity == Severity::Unknown || score.is_none() {
            let group = database.members(voices[best].hit.group).filter_map(|m| database.head(m));
            for head in group.filter(|head| !head.withdrawn) {
                severity = if severity == Severity::Unknown { head.severity } else { severity };
                score = score.or_else(|| scored(&head));
            }
        }
        if severity == Severity::Unknown {
            let records = covers.iter().take(MAX_BORROWED).flat_map(|id| database.naming(id));
            let heads = records.filter_map(|record| database.head(record)).filter(|head| !head.withdrawn);
            severity = heads.map(|head| head.severity).max().unwrap_or_default();
        }
        let priority = covers.iter().map(|id| database.priority(id)).fold(Priority::default(), Priority::or);
        Self { severity, score, priority }
    }
}

/// Drops notices that say nothing new, and raises a notice's fix to that of a later one about the same vulnerability.
fn weigh_notices(drafts: &mut Vec<Draft<'_>>) {
    if drafts.len() < 2 {
        return;
    }
    let singles: BTreeSet<&str> =
        drafts.iter().filter(|d| !d.notice).flat_map(|d| d.covers.iter().copied()).collect();
    drafts.retain(|d| !d.notice || !d.cves().all(|id| singles.contains(id)));
    // A kernel has hundreds of notices about thousands of vulnerabilities: only those that share one are compared.
    let mut about: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, draft) in drafts.iter().enumerate() {
        for id in draft.cves() {
            about.entry(id).or_default().push(index);
        }
    }
    let superseded = |draft: &Draft<'_>| {
        let sharing = draft.cves().next().and_then(|id| about.get(id)).into_iter().flatten();
        draft.notice && sharing.into_iter().any(|other| supersedes(&drafts[*other], draft))
    };
    let highest: HashMap<&str, &str> = about
        .iter()
        .filter_map(|(id, sharing)| {
            let fixes = sharing.iter().map(|other| drafts[*other].finding.fixed.as_deref());
            Some((*id, fixes.fold(None, |top, fix| higher(drafts[0].order, top, fix))?))
        })
        .collect();
    let raised = |draft: &Draft<'_>| {
        let own = draft.finding.fixed.as_deref()?;
        let fixes = draft.cves().filter_map(|id| highest.get(id).copied());
        let top = fixes.fold(own, |top, fix| higher(draft.order, Some(top), Some(fix)).unwrap_or(top));
        (top != own).then(|| top.to_owned())
    };
    let weighed: Vec<(bool, Option<String>)> = drafts.iter().map(|d| (superseded(d), raised(d))).collect();
    for (draft, (_, fixed)) in drafts.iter_mut().zip(&weighed) {
        if fixed.is_some() {
            draft.finding.fixed.clone_from(fixed);
        }
    }
    let mut weighed = weighed.into_iter();
    drafts.retain(|_| !weighed.next().is_some_and(|(superseded, _)| superseded));
}

/// A notice that covers the same and more, and whose fix is higher.
fn supersedes(later: &Draft<'_>, draft: &Draft<'_>) -> bool {
    let (Some(to), Some(from)) = (&later.finding.fixed, &draft.finding.fixed) else { return false };
    later.notice
        && ecosystem::compare(draft.order, to, from) == Some(Ordering::Greater)
        && draft.cves().all(|id| later.covers.contains(id))
}
