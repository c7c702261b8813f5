//! The order of apk versions: `number{.number}{letter}{_suffix{number}}{~hash}{-r#}` (APKBUILD reference, pkgver).
//!
//! Versions that break the grammar are compared as far as they follow it, and then as text.

use std::cmp::Ordering;

use super::digits;

/// Kinds of tokens; where two versions differ in kind, the earlier kind is the newer version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Token<'a> {
    /// A number; `first` ones compare as numbers, later ones with a leading zero as fractions.
    Number {
        digits: &'a str,
        first: bool,
    },
    Letter(u8),
    Suffix {
        rank: i8,
        digits: &'a str,
    },
    Hash(&'a str),
    Revision(&'a str),
    End,
    /// Outside the grammar, with what is left.
    Broken(&'a str),
}

impl Token<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Number { .. } => 0,
            Self::Letter(_) => 1,
            Self::Suffix { .. } => 2,
            Self::Hash(_) => 3,
            Self::Revision(_) => 4,
            Self::End => 5,
            Self::Broken(_) => 6,
        }
    }

    fn is_pre_release(&self) -> bool {
        matches!(self, Self::Suffix { rank, .. } if *rank < 0)
    }
}

/// Pre-releases rank below a version without suffix, the others above.
const SUFFIXES: [(&str, i8); 9] = [
    ("alpha", -4),
    ("beta", -3),
    ("pre", -2),
    ("rc", -1),
    ("cvs", 1),
    ("svn", 2),
    ("git", 3),
    ("hg", 4),
    ("p", 5),
];

/// Compares two versions.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (Tokens::new(a), Tokens::new(b));
    loop {
        let (l, r) = (left.next(), right.next());
        let order = compare_tokens(l, r);
        if order != Ordering::Equal || l.kind() >= 5 {
            return order;
        }
    }
}

fn compare_tokens(left: Token<'_>, right: Token<'_>) -> Ordering {
    match (left, right) {
        (Token::Number { digits: a, first }, Token::Number { digits: b, .. }) => {
            let fraction = !first && (a.starts_with('0') || b.starts_with('0'));
            if fraction { a.cmp(b) } else { digits::compare(a, b) }
        }
        (Token::Letter(a), Token::Letter(b)) => a.cmp(&b),
        (Token::Suffix { rank: a, digits: left }, Token::Suffix { rank: b, digits: right }) => {
            a.cmp(&b).then_with(|| digits::compare(left, right))
        }
        (Token::Hash(a), Token::Hash(b)) => a.cmp(b),
        (Token::Revision(a), Token::Revision(b)) => digits::compare(a, b),
        // What follows a revision never counts; before it, text decides.
        (Token::Broken(a), Token::Broken(b)) => a.cmp(b),
        _ if left.kind() == right.kind() => Ordering::Equal,
        _ if left.is_pre_release() => Ordering::Less,
        _ if right.is_pre_release() => Ordering::Greater,
        _ => right.kind().cmp(&left.kind()),
    }
}

struct Tokens<'a> {
    rest: &'a str,
    /// The lowest kind that may still come: the grammar only goes forward.
    floor: u8,
    started: bool,
    /// `9.0p1`: outside the grammar, but published.
    after_letter: bool,
}

impl<'a> Tokens<'a> {
    fn new(version: &'a str) -> Self {
        Self { rest: version, floor: 0, started: false, after_letter: false }
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.read();
        self.after_letter = matches!(token, Token::Letter(_));
        self.floor = match token {
            Token::Number { .. } => 0,
            Token::Letter(_) => 2,
            _ => self.floor.max(token.kind()),
        };
        token
    }

    fn read(&mut self) -> Token<'a> {
        if !self.started {
            self.started = true;
            let digits = self.digits();
            return if digits.is_empty() { self.broken() } else { Token::Number { digits, first: true } };
        }
        let Some(lead) = self.rest.bytes().next() else { return Token::End };
        match lead {
            b'.' if self.floor == 0 => {
                self.rest = &self.rest[1..];
                let digits = self.digits();
                if digits.is_empty() { self.broken() } else { Token::Number { digits, first: false } }
            }
            b'0'..=b'9' if self.after_letter => Token::Number { digits: self.digits(), first: false },
            b'a'..=b'z' if self.floor <= 1 => {
                self.rest = &self.rest[1..];
                Token::Letter(lead)
            }
            b'_' if self.floor <= 2 => self.suffix(),
            b'~' if self.floor <= 3 => {
                self.rest = &self.rest[1..];
                Token::Hash(self.take(|c: char| c.is_ascii_hexdigit()))
            }
            b'-' if self.rest.starts_with("-r") && self.floor <= 3 => {
                self.rest = &self.rest[2..];
                Token::Revision(self.digits())
            }
            _ => self.broken(),
        }
    }

    fn suffix(&mut self) -> Token<'a> {
        self.rest = &self.rest[1..];
        let word = self.take(|c: char| c.is_ascii_lowercase());
        match SUFFIXES.iter().find(|(name, _)| *name == word) {
            Some((_, rank)) => Token::Suffix { rank: *rank, digits: self.digits() },
            None => self.broken(),
        }
    }

    fn broken(&self) -> Token<'a> {
        Token::Broken(if self.floor >= 4 { "" } else { self.rest })
    }

    fn digits(&mut self) -> &'a str {
        self.take(|c: char| c.is_ascii_digit())
    }

    fn take(&mut self, accept: fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|c| !accept(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}
