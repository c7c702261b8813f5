//! Cells of custom kinds: a small `JSONPath` and the conversion to the type of the column.
//!
//! Of `JSONPath` it knows what printer columns use: `.a.b`, `['a']`, `[0]`, `[-1]`, `[*]` and `[?(@.type=="Ready")]`.
//! Anything else is an error when the definition is written.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::table::since;

/// Longer paths are refused.
const PATH_BYTES_MAX: usize = 1024;
/// More hits than this are not followed.
const HITS_MAX: usize = 1000;

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(i64),
    All,
    Where { path: Vec<String>, equals: Value, negated: bool },
}

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Parses `.spec.replicas`, with or without braces around it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATH_BYTES_MAX {
            return Err(format!("is longer than {PATH_BYTES_MAX} bytes"));
        }
        let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let mut rest = inner.strip_prefix('$').unwrap_or(inner);
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('.') {
                rest = key(after, &mut steps)?;
            } else if let Some(after) = rest.strip_prefix('[') {
                rest = bracket(after, &mut steps)?;
            } else {
                return Err(format!("unexpected {rest:?}"));
            }
        }
        Ok(Self(steps))
    }

    /// All values that the path leads to.
    fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut at = vec![root];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in at {
                take(step, value, &mut next);
            }
            next.truncate(HITS_MAX);
            at = next;
        }
        at
    }
}

fn key<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    let (mut name, mut escaped) = (String::new(), false);
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' | '[' => {
                end = at;
                break;
            }
            _ => name.push(c),
        }
    }
    match name.as_str() {
        "*" => steps.push(Step::All),
        "" if text.is_empty() && steps.is_empty() => {}
        "" => return Err("has an empty name".to_owned()),
        _ => steps.push(Step::Key(name)),
    }
    Ok(&text[end..])
}

fn bracket<'a>(text: &'a str, steps: &mut Vec<Step>) -> Result<&'a str, String> {
    if let Some(filter) = text.strip_prefix("?(") {
        let end = filter.find(")]").ok_or("has an unclosed filter")?;
        steps.push(condition(&filter[..end])?);
        return Ok(&filter[end + 2..]);
    }
    let end = text.find(']').ok_or("has an unclosed bracket")?;
    let inner = &text[..end];
    let quoted = ['\'', '"']
        .into_iter()
        .find_map(|quote| inner.strip_prefix(quote).and_then(|t| t.strip_suffix(quote)));
    steps.push(match (inner, quoted) {
        (_, Some(name)) => Step::Key(name.to_owned()),
        ("*", _) => Step::All,
        (number, _) => Step::Index(number.parse().map_err(|e| format!("[{number}]: {e}"))?),
    });
    Ok(&text[end + 1..])
}

fn condition(text: &str) -> Result<Step, String> {
    let operators = [("==", false), ("!=", true)];
    let (left, right, negated) = operators
        .into_iter()
        .find_map(|(operator, negated)| text.split_once(operator).map(|(l, r)| (l.trim(), r.trim(), negated)))
        .ok_or_else(|| format!("filter {text:?} has no == or !="))?;
    let path = left.strip_prefix('@').ok_or_else(|| format!("filter {text:?} does not start with @"))?;
    let path = path.split('.').filter(|key| !key.is_empty()).map(str::to_owned).collect();
    let single = right.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
    let equals = match single {
        Some(text) => json!(text),
        None => serde_json::from_str(right).map_err(|e| format!("filter {text:?}: {e}"))?,
    };
    Ok(Step::Where { path, equals, negated })
}

