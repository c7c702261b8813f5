//! Composer: PHP's `version_compare` over fields between dots, with the `v` that composer drops.
//!
//! Words have ranks: anything unknown, then dev, alpha, beta, RC, numbers (`#`), patch level.

use std::cmp::Ordering;

use super::digits;

/// Compares two versions.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (left, right) = (fields(a), fields(b));
    for (x, y) in left.iter().zip(&right) {
        let order = compare_fields(x, y);
        if order.is_ne() {
            return order;
        }
    }
    // A number more is newer, a word more stands against the number that is not there.
    let rest = |longer: &[String], at: usize| match longer.get(at) {
        None => Ordering::Equal,
        Some(field) if digits::is_number(field) => Ordering::Greater,
        Some(field) => match rank(field).cmp(&NUMBER) {
            Ordering::Equal if longer.len() > at + 1 => Ordering::Greater,
            order => order,
        },
    };
    match left.len().cmp(&right.len()) {
        Ordering::Greater => rest(&left, right.len()),
        Ordering::Less => rest(&right, left.len()).reverse(),
        Ordering::Equal => Ordering::Equal,
    }
}

const NUMBER: i8 = 4;

fn compare_fields(a: &str, b: &str) -> Ordering {
    match (digits::is_number(a), digits::is_number(b)) {
        (true, true) => digits::compare(a, b),
        (true, false) => NUMBER.cmp(&rank(b)),
        (false, true) => rank(a).cmp(&NUMBER),
        (false, false) => rank(a).cmp(&rank(b)),
    }
}

fn rank(word: &str) -> i8 {
    let known = [("dev", 0), ("a", 1), ("b", 2), ("RC", 3), ("rc", 3), ("#", NUMBER), ("p", 5)];
    known.iter().find(|(begin, _)| word.starts_with(begin)).map_or(-1, |(_, rank)| *rank)
}

fn fields(version: &str) -> Vec<String> {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let words = version.split(['.', '-', '_', '+']).filter(|w| !w.is_empty());
    words.flat_map(digits::runs).map(str::to_owned).collect()
}
