//! Python (PEP 440). Versions outside of it compare by setuptools' older rules and come before all others, as `packaging` did
//! while it still read them.

use std::cmp::Ordering;

use super::digits;

/// Compares two versions.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    match (Version::parse(a), Version::parse(b)) {
        (Some(left), Some(right)) => left.against(&right),
        (Some(_), None) => Ordering::Greater,
        (None, Some(_)) => Ordering::Less,
        (None, None) => legacy(a).cmp(&legacy(b)),
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Version {
    epoch: String,
    release: Vec<String>,
    /// `a`, `b`, `rc`, which also sort so.
    pre: Option<(String, String)>,
    post: Option<String>,
    dev: Option<String>,
    local: Option<Vec<String>>,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let (public, local) = match text.split_once('+') {
            Some((public, local)) => (public, Some(local_fields(local)?)),
            None => (text, None),
        };
        let (epoch, public) = match public.split_once('!') {
            Some((epoch, rest)) if digits::is_number(epoch) => (epoch, rest),
            Some(_) => return None,
            None => ("0", public),
        };
        let mut found = Self { epoch: epoch.to_owned(), local, ..Self::default() };
        let rest = found.read_release(public)?;
        let rest = found.read_pre(rest);
        let rest = found.read_post(rest);
        let rest = found.read_dev(rest);
        rest.is_empty().then_some(found)
    }

    fn read_release<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let mut rest = text;
        loop {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if end == 0 {
                return None;
            }
            self.release.push(rest[..end].to_owned());
            rest = &rest[end..];
            match rest.strip_prefix('.') {
                Some(after) if after.starts_with(|c: char| c.is_ascii_digit()) => rest = after,
                _ => return Some(rest),
            }
        }
    }

    fn read_pre<'a>(&mut self, text: &'a str) -> &'a str {
        const WORDS: [(&str, &str); 8] = [
            ("alpha", "a"),
            ("beta", "b"),
            ("preview", "rc"),
            ("pre", "rc"),
            ("rc", "rc"),
            ("a", "a"),
            ("b", "b"),
            ("c", "rc"),
        ];
        match labelled(text, &WORDS) {
            Some((label, number, rest)) => {
                self.pre = Some((label.to_owned(), number));
                rest
            }
            None => text,
        }
    }

    fn read_post<'a>(&mut self, text: &'a str) -> &'a str {
        // `1.0-1` is an implicit post release.
        if let Some(rest) = text.strip_prefix('-')
            && rest.starts_with(|c: char| c.is_ascii_digit())
        {
            let (number, rest) = number(rest);
            self.post = Some(number);
            return rest;
        }
        match labelled(text, &[("post", ""), ("rev", ""), ("r", "")]) {
            Some((_, number, rest)) => {
                self.post = Some(number);
                rest
            }
            None => text,
        }
    }

    fn read_dev<'a>(&mut self, text: &'a str) -> &'a str {
        match labelled(text, &[("dev", "")]) {
            Some((_, number, rest)) => {
                self.dev = Some(number);
                rest
            }
            None => text,
        }
    }

    fn against(&self, other: &Self) -> Ordering {
        digits::compare(&self.epoch, &other.epoch)
            .then_with(|| compare_release(&self.release, &other.release))
            .then_with(|| self.compare_pre(other))
            .then_with(|| compare_optional(self.post.as_deref(), other.post.as_deref(), Ordering::Less))
            .then_with(|| compare_optional(self.dev.as_deref(), other.dev.as_deref(), Ordering::Greater))
            .then_with(|| compare_local(self.local.as_deref(), other.local.as_deref()))
    }

    /// Before every pre-release stands a development release of the release itself; after them the release.
    fn pre_rank(&self) -> u8 {
        match (&self.pre, &self.post, &self.dev) {
            (Some(_), ..) => 1,
            (None, None, Some(_)) => 0,
            (None, ..) => 2,
        }
    }

    fn compare_pre(&self, other: &Self) -> Ordering {
        match (&self.pre, &other.pre) {
            (Some((a, m)), Some((b, n))) => a.cmp(b).then_with(|| digits::compare(m, n)),
            _ => self.pre_rank().cmp(&other.pre_rank()),
        }
    }
}

