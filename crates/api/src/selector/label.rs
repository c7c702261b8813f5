//! Label selectors, from a query string or from a `metav1.LabelSelector`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value};

use super::SELECTOR_BYTES_MAX;
use crate::status::ApiError;
use crate::validation::names;

/// Anything labels can be looked up in.
pub trait LabelSource {
    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str>;
}

impl LabelSource for Map<String, Value> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }
}

impl LabelSource for BTreeMap<String, String> {
    fn label(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }
}

impl<L: LabelSource> LabelSource for Option<L> {
    fn label(&self, key: &str) -> Option<&str> {
        self.as_ref().and_then(|labels| labels.label(key))
    }
}

impl<L: LabelSource + ?Sized> LabelSource for &L {
    fn label(&self, key: &str) -> Option<&str> {
        (**self).label(key)
    }
}

/// How a requirement compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The label is there with one of the values.
    In,
    /// The label is not there, or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
    /// The label is an integer above the value.
    GreaterThan,
    /// The label is an integer below the value.
    LessThan,
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// Label key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: BTreeSet<String>,
}

impl Requirement {
    /// Whether the labels satisfy it.
    pub fn matches<L: LabelSource + ?Sized>(&self, labels: &L) -> bool {
        let found = labels.label(&self.key);
        let compare = |above: bool| {
            let wanted = self.values.first().and_then(|v| v.parse::<i64>().ok());
            match (found.and_then(|v| v.parse::<i64>().ok()), wanted) {
                (Some(found), Some(wanted)) => {
                    if above {
                        found > wanted
                    } else {
                        found < wanted
                    }
                }
                _ => false,
            }
        };
        match self.operator {
            Operator::In => found.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => found.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => found.is_some(),
            Operator::DoesNotExist => found.is_none(),
            Operator::GreaterThan => compare(true),
            Operator::LessThan => compare(false),
        }
    }

    fn check(self) -> Result<Self, String> {
        let wrong = names::qualified_name(&self.key);
        if !wrong.is_empty() {
            return Err(format!("<nil>: Invalid value: {:?}: {}", self.key, wrong.join("; ")));
        }
        let integer = matches!(self.operator, Operator::GreaterThan | Operator::LessThan);
        for value in &self.values {
            let wrong = names::label_value(value);
            if !wrong.is_empty() {
                return Err(format!(
                    "values[0][{}]: Invalid value: {value:?}: {}",
                    self.key,
                    wrong.join("; ")
                ));
            }
            if integer && value.parse::<i64>().is_err() {
                return Err(format!(
                    "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
                ));
            }
        }
        Ok(self)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let values = || self.values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        let key = &self.key;
        match self.operator {
            Operator::In if self.values.len() == 1 => write!(f, "{key}={}", values()),
            Operator::NotIn if self.values.len() == 1 => write!(f, "{key}!={}", values()),
            Operator::In => write!(f, "{key} in ({})", values()),
            Operator::NotIn => write!(f, "{key} notin ({})", values()),
            Operator::Exists => f.write_str(key),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::GreaterThan => write!(f, "{key}>{}", values()),
            Operator::LessThan => write!(f, "{key}<{}", values()),
        }
    }
}

/// All requirements must hold. The default selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// The requirements, sorted by key.
    pub requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    /// Selects everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Selects nothing: what a missing selector means in a spec.
    pub fn nothing() -> Self {
        Self { requirements: Vec::new(), nothing: true }
    }

    /// Selects objects that carry all of these labels.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let requirements = labels
            .into_iter()
            .map(|(key, value)| Requirement {
                key: key.to_owned(),
                operator: Operator::In,
                values: BTreeSet::from([value.to_owned()]),
            })
            .collect();
        Self::sorted(requirements)
    }

    fn sorted(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { requirements, nothing: false }
    }

    /// Parses the `labelSelector` of a query; the empty string selects everything.
    ///
    /// # Errors
    /// A 400 that says what could not be understood.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        if text.len() > SELECTOR_BYTES_MAX {
            let why = format!("selector is longer than {SELECTOR_BYTES_MAX} bytes");
            return Err(ApiError::bad_request(why));
        }
        let tokens = lex(text).map_err(ApiError::bad_request)?;
        let mut parser = Parser { tokens, at: 0 };
        parser.selector().map(Self::sorted).map_err(ApiError::bad_request)
    }

    /// From the JSON of a `metav1.LabelSelector` (`matchLabels`, `matchExpressions`). `null` selects nothing, `{}`
    /// selects everything.
    ///
    /// # Errors
    /// A 400 that says which part is wrong.
    pub fn from_json(value: &Value) -> Result<Self, ApiError> {
        let Some(map) = value.as_object() else { return Ok(Self::nothing()) };
        let mut requirements = Vec::new();
        for (key, value) in map.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement {
                key: key.clone(),
                operator: Operator::In,
                values: BTreeSet::from([value]),
            });
        }
        for expression in map.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            requirements.push(Self::expression(expression)?);
        }
        let checked: Result<Vec<_>, _> = requirements.into_iter().map(Requirement::check).collect();
        checked.map(Self::sorted).map_err(ApiError::bad_request)
    }

    fn expression(value: &Value) -> Result<Requirement, ApiError> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        let list = value.get("values").and_then(Value::as_array);
        let values: BTreeSet<String> =
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let operator = match text("operator") {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            other => {
                return Err(ApiError::bad_request(format!(
                    "{other:?} is not a valid label selector operator"
                )));
            }
        };
        let wants_values = matches!(operator, Operator::In | Operator::NotIn);
        if wants_values && values.is_empty() {
            let why = "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty";
            return Err(ApiError::bad_request(why));
        }
        if !wants_values && !values.is_empty() {
            let why = "values: Invalid value: values set must be empty for exists and does not exist";
            return Err(ApiError::bad_request(why));
        }
        Ok(Requirement { key: text("key").to_owned(), operator, values })
    }

    /// Whether every set of labels matches.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether the labels satisfy all requirements.
    pub fn matches<L: LabelSource + ?Sized>(&self, labels: &L) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    /// Whether the labels of an object satisfy all requirements.
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(&crate::meta::labels(object))
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Symbol(&'static str),
}

