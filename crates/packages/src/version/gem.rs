//! RubyGems (`Gem::Version`): numbers and words between dots, a word makes a pre-release, trailing zeros do not count.

use std::cmp::Ordering;

use super::digits;

/// Compares two versions; `Err` is the one that has no place.
pub(super) fn compare<'a>(a: &'a str, b: &'a str) -> Result<Ordering, &'a str> {
    let (left, right) = (segments(a).ok_or(a)?, segments(b).ok_or(b)?);
    for at in 0..left.len().max(right.len()) {
        let (x, y) = (left.get(at).map_or("0", String::as_str), right.get(at).map_or("0", String::as_str));
        let order = match (digits::is_number(x), digits::is_number(y)) {
            (true, true) => digits::compare(x, y),
            (false, false) => x.cmp(y),
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
        };
        if order.is_ne() {
            return Ok(order);
        }
    }
    Ok(Ordering::Equal)
}

/// A dash reads as `.pre.`; zeros at the end of the numbers, and at the end of all, are dropped.
fn segments(version: &str) -> Option<Vec<String>> {
    let version = version.trim();
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    if !version.starts_with(|c: char| c.is_ascii_digit()) || !version.chars().all(legal) {
        return None;
    }
    let spelled = version.replace('-', ".pre.");
    let mut all = spelled.split('.').flat_map(digits::runs).map(str::to_owned).peekable();
    let mut numbers: Vec<String> = Vec::new();
    while let Some(number) = all.next_if(|s| digits::is_number(s)) {
        numbers.push(number);
    }
    let mut rest: Vec<String> = all.collect();
    drop_zeros(&mut numbers);
    drop_zeros(&mut rest);
    numbers.extend(rest);
    Some(numbers)
}

fn drop_zeros(segments: &mut Vec<String>) {
    while segments.last().is_some_and(|s| s.bytes().all(|b| b == b'0')) {
        segments.pop();
    }
}
