//! Composer: PHP's `version_compare` over fields between dots, with the `v` that composer drops.
//!
//! Words have ranks: anything unknown, then dev, alpha, beta, RC, numbers (`#`), patch level.

use std::cmp::Ordering;

use super::digits;

/// Compares two versions.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    compare_lists(&fields(a), &fields(b))
}

fn compare_lists(a: &[String], b: &[String]) -> Ordering {
    let order = a.iter().zip(b).map(|(x, y)| compare_fields(x, y)).find(|order| order.is_ne());
    order.unwrap_or_else(|| match (a.get(b.len()..), b.get(a.len()..)) {
        (Some([]), _) => Ordering::Equal,
        (Some(more), _) => beyond(more),
        (_, Some(more)) => beyond(more).reverse(),
        (None, None) => Ordering::Equal,
    })
}

/// Where one list ends and the other goes on: a number is newer, words stand against a number that is not there.
fn beyond(more: &[String]) -> Ordering {
    let word = more.iter().find(|field| digits::is_number(field) || rank(field) != NUMBER);
    match word {
        Some(field) if digits::is_number(field) => Ordering::Greater,
        Some(field) => rank(field).cmp(&NUMBER),
        None => Ordering::Equal,
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
