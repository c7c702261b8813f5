//! Which workloads became exposed to what, and which are not any more: from what ran before and what runs now to notes for
//! people.
//!
//! Pure. A finding that only got another name (a distribution's notice for a known CVE) is the same finding. A workload that
//! runs nothing at the moment keeps what it had, so that its replacement is compared with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use konzert_api::own::FindingRef;

use super::noted::Findings;
use crate::inventory::WorkloadRef;

/// Workloads that are remembered; beyond this, those that run nothing are forgotten.
const MAX_WORKLOADS: usize = 8192;
/// Findings that a note names.
const MAX_NAMED: usize = 3;
/// Longest note (Kubernetes events API, `note`).
const MAX_NOTE_BYTES: usize = 1024;

/// What happened to a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ChangeKind {
    /// It has findings that it had not.
    Found,
    /// It had findings that it has not.
    Fixed,
}

/// One note about one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) workload: WorkloadRef,
    pub(crate) kind: ChangeKind,
    pub(crate) note: String,
}

/// The findings of a workload, by the digest of the image that has them.
pub(crate) type Running = BTreeMap<String, Findings>;

/// What every workload had when it was seen last.
#[derive(Debug, Default)]
pub(crate) struct Exposures {
    workloads: BTreeMap<WorkloadRef, Running>,
}

impl Exposures {
    /// Says that a workload of which nothing is known yet had this: it was said before this process began.
    pub(crate) fn assume(&mut self, workload: &WorkloadRef, had: Running) {
        self.workloads.entry(workload.clone()).or_insert(had);
    }

    /// Takes over what runs now and tells what changed, worst first within each note.
    pub(crate) fn update(&mut self, now: BTreeMap<WorkloadRef, Running>) -> Vec<Change> {
        let mut changes = Vec::new();
        for (workload, new) in &now {
            let none = Running::new();
            let old = self.workloads.get(workload).unwrap_or(&none);
            if same(old, new) {
                continue;
            }
            for (kind, before, after) in [(ChangeKind::Found, old, new), (ChangeKind::Fixed, new, old)] {
                let only = only_in(after, before);
                if !only.is_empty() {
                    changes.push(Change { workload: workload.clone(), kind, note: note(kind, &only) });
                }
            }
        }
        if self.workloads.len() + now.len() > MAX_WORKLOADS {
            self.workloads.retain(|workload, _| now.contains_key(workload));
        }
        self.workloads.extend(now);
        changes
    }
}

/// Cheap: what did not change is shared.
fn same(old: &Running, new: &Running) -> bool {
    old.len() == new.len()
        && old.iter().zip(new).all(|((a, x), (b, y))| a == b && (Arc::ptr_eq(x, y) || x == y))
}

/// Findings in `here` that are not in `there` under any of their names; each vulnerability and package once.
fn only_in<'a>(here: &'a Running, there: &Running) -> Vec<&'a FindingRef> {
    fn ids(finding: &FindingRef) -> impl Iterator<Item = &str> {
        std::iter::once(&finding.advisory).chain(&finding.aliases).map(String::as_str)
    }
    let all = there.values().flat_map(|findings| findings.iter().map(|finding| &**finding));
    let known: BTreeSet<(&str, &str)> =
        all.flat_map(|finding| ids(finding).map(|id| (finding.package.as_str(), id))).collect();
    let mut seen = BTreeSet::new();
    let fresh = here.values().flat_map(|findings| findings.iter().map(|finding| &**finding));
    fresh
        .filter(|finding| !ids(finding).any(|id| known.contains(&(finding.package.as_str(), id))))
        .filter(|finding| seen.insert((finding.package.as_str(), finding.advisory.as_str())))
        .collect()
}

