//! rpm: `[epoch:]version[-release]`, each part by runs of digits and letters; `~` sorts before the end, `^` after it but before
//! anything else (rpm-version(7)). Everything else, also beyond ASCII, only separates.

use std::cmp::Ordering;

use super::digits;

/// Compares two versions. A missing epoch is 0; a missing release is older than any.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, version_a, release_a), (epoch_b, version_b, release_b)) = (split(a), split(b));
    digits::compare(epoch_a, epoch_b)
        .then_with(|| parts(version_a, version_b))
        .then_with(|| match (release_a, release_b) {
            (Some(a), Some(b)) => parts(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        })
}

fn split(evr: &str) -> (&str, &str, Option<&str>) {
    let (epoch, rest) = match evr.split_once(':') {
        Some((epoch, rest)) if digits::is_number(epoch) => (epoch, rest),
        _ => ("0", evr),
    };
    match rest.rsplit_once('-') {
        Some((version, release)) => (epoch, version, Some(release)),
        None => (epoch, rest, None),
    }
}

/// One version or release against another; also the order of anything without an order of its own.
pub(super) fn parts(mut a: &str, mut b: &str) -> Ordering {
    let separates = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
    loop {
        a = a.trim_start_matches(separates);
        b = b.trim_start_matches(separates);
        match (a.strip_prefix('~'), b.strip_prefix('~')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (a.strip_prefix('^'), b.strip_prefix('^')) {
            (Some(rest_a), Some(rest_b)) => {
                (a, b) = (rest_a, rest_b);
                continue;
            }
            (Some(_), None) => return if b.is_empty() { Ordering::Greater } else { Ordering::Less },
            (None, Some(_)) => return if a.is_empty() { Ordering::Less } else { Ordering::Greater },
            (None, None) => {}
        }
        if a.is_empty() || b.is_empty() {
            return a.len().min(1).cmp(&b.len().min(1));
        }
        let (run_a, run_b) = (run(a), run(b));
        let order = match (digits::is_number(run_a), digits::is_number(run_b)) {
            (true, true) => digits::compare(run_a, run_b),
            (false, false) => run_a.cmp(run_b),
            // Numbers are newer than letters.
            (number, _) => return if number { Ordering::Greater } else { Ordering::Less },
        };
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (&a[run_a.len()..], &b[run_b.len()..]);
    }
}

/// The run of digits or of letters that a text begins with.
fn run(text: &str) -> &str {
    let digit = text.starts_with(|c: char| c.is_ascii_digit());
    let belongs = |c: char| if digit { c.is_ascii_digit() } else { c.is_ascii_alphabetic() };
    &text[..text.find(|c| !belongs(c)).unwrap_or(text.len())]
}
