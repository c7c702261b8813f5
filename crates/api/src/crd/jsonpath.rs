//! `JSONPath` of printer columns, as kubectl reads it: `.a.b`, `['a']`, `[0]`, `[-1]`, `[1:3]`, `[*]`, `[0,2]`, `..a` and
//! filters such as `[?(@.type=="Ready")]`.
//!
//! It does not know templates (`range`, text between braces). Bounds: length of the text, nesting, steps and hits.

use serde_json::Value;

/// Longer paths are refused.
const PATH_BYTES_MAX: usize = 1024;
/// More hits than this are not followed.
const HITS_MAX: usize = 1000;
/// Values that one search looks at; what is not found by then is not found. A path is written once and followed for every row.
const LOOKS_MAX: usize = 100_000;
/// Deeper nesting of filters and lists of indices is refused.
const DEPTH_MAX: usize = 4;

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Key(String),
    Index(i64),
    Slice {
        start: Option<i64>,
        end: Option<i64>,
        step: Option<i64>,
    },
    All,
    /// Every list and object below, and the value itself.
    Deep,
    OneOf(Vec<JsonPath>),
    Where(Condition),
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    left: JsonPath,
    /// `None`: it is enough that the left side is there.
    holds: Option<(Operator, Operand)>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Literal(Value),
    Path(JsonPath),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

/// A parsed path.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Parses `.spec.replicas`, with or without braces around it. The error says what is wrong with the text.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > PATH_BYTES_MAX {
            return Err(format!("is longer than {PATH_BYTES_MAX} bytes"));
        }
        let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        steps(inner.strip_prefix('$').unwrap_or(inner), DEPTH_MAX)
    }

    /// All values that the path leads to.
    pub(super) fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        self.follow(root, &mut Looks(LOOKS_MAX))
    }

    fn follow<'a>(&self, root: &'a Value, looks: &mut Looks) -> Vec<&'a Value> {
        let mut at = vec![root];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in at {
                if next.len() >= HITS_MAX || !looks.spend(1) {
                    break;
                }
                take(step, value, &mut next, looks);
            }
            next.truncate(HITS_MAX);
            at = next;
        }
        at
    }
}

/// What is left of [`LOOKS_MAX`].
struct Looks(usize);

impl Looks {
    /// Whether there was enough left.
    fn spend(&mut self, count: usize) -> bool {
        let left = self.0.checked_sub(count);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

fn steps(text: &str, depth: usize) -> Result<JsonPath, String> {
    let depth = depth.checked_sub(1).ok_or("is nested too deep")?;
    let mut steps = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("..") {
            if steps.last() == Some(&Step::Deep) {
                return Err("descends twice at once".to_owned());
            }
            steps.push(Step::Deep);
            let named = after.starts_with(|c: char| c == '_' || c.is_alphanumeric());
            rest = if named { key(after, &mut steps) } else { after };
        } else if let Some(after) = rest.strip_prefix('.') {
            rest = key(after, &mut steps);
        } else if let Some(after) = rest.strip_prefix("[?(") {
            rest = filter(after, depth, &mut steps)?;
        } else if let Some(after) = rest.strip_prefix('[') {
            let end = after.find(']').ok_or("has an unclosed bracket")?;
            steps.push(bracket(&after[..end], depth)?);
            rest = &after[end + 1..];
        } else if let Some(after) = rest.strip_prefix(' ') {
            rest = after;
        } else {
            return Err(format!("unexpected {rest:?}"));
        }
    }
    Ok(JsonPath(steps))
}

/// A name up to the next unescaped end of a name. No name at all is the value itself.
fn key<'a>(text: &'a str, steps: &mut Vec<Step>) -> &'a str {
    let (mut name, mut escaped) = (String::new(), false);
    let mut end = text.len();
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => {
                name.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '.' | ',' | '[' | ']' | '$' | '@' | '{' | '}' | ' ' | '\t' | '\r' | '\n' => {
                end = at;
                break;
            }
            _ => name.push(c),
        }
    }
    match name.as_str() {
        "*" => steps.push(Step::All),
        "" if text[..end].is_empty() && end == text.len() && steps.is_empty() => {}
        _ => steps.push(Step::Key(name)),
    }
    &text[end..]
}

