//! Sets of completion indexes in the form of the API: `"0,2-4,7"`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Pod;

use super::COMPLETION_INDEX;

/// Most indexes a set may name; the API allows 100,000 completions.
const MAX_INDEX: i32 = 100_000;

/// Reads a set; what cannot be read, or lies beyond `completions`, is left out.
pub(crate) fn parse(text: Option<&str>, completions: i32) -> BTreeSet<i32> {
    let end = completions.min(MAX_INDEX);
    let mut indexes = BTreeSet::new();
    for part in text.unwrap_or_default().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.parse::<i32>(), last.parse::<i32>()) else { continue };
        indexes.extend(first.max(0)..=last.min(end - 1));
    }
    indexes
}

/// Writes a set; runs of two are written as two, as Kubernetes does.
pub(crate) fn format(indexes: &BTreeSet<i32>) -> String {
    let mut text = String::new();
    let mut run: Option<(i32, i32)> = None;
    for index in indexes.iter().copied().map(Some).chain([None]) {
        run = match (run, index) {
            (Some((first, last)), Some(index)) if index == last + 1 => Some((first, index)),
            (open, next) => {
                if let Some(open) = open {
                    push(&mut text, open);
                }
                next.map(|index| (index, index))
            }
        };
    }
    text
}

fn push(text: &mut String, (first, last): (i32, i32)) {
    if !text.is_empty() {
        text.push(',');
    }
    let separator = if last == first + 1 { ',' } else { '-' };
    let written =
        if first == last { write!(text, "{first}") } else { write!(text, "{first}{separator}{last}") };
    written.expect("writing to a String cannot fail");
}

/// The index of a pod of an Indexed Job.
pub(crate) fn of(pod: &Pod) -> Option<i32> {
    let text = pod.metadata.annotations.as_ref()?.get(COMPLETION_INDEX)?;
    text.parse().ok().filter(|index| *index >= 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_written_as_the_api_writes_them() {
        let cases: [(&[i32], &str); 5] = [
            (&[], ""),
            (&[3], "3"),
            (&[0, 1], "0,1"),
            (&[0, 1, 2, 5], "0-2,5"),
            (&[1, 3, 4, 7, 8, 9], "1,3,4,7-9"),
        ];
        for (indexes, text) in cases {
            let set: BTreeSet<i32> = indexes.iter().copied().collect();
            assert_eq!(format(&set), text);
            assert_eq!(parse(Some(text), 100), set);
        }
    }

    #[test]
    fn hostile_sets_stay_bounded() {
        assert_eq!(parse(Some("0-2147483647"), 3).len(), 3);
        assert_eq!(parse(Some("x,5-,-3,9-1"), 100).len(), 0);
    }
}
