//! Which advisories are about the same vulnerability: union-find over ids.
//!
//! `aliases` join. `upstream` joins when it names one id: a notice about several vulnerabilities is none of them, and joining
//! through notices would make one vulnerability of every kernel fix. `related` joins under the same condition, and only for
//! a distribution's notices, which name what they fix there (`AlmaLinux`, Debian LTS); elsewhere related means similar. Cycles do no harm.

use std::collections::HashMap;

use crate::codec::{Head, Names};

/// Prefixes of distributions' notices whose `related` is what they fix.
const NOTICES: [&str; 13] = [
    "DSA-",
    "DLA-",
    "ELA-",
    "USN-",
    "ALSA-",
    "RHSA-",
    "RLSA-",
    "RXSA-",
    "ELSA-",
    "SUSE-",
    "openSUSE-",
    "ALAS",
    "MGASA-",
];

/// Whether an id is one of a distribution's notice, which may cover several vulnerabilities.
pub(crate) fn is_notice(id: &str) -> bool {
    NOTICES.iter().any(|prefix| id.starts_with(prefix))
}

/// The ids that a record says are itself.
pub(crate) fn same_as<'a>(head: &Head<'a>, names: &Names<'a>) -> Vec<&'a str> {
    let mut same = names.aliases.clone();
    if let [one] = names.upstream.as_slice() {
        same.push(one);
    }
    if names.upstream.is_empty()
        && is_notice(head.id)
        && let [one] = names.related.as_slice()
    {
        same.push(one);
    }
    same
}

/// The ids that a record covers: itself by other names, and what a notice fixes.
pub(crate) fn covered<'a>(head: &Head<'a>, names: &Names<'a>) -> Vec<&'a str> {
    let mut all = names.aliases.clone();
    all.extend(&names.upstream);
    if is_notice(head.id) {
        all.extend(&names.related);
    }
    all
}

/// Joins ids, and numbers records by group in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Groups<'a> {
    numbers: HashMap<&'a str, usize>,
    parents: Vec<usize>,
}

impl<'a> Groups<'a> {
    pub(super) fn join(&mut self, id: &'a str, others: &[&'a str]) {
        let mut root = self.number(id);
        for other in others {
            let other = self.number(other);
            root = self.root(root);
            let joined = self.root(other);
            self.parents[joined] = root;
        }
    }

    fn number(&mut self, id: &'a str) -> usize {
        let next = self.parents.len();
        let number = *self.numbers.entry(id).or_insert(next);
        if number == next {
            self.parents.push(next);
        }
        number
    }

    /// With path halving.
    fn root(&mut self, mut at: usize) -> usize {
        while self.parents[at] != at {
            self.parents[at] = self.parents[self.parents[at]];
            at = self.parents[at];
        }
        at
    }

    /// The group of each id, numbered from 0 in the order asked for.
    pub(super) fn numbered(mut self, ids: impl Iterator<Item = &'a str>) -> Vec<u32> {
        let mut groups: HashMap<usize, u32> = HashMap::new();
        ids.map(|id| {
            let number = self.number(id);
            let root = self.root(number);
            let next = u32::try_from(groups.len()).unwrap_or(u32::MAX);
            *groups.entry(root).or_insert(next)
        })
        .collect()
    }
}