/// What stands between brackets.
fn bracket(inner: &str, depth: usize) -> Result<Step, String> {
    let inner = inner.trim();
    if inner.contains(',') {
        let one = |part: &str| steps(&format!("[{}]", part.trim()), depth);
        return inner.split(',').map(one).collect::<Result<_, _>>().map(Step::OneOf);
    }
    let quoted = |quote: char| inner.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(name) = quoted('\'').or_else(|| quoted('"')) {
        return Ok(Step::Key(name.replace('\\', "")));
    }
    if inner == "*" {
        return Ok(Step::All);
    }
    let number = |text: &str| -> Result<Option<i64>, String> {
        let wrong = |_| format!("invalid array index {inner}");
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(wrong) }
    };
    let parts: Vec<&str> = inner.split(':').collect();
    match parts.as_slice() {
        [index] => number(index)?.map(Step::Index).ok_or_else(|| format!("invalid array index {inner}")),
        [start, end] => Ok(Step::Slice { start: number(start)?, end: number(end)?, step: None }),
        [start, end, step] => {
            Ok(Step::Slice { start: number(start)?, end: number(end)?, step: number(step)? })
        }
        _ => Err(format!("invalid array index {inner}")),
    }
}

/// A filter up to its `)]`, which may stand in quotes.
fn filter<'a>(text: &'a str, depth: usize, into: &mut Vec<Step>) -> Result<&'a str, String> {
    let mut quote = None;
    let mut previous = '\0';
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c && previous != '\\' => quote = None,
            (None, ')') => {
                let rest = text[at + 1..].strip_prefix(']').ok_or("has an unclosed filter")?;
                into.push(Step::Where(condition(&text[..at], depth)?));
                return Ok(rest);
            }
            _ => {}
        }
        previous = c;
    }
    Err("has an unclosed filter".to_owned())
}

fn condition(text: &str, depth: usize) -> Result<Condition, String> {
    let is_operator = |c: char| matches!(c, '!' | '<' | '>' | '=');
    let side = |text: &str| steps(text.trim().trim_start_matches('@'), depth);
    let Some(start) = text.find(is_operator).filter(|at| *at > 0) else {
        return Ok(Condition { left: side(text)?, holds: None });
    };
    let end = text[start..].find(|c| !is_operator(c)).map_or(text.len(), |length| start + length);
    let operator = match &text[start..end] {
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::AtMost,
        ">" => Operator::Greater,
        ">=" => Operator::AtLeast,
        other => return Err(format!("unrecognized filter operator {other}")),
    };
    let right = text[end..].trim();
    let single = right.strip_prefix('\'').and_then(|t| t.strip_suffix('\''));
    let operand = match (single, right.strip_prefix('@')) {
        (Some(text), _) => Operand::Literal(text.into()),
        (None, Some(path)) => Operand::Path(steps(path, depth)?),
        (None, None) => Operand::Literal(
            serde_json::from_str(right).map_err(|_no_literal| format!("{right:?} is no literal"))?,
        ),
    };
    Ok(Condition { left: side(&text[..start])?, holds: Some((operator, operand)) })
}

fn take<'a>(step: &Step, value: &'a Value, next: &mut Vec<&'a Value>, looks: &mut Looks) {
    match (step, value) {
        (Step::Key(key), Value::Object(map)) => next.extend(map.get(key)),
        (Step::Index(index), Value::Array(list)) => {
            next.extend(position(*index, list.len()).and_then(|at| list.get(at)));
        }
        (Step::Slice { start, end, step }, Value::Array(list)) => {
            next.extend(slice(list, *start, *end, *step).take(HITS_MAX));
        }
        (Step::All, Value::Array(list)) => next.extend(list.iter().take(HITS_MAX)),
        (Step::All, Value::Object(map)) => next.extend(map.values().take(HITS_MAX)),
        (Step::Deep, value) => deep(value, next, looks),
        (Step::OneOf(paths), value) => paths.iter().for_each(|path| next.extend(path.follow(value, looks))),
        (Step::Where(condition), Value::Array(list)) => {
            for item in list {
                if !looks.spend(1) {
                    return;
                }
                if meets(condition, item, looks) {
                    next.push(item);
                }
            }
        }
        _ => {}
    }
}

/// Negative indices count from the end.
fn position(index: i64, length: usize) -> Option<usize> {
    let back = usize::try_from(index.unsigned_abs()).ok()?;
    if index < 0 { length.checked_sub(back) } else { Some(back) }
}

/// Nothing where a bound lies outside of the list.
fn slice(
    list: &[Value],
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
) -> impl Iterator<Item = &Value> {
    let bounds = || {
        let start = position(start.unwrap_or(0), list.len())?;
        let end = end.map_or(Some(list.len()), |end| position(end, list.len()))?;
        let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0)?;
        Some((list.get(start..end)?, step))
    };
    let (part, step) = bounds().unwrap_or((&[], 1));
    part.iter().step_by(step)
}

