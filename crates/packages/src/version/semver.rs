//! Semantic versions (semver.org 2.0.0) and the orders built on them: npm, Go, crates.io, NuGet, Pub.
//!
//! Lenient where registries are: a leading `v`, fewer than three numbers, numbers of any length, letters without a dash
//! (`1.21rc1`). Not lenient: something that begins with no number has no place.

use std::cmp::Ordering;

use super::digits;

/// Which variant of semantic versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// npm, Go, crates.io.
    Plain,
    /// Four numbers, case ignored.
    NuGet,
    /// Build metadata counts.
    Pub,
}

struct Version<'a> {
    numbers: Vec<&'a str>,
    pre: Vec<&'a str>,
    build: &'a str,
}

/// Compares two versions; `Err` is the one that has no place.
pub(super) fn compare<'a>(dialect: Dialect, a: &'a str, b: &'a str) -> Result<Ordering, &'a str> {
    let (left, right) = (Version::parse(dialect, a).ok_or(a)?, Version::parse(dialect, b).ok_or(b)?);
    let order = compare_numbers(&left.numbers, &right.numbers)
        .then_with(|| compare_pre(dialect, &left.pre, &right.pre));
    Ok(if dialect == Dialect::Pub { order.then_with(|| compare_build(&left, &right)) } else { order })
}

impl<'a> Version<'a> {
    fn parse(dialect: Dialect, text: &'a str) -> Option<Self> {
        let text = text.trim_start_matches(['=', ' ']);
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (rest, build) = text.split_once('+').unwrap_or((text, ""));
        let core_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (core, pre) = rest.split_at(core_end);
        let most = if dialect == Dialect::NuGet { 4 } else { 3 };
        let core = core.trim_end_matches('.');
        let mut numbers = core.split('.');
        // What follows the numbers a dialect knows belongs to the build.
        let numbers: Vec<&str> = numbers.by_ref().take(most).collect();
        if !numbers.iter().all(|n| digits::is_number(n)) {
            return None;
        }
        let pre = match pre.strip_prefix('-') {
            Some(pre) => pre.split('.').collect(),
            // `1.21rc1`: letters and digits are fields of their own.
            None => digits::runs(pre).flat_map(|run| run.split('.')).filter(|run| !run.is_empty()).collect(),
        };
        Some(Self { numbers, pre, build })
    }
}

fn compare_numbers(a: &[&str], b: &[&str]) -> Ordering {
    let number = |list: &[&str], at: usize| list.get(at).copied().unwrap_or("0").to_owned();
    let orders = (0..a.len().max(b.len())).map(|at| digits::compare(&number(a, at), &number(b, at)));
    orders.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn compare_pre(dialect: Dialect, a: &[&str], b: &[&str]) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => compare_identifiers(dialect, a, b),
    }
}

fn compare_identifiers(dialect: Dialect, a: &[&str], b: &[&str]) -> Ordering {
    for (left, right) in a.iter().zip(b) {
        let order = match (digits::is_number(left), digits::is_number(right)) {
            (true, true) => digits::compare(left, right),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
            (false, false) if dialect == Dialect::NuGet => {
                left.to_ascii_lowercase().cmp(&right.to_ascii_lowercase())
            }
            (false, false) => left.cmp(right),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Unlike a pre-release, build metadata makes a version newer.
fn compare_build(a: &Version<'_>, b: &Version<'_>) -> Ordering {
    match (a.build.is_empty(), b.build.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => {
            let fields = |build: &str| build.split('.').map(str::to_owned).collect::<Vec<_>>();
            let (left, right) = (fields(a.build), fields(b.build));
            let left: Vec<&str> = left.iter().map(String::as_str).collect();
            let right: Vec<&str> = right.iter().map(String::as_str).collect();
            compare_identifiers(Dialect::Pub, &left, &right)
        }
    }
}
