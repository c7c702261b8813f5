//! Maven (POM reference, "Version Order Specification"): tokens with the separator before them, nulls trimmed, qualifiers
//! ranked.

use std::cmp::Ordering;

use super::digits;

/// Where `""`, `final`, `ga` and `release` stand among the qualifiers.
const RELEASE: i8 = 0;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    /// `.` or `-`.
    hyphen: bool,
    value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Number(String),
    Word(String),
}

/// Compares two versions.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (left, right) = (trimmed(tokens(a)), trimmed(tokens(b)));
    for at in 0..left.len().max(right.len()) {
        let order = match (left.get(at), right.get(at)) {
            (Some(x), Some(y)) => x.against(y),
            (Some(x), None) => x.against(&x.null()),
            (None, Some(y)) => y.null().against(y),
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

impl Token {
    fn is_null(&self) -> bool {
        match &self.value {
            Value::Number(digits) => digits.bytes().all(|b| b == b'0'),
            Value::Word(word) => rank(word) == Some(RELEASE),
        }
    }

    /// What a shorter version is filled up with, opposite of this token.
    fn null(&self) -> Self {
        let value = match self.value {
            Value::Number(_) => Value::Number(String::new()),
            Value::Word(_) => Value::Word(String::new()),
        };
        Self { hyphen: self.hyphen, value }
    }

    /// `.qualifier` = `-qualifier` < `-number` < `.number`.
    fn class(&self) -> u8 {
        match (&self.value, self.hyphen) {
            (Value::Word(_), _) => 0,
            (Value::Number(_), true) => 1,
            (Value::Number(_), false) => 2,
        }
    }

    fn against(&self, other: &Self) -> Ordering {
        match (&self.value, &other.value) {
            (Value::Number(a), Value::Number(b)) if self.hyphen == other.hyphen => digits::compare(a, b),
            (Value::Word(a), Value::Word(b)) => match (rank(a), rank(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                // Unknown qualifiers come after the known ones.
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => a.cmp(b),
            },
            _ => self.class().cmp(&other.class()),
        }
    }
}

fn rank(word: &str) -> Option<i8> {
    Some(match word {
        "alpha" => -5,
        "beta" => -4,
        "milestone" => -3,
        "rc" | "cr" => -2,
        "snapshot" => -1,
        "" | "final" | "ga" | "release" => RELEASE,
        "sp" => 1,
        _ => return None,
    })
}

fn tokens(version: &str) -> Vec<Token> {
    let version = version.to_ascii_lowercase();
    let mut found = Vec::new();
    let mut hyphen = false;
    for (index, field) in version.split_inclusive(['.', '-', '_']).enumerate() {
        let text = field.trim_end_matches(['.', '-', '_']);
        if index == 0 || !text.is_empty() {
            push_runs(text, hyphen, &mut found);
        } else {
            found.push(Token { hyphen, value: Value::Number("0".to_owned()) });
        }
        hyphen = !field.ends_with('.');
    }
    found
}

/// A change between digits and letters is a hyphen; `a`, `b` and `m` before a number are short for longer words.
fn push_runs(text: &str, mut hyphen: bool, found: &mut Vec<Token>) {
    if text.is_empty() {
        found.push(Token { hyphen, value: Value::Number("0".to_owned()) });
    }
    let mut runs = digits::runs(text).peekable();
    while let Some(run) = runs.next() {
        let value = if digits::is_number(run) {
            Value::Number(run.to_owned())
        } else {
            let word = match (run, runs.peek().is_some()) {
                ("a", true) => "alpha",
                ("b", true) => "beta",
                ("m", true) => "milestone",
                _ => run,
            };
            Value::Word(word.to_owned())
        };
        found.push(Token { hyphen, value });
        hyphen = true;
    }
}

/// Nulls go from the end, and before each hyphen; the first token stays.
fn trimmed(mut tokens: Vec<Token>) -> Vec<Token> {
    let mut at = tokens.len();
    while at > 1 {
        at -= 1;
        let last = at + 1 == tokens.len();
        // A qualifier after a dot begins a part as after a hyphen: `1.0.0.Alpha1` is `1-alpha-1`.
        let begins = |next: &Token| next.hyphen || matches!(next.value, Value::Word(_));
        let before_part = tokens.get(at + 1).is_some_and(begins);
        if tokens[at].is_null() && (last || before_part) {
            tokens.remove(at);
        }
    }
    tokens
}