const SYMBOLS: &[&str] = &["!=", "==", "=", "!", "(", ")", ",", ">", "<"];

fn lex(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            tokens.push(Token::Symbol(symbol));
            rest = &rest[symbol.len()..];
        } else {
            let ends = |c: char| c.is_whitespace() || "!=(),><".contains(c);
            let end = rest.find(ends).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("unexpected {first:?}"));
            }
            tokens.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    fn accept(&mut self, symbol: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(s)) if *s == symbol);
        self.at += usize::from(found);
        found
    }

    fn found(token: Option<&Token>) -> String {
        match token {
            None => String::new(),
            Some(Token::Word(word)) => word.clone(),
            Some(Token::Symbol(symbol)) => (*symbol).to_owned(),
        }
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        if self.peek().is_none() {
            return Ok(requirements);
        }
        let starts = |token: Option<&Token>| matches!(token, Some(Token::Word(_) | Token::Symbol("!")));
        if !starts(self.peek()) {
            let found = Self::found(self.peek());
            return Err(format!("found '{found}', expected: !, identifier, or 'end of string'"));
        }
        loop {
            let requirement = self.requirement();
            requirements.push(requirement.map_err(|why| format!("unable to parse requirement: {why}"))?);
            if self.peek().is_none() {
                return Ok(requirements);
            }
            if !self.accept(",") {
                return Err(format!(
                    "found '{}', expected: ',' or 'end of string'",
                    Self::found(self.peek())
                ));
            }
            if !starts(self.peek()) {
                let found = Self::found(self.peek());
                return Err(format!("found '{found}', expected: identifier after ','"));
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.accept("!");
        let key = match self.take() {
            Some(Token::Word(word)) => word,
            other => {
                let wanted = if absent { "identifier" } else { "!, identifier" };
                return Err(format!("found '{}', expected: {wanted}", Self::found(other.as_ref())));
            }
        };
        let at_end = matches!(self.peek(), None | Some(Token::Symbol(",")));
        let (operator, values) = match (absent, at_end) {
            // What follows is not looked at here.
            (true, _) => (Operator::DoesNotExist, BTreeSet::new()),
            (false, true) => (Operator::Exists, BTreeSet::new()),
            (false, false) => self.comparison()?,
        };
        Requirement { key, operator, values }.check()
    }

    fn comparison(&mut self) -> Result<(Operator, BTreeSet<String>), String> {
        let token = self.take();
        let operator = match &token {
            Some(Token::Symbol("=" | "==")) => Operator::In,
            Some(Token::Symbol("!=")) => Operator::NotIn,
            Some(Token::Symbol(">")) => Operator::GreaterThan,
            Some(Token::Symbol("<")) => Operator::LessThan,
            Some(Token::Word(word)) if word == "in" => return Ok((Operator::In, self.set()?)),
            Some(Token::Word(word)) if word == "notin" => return Ok((Operator::NotIn, self.set()?)),
            other => {
                let found = Self::found(other.as_ref());
                return Err(format!("found '{found}', expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        let value = match self.peek() {
            Some(Token::Word(word)) => word.clone(),
            None | Some(Token::Symbol(",")) => return Ok((operator, BTreeSet::from([String::new()]))),
            other => return Err(format!("found '{}', expected: identifier", Self::found(other))),
        };
        self.at += 1;
        Ok((operator, BTreeSet::from([value])))
    }

    fn set(&mut self) -> Result<BTreeSet<String>, String> {
        if !self.accept("(") {
            return Err(format!("found '{}' expected: '('", Self::found(self.peek())));
        }
        let mut values = BTreeSet::new();
        loop {
            // An empty place between commas is the empty value, as in `in (a,)`.
            match self.peek() {
                Some(Token::Word(word)) => {
                    values.insert(word.clone());
                    self.at += 1;
                }
                Some(Token::Symbol("," | ")")) => {
                    values.insert(String::new());
                }
                other => {
                    let wanted =
                        if values.is_empty() { "',', ')' or identifier" } else { "',', or identifier" };
                    return Err(format!("found '{}', expected: {wanted}", Self::found(other)));
                }
            }
            if self.accept(")") {
                return Ok(values);
            }
            if !self.accept(",") {
                return Err(format!("found '{}', expected: ',' or ')'", Self::found(self.peek())));
            }
        }
    }
}