fn note(kind: ChangeKind, findings: &[&FindingRef]) -> String {
    let one = |finding: &&FindingRef| {
        let FindingRef { advisory, severity, package, installed, fixed, .. } = finding;
        match kind {
            ChangeKind::Found if fixed.is_empty() => {
                format!("{advisory} ({severity}) in {package} {installed}, not fixed yet")
            }
            ChangeKind::Found => {
                format!("{advisory} ({severity}) in {package} {installed}, fixed in {fixed}")
            }
            ChangeKind::Fixed => format!("no more {advisory} ({severity}) in {package}"),
        }
    };
    let mut text = findings.iter().take(MAX_NAMED).map(one).collect::<Vec<_>>().join("; ");
    let tail = match findings.len().saturating_sub(MAX_NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let mut end = text.len().min(MAX_NOTE_BYTES - tail.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text + &tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(advisory: &str, aliases: &[&str], package: &str) -> FindingRef {
        FindingRef {
            advisory: advisory.into(),
            aliases: aliases.iter().map(|a| (*a).to_owned()).collect(),
            package: package.into(),
            installed: "1".into(),
            fixed: "2".into(),
            state: "affected".into(),
            severity: "high".into(),
            origin: String::new(),
        }
    }

    fn listed(findings: &[FindingRef]) -> Findings {
        Arc::new(findings.iter().cloned().map(Arc::new).collect())
    }

    fn workload(name: &str) -> WorkloadRef {
        WorkloadRef { kind: "Deployment".into(), namespace: "n".into(), name: name.into(), uid: name.into() }
    }

    fn runs(images: &[(&str, &[FindingRef])]) -> BTreeMap<WorkloadRef, Running> {
        let running = images.iter().map(|(digest, found)| ((*digest).to_owned(), listed(found)));
        BTreeMap::from([(workload("web"), running.collect())])
    }

    fn told(changes: &[Change]) -> Vec<String> {
        changes.iter().map(|change| format!("{:?}: {}", change.kind, change.note)).collect()
    }

    #[test]
    fn a_workload_is_told_of_once_until_it_changes() {
        let mut exposures = Exposures::default();
        let cve = finding("CVE-1", &[], "ssl");
        assert!(exposures.update(runs(&[("a", &[])])).is_empty());
        let found = exposures.update(runs(&[("a", std::slice::from_ref(&cve))]));
        assert_eq!(told(&found), ["Found: CVE-1 (high) in ssl 1, fixed in 2"]);
        assert!(exposures.update(runs(&[("a", std::slice::from_ref(&cve))])).is_empty());
        let renamed = finding("DSA-1", &["CVE-1"], "ssl");
        assert!(exposures.update(runs(&[("a", &[renamed])])).is_empty(), "another name for the same");
        let both = runs(&[("a", std::slice::from_ref(&cve)), ("b", &[])]);
        assert!(exposures.update(both).is_empty(), "the old image still runs");
        assert!(exposures.update(BTreeMap::new()).is_empty(), "it runs nothing for a moment");
        let fixed = exposures.update(runs(&[("b", &[])]));
        assert_eq!(told(&fixed), ["Fixed: no more CVE-1 (high) in ssl"]);
    }

    #[test]
    fn what_was_said_before_this_process_began_is_not_said_again() {
        let mut exposures = Exposures::default();
        let cve = finding("CVE-1", &[], "ssl");
        exposures.assume(&workload("web"), Running::from([("a".into(), listed(std::slice::from_ref(&cve)))]));
        assert!(exposures.update(runs(&[("a", std::slice::from_ref(&cve))])).is_empty());
        let other = finding("CVE-2", &[], "ssl");
        let changes = exposures.update(runs(&[("a", &[other])]));
        assert_eq!(
            changes.iter().map(|c| c.kind).collect::<Vec<_>>(),
            [ChangeKind::Found, ChangeKind::Fixed]
        );
    }

    #[test]
    fn notes_are_bounded() {
        let many: Vec<FindingRef> = (0..9).map(|n| finding(&format!("CVE-{n}"), &[], "ssl")).collect();
        let changes = Exposures::default().update(runs(&[("a", &many)]));
        assert!(changes[0].note.ends_with("CVE-2 (high) in ssl 1, fixed in 2; and 6 more"), "{changes:?}");
        let long = finding("CVE-1", &[], &"é".repeat(4000));
        let changes = Exposures::default().update(runs(&[("a", &[long])]));
        assert!(changes[0].note.len() <= MAX_NOTE_BYTES);
    }
}