fn take<'a>(step: &Step, value: &'a Value, next: &mut Vec<&'a Value>) {
    match (step, value) {
        (Step::Key(key), Value::Object(map)) => next.extend(map.get(key)),
        (Step::Index(index), Value::Array(list)) => {
            let back = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
            let at = if *index < 0 { list.len().checked_sub(back) } else { Some(back) };
            next.extend(at.and_then(|at| list.get(at)));
        }
        (Step::All, Value::Array(list)) => next.extend(list),
        (Step::All, Value::Object(map)) => next.extend(map.values()),
        (Step::Where { path, equals, negated }, Value::Array(list)) => {
            let holds = |item: &&Value| {
                let found = path.iter().try_fold(*item, |at, key| at.get(key));
                found.is_some_and(|found| (found == equals) != *negated)
            };
            next.extend(list.iter().filter(holds));
        }
        _ => {}
    }
}

/// One column after the name.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Printer {
    path: JsonPath,
    kind: String,
}

impl Printer {
    pub(super) fn new(path: JsonPath, kind: &str) -> Self {
        Self { path, kind: kind.to_owned() }
    }

    /// The cell, from the first hit; `null` where there is nothing to show or the type does not fit.
    pub(super) fn cell(&self, object: &Value, now: Timestamp) -> Value {
        let found = self.path.find(object).into_iter().next();
        let Some(value) = found.filter(|v| !v.is_null()) else { return Value::Null };
        match self.kind.as_str() {
            "integer" => value.as_i64().or_else(|| truncated(value)).map(Value::from).unwrap_or_default(),
            "number" => value.as_f64().map(|n| json!(n)).unwrap_or_default(),
            "boolean" => value.as_bool().map(Value::from).unwrap_or_default(),
            "date" => value.as_str().map(|text| json!(date(text, now))).unwrap_or_default(),
            _ => json!(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
        }
    }
}

/// The whole part of a number with a fraction, when it fits.
fn truncated(value: &Value) -> Option<i64> {
    format!("{:.0}", value.as_f64()?.trunc()).parse().ok()
}

fn date(text: &str, now: Timestamp) -> String {
    match text.parse() {
        Ok(time) => since(Some(time), now),
        Err(_) => "<invalid>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_follow_paths_and_types() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let object = json!({
            "metadata": {"creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"a.b/c": "x"}},
            "spec": {"replicas": 3, "ratio": 2.5, "on": true, "names": ["a", "b"], "nested": {"k": 1}},
            "status": {"conditions": [
                {"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}
            ]}
        });
        let table = [
            (".spec.replicas", "integer", json!(3)),
            ("{.spec.replicas}", "string", json!("3")),
            (".spec.ratio", "number", json!(2.5)),
            (".spec.ratio", "integer", json!(2)),
            (".spec.on", "boolean", json!(true)),
            (".spec.on", "integer", Value::Null),
            (".spec.names", "string", json!(r#"["a","b"]"#)),
            (".spec.names[*]", "string", json!("a")),
            (".spec.names[1]", "string", json!("b")),
            (".spec.names[-1]", "string", json!("b")),
            (".spec.names[9]", "string", Value::Null),
            (".spec.nested", "string", json!(r#"{"k":1}"#)),
            (r".metadata.labels.a\.b/c", "string", json!("x")),
            (".metadata.labels['a.b/c']", "string", json!("x")),
            (r#".status.conditions[?(@.type=="Ready")].status"#, "string", json!("True")),
            (r".status.conditions[?(@.type == 'Other')].status", "string", json!("False")),
            (r".status.conditions[?(@.type!='Other')].type", "string", json!("Ready")),
            (".metadata.creationTimestamp", "date", json!("60m")),
            (".spec.on", "date", Value::Null),
            (".spec.names[0]", "date", json!("<invalid>")),
            (".missing", "date", Value::Null),
        ];
        for (path, kind, expected) in table {
            let printer = Printer::new(JsonPath::parse(path).unwrap_or_else(|e| panic!("{path}: {e}")), kind);
            assert_eq!(printer.cell(&object, now), expected, "{path} as {kind}");
        }
    }

    #[test]
    fn other_paths_are_refused() {
        for path in ["spec", ".a..b", ".a[", ".a[x]", ".a[?(@.b)]", ".a[?(b==1)]", ".a.[0]", ".a[0:2]"] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
