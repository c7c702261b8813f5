//! Ignore files: findings that somebody decided to live with, for a time and a reason.
//!
//! Three forms, told apart by content: our own YAML (`ignores:` with id, package, reason and expires; reason and expiry are required),
//! Trivy's YAML (`vulnerabilities:`) and Trivy's plain lines (`CVE-2026-1 exp:2026-12-31`). Aliases count. Pure: today is an argument.
//! Whatever did nothing, or does nothing any more, is reported: an ignore that outlives its finding hides the next one.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use crate::Finding;

/// Largest file.
const MAX_BYTES: usize = 4 << 20;
/// Most rules.
const MAX_RULES: usize = 20_000;

/// Why an ignore file is not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IgnoreError {
    /// Not YAML, or a field of the wrong type or name.
    #[error("{name}: not an ignore file")]
    Syntax {
        /// The file.
        name: String,
        /// What the parser met, with line and column.
        #[source]
        source: Box<serde_saphyr::Error>,
    },
    /// A field is missing or impossible.
    #[error("{name}: line {line}: field {field}: {problem}")]
    Field {
        /// The file.
        name: String,
        /// From 1.
        line: u64,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Over a bound, or not text.
    #[error("{name}: {problem}")]
    Unreadable {
        /// The file.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Advisory id or alias.
    pub id: String,
    /// Only in this package.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Only in packages with one of these purls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub purls: Vec<String>,
    /// Only in packages that one of these files proves; `*` stands for anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Why.
    pub reason: String,
    /// The last day on which it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<Date>,
    /// Line in its file, from 1.
    pub line: u64,
}

/// The rules of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignores {
    /// In file order.
    pub rules: Vec<Rule>,
}

/// What rules made of findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored<'a> {
    /// What is left.
    pub findings: Vec<Finding>,
    /// What was taken away, with the rule.
    pub ignored: Vec<(Finding, &'a Rule)>,
    /// Rules that took nothing away.
    pub unused: Vec<&'a Rule>,
    /// Rules whose day has passed.
    pub expired: Vec<&'a Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnFile {
    ignores: Vec<Spanned<OwnRule>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnRule {
    id: Option<String>,
    package: Option<String>,
    reason: Option<String>,
    expires: Option<String>,
}

/// Its other lists are about things that konzert does not look for.
#[derive(Deserialize)]
struct TrivyFile {
    #[serde(default)]
    vulnerabilities: Vec<Spanned<TrivyRule>>,
}

#[derive(Deserialize)]
struct TrivyRule {
    id: Option<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    purls: Vec<String>,
    expired_at: Option<String>,
    statement: Option<String>,
}

impl Ignores {
    /// Reads a file of any of the three forms; `name` is the file, for errors.
    pub fn parse(bytes: &[u8], name: &str) -> Result<Self, IgnoreError> {
        let unreadable = |problem| IgnoreError::Unreadable { name: name.to_owned(), problem };
        if bytes.len() > MAX_BYTES {
            return Err(unreadable("too large"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_not_utf8| unreadable("not UTF-8"))?;
        let at = |line, field, problem| IgnoreError::Field { name: name.to_owned(), line, field, problem };
        let has = |key: &str| text.lines().any(|line| line.trim_end().starts_with(key));
        let rules = if has("ignores:") {
            own(yaml(text, name)?, &at)?
        } else if ["vulnerabilities:", "misconfigurations:", "secrets:", "licenses:"].into_iter().any(has) {
            trivy(yaml(text, name)?, &at)?
        } else {
            plain(text, &at)?
        };
        if rules.len() > MAX_RULES {
            return Err(unreadable("too many rules"));
        }
        Ok(Self { rules })
    }

    /// Takes away what the rules say; `purls` tells the purls of a finding's package.
    pub fn apply(
        &self,
        findings: Vec<Finding>,
        today: Date,
        purls: impl Fn(&Finding) -> Vec<String>,
    ) -> Ignored<'_> {
        let expired = |rule: &Rule| rule.expires.is_some_and(|day| day < today);
        let mut used = vec![false; self.rules.len()];
        let mut out = Ignored::default();
        for finding in findings {
            let applies = |(_, rule): &(usize, &Rule)| !expired(rule) && rule.matches(&finding, &purls);
            let mut first = None;
            for (index, rule) in self.rules.iter().enumerate().filter(applies) {
                used[index] = true;
                first.get_or_insert(rule);
            }
            match first {
                Some(rule) => out.ignored.push((finding, rule)),
                None => out.findings.push(finding),
            }
        }
        for (rule, used) in self.rules.iter().zip(used) {
            if expired(rule) {
                out.expired.push(rule);
            } else if !used {
                out.unused.push(rule);
            }
        }
        out
    }
}

impl Rule {
    fn matches(&self, finding: &Finding, purls: &impl Fn(&Finding) -> Vec<String>) -> bool {
        finding.is_named(&self.id)
            && self.package.as_ref().is_none_or(|package| *package == finding.package)
            && (self.paths.is_empty() || self.paths.iter().any(|path| glob(path, &finding.evidence)))
            && (self.purls.is_empty() || {
                let own = purls(finding);
                self.purls.iter().any(|purl| own.iter().any(|o| crate::openvex::purl_covers(purl, o)))
            })
    }
}

/// `*` stands for any text. Bounded: it backtracks to the last star only.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.trim_start_matches('/').as_bytes(), text.as_bytes());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (p, t) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

type AtLine<'a> = &'a dyn Fn(u64, &'static str, &'static str) -> IgnoreError;

fn yaml<T: serde::de::DeserializeOwned>(text: &str, name: &str) -> Result<T, IgnoreError> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_nodes: 400_000,
            max_events: 800_000,
        },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|source| IgnoreError::Syntax { name: name.to_owned(), source: Box::new(source) })
}

