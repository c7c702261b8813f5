//! What is wrong with a rule, as compilers of the language print it: place, line and a mark under it.

use std::fmt::Write as _;

/// One finding at a byte of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issue {
    pub(super) at: usize,
    pub(super) why: String,
}

/// Findings in the order of their places, one after the other.
pub(super) fn print(source: &str, issues: &[Issue]) -> String {
    let mut sorted: Vec<&Issue> = issues.iter().collect();
    sorted.sort_by_key(|issue| issue.at);
    sorted.into_iter().map(|issue| print_one(source, issue)).collect::<Vec<_>>().join("\n")
}

fn print_one(source: &str, issue: &Issue) -> String {
    let mut at = issue.at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    let before = &source[..at];
    let start = before.rfind('\n').map_or(0, |n| n + 1);
    let line = before.matches('\n').count() + 1;
    let column = source[start..at].chars().count();
    let text = source[start..].lines().next().unwrap_or_default();
    let mut out = format!("ERROR: <input>:{line}:{}: {}\n | {text}\n | ", column + 1, issue.why);
    write!(out, "{}^", ".".repeat(column)).expect("writing to a string never fails");
    out
}
