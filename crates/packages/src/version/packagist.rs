//! Composer: PHP's `version_compare` over what composer makes of a version first, so that `v1.2` is `1.2.0`.
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
        (Some([]) | None, None) | (Some([]), Some(_)) => Ordering::Equal,
        (Some(more), _) => beyond(more),
        (_, Some(more)) => beyond(more).reverse(),
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
/// How many numbers a normalised version has.
const NUMBERS: usize = 4;

fn compare_fields(a: &str, b: &str) -> Ordering {
    match (digits::is_number(a), digits::is_number(b)) {
        (true, true) => digits::compare(a, b),
        (true, false) => NUMBER.cmp(&rank(b)),
        (false, true) => rank(a).cmp(&NUMBER),
        (false, false) => rank(a).cmp(&rank(b)),
    }
}

fn rank(word: &str) -> i8 {
    let known = [("dev", 0), ("a", 1), ("b", 2), ("rc", 3), ("#", NUMBER), ("p", 5)];
    known.iter().find(|(begin, _)| word.starts_with(begin)).map_or(-1, |(_, rank)| *rank)
}

/// As composer normalises: no `v`, no build, case ignored, four numbers, and `stable` is nothing.
fn fields(version: &str) -> Vec<String> {
    let version = version.strip_prefix(['v', 'V']).unwrap_or(version);
    let version = version.split('+').next().unwrap_or_default().to_ascii_lowercase();
    let words = version.split(['.', '-', '_']).filter(|w| !w.is_empty());
    let mut found: Vec<String> =
        words.flat_map(digits::runs).filter(|word| *word != "stable").map(str::to_owned).collect();
    let numbers = found.iter().take_while(|f| digits::is_number(f) || rank(f) == NUMBER).count();
    if (1..NUMBERS).contains(&numbers) {
        found.splice(numbers..numbers, std::iter::repeat_n("0".to_owned(), NUMBERS - numbers));
    }
    found
}