fn own(file: OwnFile, at: AtLine<'_>) -> Result<Vec<Rule>, IgnoreError> {
    let rule = |spanned: Spanned<OwnRule>| {
        let (line, rule) = (spanned.referenced.line(), spanned.value);
        let filled = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let expires = filled(rule.expires).ok_or_else(|| at(line, "expires", "missing"))?;
        Ok(Rule {
            id: id(rule.id, line, at)?,
            package: filled(rule.package),
            purls: Vec::new(),
            paths: Vec::new(),
            reason: filled(rule.reason).ok_or_else(|| at(line, "reason", "missing"))?,
            expires: Some(day(&expires, line, "expires", at)?),
            line,
        })
    };
    file.ignores.into_iter().map(rule).collect()
}

fn trivy(file: TrivyFile, at: AtLine<'_>) -> Result<Vec<Rule>, IgnoreError> {
    let rule = |spanned: Spanned<TrivyRule>| {
        let (line, rule) = (spanned.referenced.line(), spanned.value);
        Ok(Rule {
            id: id(rule.id, line, at)?,
            package: None,
            purls: rule.purls,
            paths: rule.paths,
            reason: rule.statement.unwrap_or_default(),
            expires: rule.expired_at.map(|text| day(&text, line, "expired_at", at)).transpose()?,
            line,
        })
    };
    file.vulnerabilities.into_iter().map(rule).collect()
}

fn plain(text: &str, at: AtLine<'_>) -> Result<Vec<Rule>, IgnoreError> {
    let mut rules = Vec::new();
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.split('#').next().unwrap_or_default();
        let mut words = content.split_whitespace();
        let Some(first) = words.next() else { continue };
        let mut rule = Rule {
            id: id(Some(first.to_owned()), line, at)?,
            package: None,
            purls: Vec::new(),
            paths: Vec::new(),
            reason: String::new(),
            expires: None,
            line,
        };
        for word in words {
            let date =
                word.strip_prefix("exp:").ok_or_else(|| at(line, "exp", "only exp:DATE may follow an id"))?;
            rule.expires = Some(day(date, line, "exp", at)?);
        }
        rules.push(rule);
    }
    Ok(rules)
}

fn id(id: Option<String>, line: u64, at: AtLine<'_>) -> Result<String, IgnoreError> {
    let id = id.ok_or_else(|| at(line, "id", "missing"))?;
    let usable = !id.is_empty() && id.len() <= 200 && id.bytes().all(|b| b.is_ascii_graphic());
    if usable && !id.contains(['{', '}', '[', ']', '"']) && !id.ends_with(':') {
        Ok(id)
    } else {
        Err(at(line, "id", "must be an advisory id"))
    }
}

fn day(text: &str, line: u64, field: &'static str, at: AtLine<'_>) -> Result<Date, IgnoreError> {
    let date = text.split(['T', ' ']).next().unwrap_or_default();
    date.parse().map_err(|_not_a_date| at(line, field, "must be a date such as 2026-12-31"))
}

#[cfg(test)]
#[path = "tests/ignore.rs"]
mod tests;