/// A label of the list with separators around it, the number after it (0 when there is none), and what follows.
fn labelled<'a, 'w>(text: &'a str, words: &[(&'w str, &'w str)]) -> Option<(&'w str, String, &'a str)> {
    let separator = ['.', '-', '_'];
    let bare = text.strip_prefix(separator).unwrap_or(text);
    let (rest, label) = words.iter().find_map(|(word, label)| Some((bare.strip_prefix(word)?, *label)))?;
    // The separator may stand there without a number: `1.0a-.post1`.
    let (number, rest) = number(rest.strip_prefix(separator).unwrap_or(rest));
    Some((label, number, rest))
}

fn number(text: &str) -> (String, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let digits = if end == 0 { "0" } else { &text[..end] };
    (digits.to_owned(), &text[end..])
}

fn local_fields(local: &str) -> Option<Vec<String>> {
    let fields: Vec<String> = local.split(['.', '-', '_']).map(str::to_owned).collect();
    fields.iter().all(|f| !f.is_empty() && f.bytes().all(|b| b.is_ascii_alphanumeric())).then_some(fields)
}

fn compare_release(a: &[String], b: &[String]) -> Ordering {
    let number = |list: &[String], at: usize| list.get(at).cloned().unwrap_or_default();
    let mut orders = (0..a.len().max(b.len())).map(|at| digits::compare(&number(a, at), &number(b, at)));
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// `missing` is where nothing stands against something.
fn compare_optional(a: Option<&str>, b: Option<&str>, missing: Ordering) -> Ordering {
    match (a, b) {
        (Some(a), Some(b)) => digits::compare(a, b),
        (None, Some(_)) => missing,
        (Some(_), None) => missing.reverse(),
        (None, None) => Ordering::Equal,
    }
}

fn compare_local(a: Option<&[String]>, b: Option<&[String]>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else { return a.is_some().cmp(&b.is_some()) };
    for (x, y) in a.iter().zip(b) {
        let order = match (digits::is_number(x), digits::is_number(y)) {
            (true, true) => digits::compare(x, y),
            (false, false) => x.cmp(y),
            (number, _) => number.cmp(&!number),
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// setuptools before PEP 440: numbers padded to eight digits, words marked, `final` at the end.
fn legacy(version: &str) -> Vec<String> {
    const ZERO: &str = "00000000";
    let mut parts: Vec<String> = Vec::new();
    let lower = version.to_ascii_lowercase();
    for part in legacy_parts(&lower).chain(std::iter::once("final")) {
        let spelled = match part {
            "." => continue,
            "pre" | "preview" | "rc" => "c",
            "-" => "final-",
            "dev" => "@",
            other => other,
        };
        if digits::is_number(spelled) {
            parts.push(format!("{spelled:0>8}"));
            continue;
        }
        let word = format!("*{spelled}");
        if word.as_str() < "*final" {
            drop_last(&mut parts, "*final-");
        }
        drop_last(&mut parts, ZERO);
        parts.push(word);
    }
    parts
}

fn drop_last(parts: &mut Vec<String>, what: &str) {
    while parts.last().is_some_and(|last| last == what) {
        parts.pop();
    }
}

/// Runs of digits, runs of letters, single dots and dashes, and what lies between.
fn legacy_parts(text: &str) -> impl Iterator<Item = &str> {
    fn class(c: char) -> u8 {
        match c {
            '0'..='9' => 0,
            'a'..='z' => 1,
            '.' | '-' => 2,
            _ => 3,
        }
    }
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = class(rest.chars().next()?);
        let end = if first == 2 { 1 } else { rest.find(|c| class(c) != first).unwrap_or(rest.len()) };
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}