/// All lists and objects that are not empty, outer ones first.
fn deep<'a>(value: &'a Value, next: &mut Vec<&'a Value>, looks: &mut Looks) {
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        let below = match value {
            Value::Array(list) => list.len(),
            Value::Object(map) => map.len(),
            _ => 0,
        };
        if next.len() >= HITS_MAX || !looks.spend(below + 1) {
            return;
        }
        match value {
            Value::Array(list) if !list.is_empty() => {
                next.push(value);
                open.extend(list.iter().rev());
            }
            Value::Object(map) if !map.is_empty() => {
                next.push(value);
                open.extend(map.values().rev());
            }
            _ => {}
        }
    }
}

fn meets(condition: &Condition, item: &Value, looks: &mut Looks) -> bool {
    let left = condition.left.follow(item, looks);
    let Some((operator, operand)) = &condition.holds else { return !left.is_empty() };
    let [left] = left.as_slice() else { return false };
    match operand {
        Operand::Literal(right) => compares(*operator, left, right),
        Operand::Path(path) => match path.follow(item, looks).as_slice() {
            [right] => compares(*operator, left, right),
            _ => false,
        },
    }
}

/// Values of different types do not compare.
fn compares(operator: Operator, left: &Value, right: &Value) -> bool {
    use std::cmp::Ordering;
    let order = match (left, right) {
        (Value::Number(a), Value::Number(b)) => a.as_f64().and_then(|a| a.partial_cmp(&b.as_f64()?)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) if matches!(operator, Operator::Equal | Operator::NotEqual) => {
            Some(a.cmp(b))
        }
        _ => None,
    };
    order.is_some_and(|order| match operator {
        Operator::Equal => order == Ordering::Equal,
        Operator::NotEqual => order != Ordering::Equal,
        Operator::Less => order == Ordering::Less,
        Operator::AtMost => order != Ordering::Greater,
        Operator::Greater => order == Ordering::Greater,
        Operator::AtLeast => order != Ordering::Less,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_where_kubectl_goes() {
        let object = json!({
            "l": [1, 2, 3, 4],
            "c": [{ "t": "A", "s": "x", "n": 1 }, { "t": "B", "n": 2 }, { "t": "C", "s": "y", "n": 3 }],
            "d": { "e": { "t": "deep" } },
        });
        let table = [
            (".l[-1:]", json!([4])),
            (".l[1:3]", json!([2, 3])),
            (".l[:2]", json!([1, 2])),
            (".l[0:4:2]", json!([1, 3])),
            (".l[::2]", json!([1, 3])),
            (".l[0:9]", json!([])),
            (".l[3:1]", json!([])),
            (".l[0:4:0]", json!([])),
            (".l[0,2]", json!([1, 3])),
            (".l[-2]", json!([3])),
            ("['l'][1]", json!([2])),
            (".c[*].t", json!(["A", "B", "C"])),
            (".c[?(@.s)].t", json!(["A", "C"])),
            (".c[?(@.n>1)].t", json!(["B", "C"])),
            (".c[?(@.n<=2)].t", json!(["A", "B"])),
            (".c[?(@.t=='a)]')].t", json!([])),
            (".c[?(@.t==@.t)].n", json!([1, 2, 3])),
            (".c[?(@.t!=\"A\")].n", json!([2, 3])),
            (".c[?(@.t==1)].n", json!([])),
            ("..e.t", json!(["deep"])),
            (".d..t", json!(["deep"])),
            (".d.*.t", json!(["deep"])),
        ];
        for (path, expected) in table {
            let path = JsonPath::parse(path).unwrap_or_else(|e| panic!("{path}: {e}"));
            let found: Vec<Value> = path.find(&object).into_iter().cloned().collect();
            assert_eq!(Value::Array(found), expected, "{path:?}");
        }
    }

    /// A path that finds itself again and again ends, whatever the object.
    #[test]
    fn a_search_has_an_end() {
        let mut object = json!(vec![1; 50_000]);
        for _ in 0..90 {
            object = json!([object, { "b": 1 }]);
        }
        let path = JsonPath::parse(&"..[?(@..b)]".repeat(80)).unwrap();
        let mut looks = Looks(LOOKS_MAX);
        assert!(path.follow(&object, &mut looks).len() <= HITS_MAX);
        assert_eq!(looks.0, 0);
    }

    #[test]
    fn what_is_no_path_is_named() {
        let deep = format!(".a{}1{}", "[?(@.b==".repeat(10), ")]".repeat(10));
        for path in ["spec", ".a[", ".a[x]", ".a[?(@.b)", ".a[?(@.b=~1)]", ".a....b", ".a[1:2:3:4]", &deep] {
            assert!(JsonPath::parse(path).is_err(), "{path}");
        }
    }
}
