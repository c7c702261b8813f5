//! What is wrong with a custom object, by its schema, in the sentences of Kubernetes.
//!
//! On an update, findings about a value that did not change are let pass; of lists, only items that can be told apart by
//! keys are compared one by one.

use serde_json::{Map, Value};

use super::super::cel::Correlated;
use super::{Additional, Logic, Node, Type, format, join};
use crate::status::{FieldError, FieldErrorKind};

/// More wrong places than this are not collected.
const ERRORS_MAX: usize = 50;

/// The largest integer that floating point holds without gaps.
const SAFE_MAX: f64 = 9_007_199_254_740_991.0;

struct Checker {
    errors: Vec<FieldError>,
    /// How much fitted: of several alternatives, the one that fits best says why it does not.
    matched: usize,
}

/// Checks a whole object.
pub(super) fn object(root: &Node, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut checker = Checker { errors: Vec::new(), matched: 0 };
    checker.value(root, object, old, "");
    checker.errors
}

/// Checks a value on its own; what is said of it names places within it, the findings stand below `path`.
pub(super) fn value(node: &Node, value: &Value, old: Option<&Value>, path: &str) -> Vec<FieldError> {
    let mut checker = Checker { errors: Vec::new(), matched: 0 };
    checker.value(node, value, old, "");
    for error in &mut checker.errors {
        error.path = match error.path.as_str() {
            "<nil>" => path.to_owned(),
            inner if inner.starts_with('[') => format!("{path}{inner}"),
            inner => join(path, inner),
        };
    }
    checker.errors
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A number as people write it.
fn plain(number: f64) -> String {
    let small = number != 0.0 && number.abs() < 1e-4;
    if small || number.abs() >= 1e21 { format!("{number:e}") } else { number.to_string() }
}

impl Checker {
    fn refuse(&mut self, error: FieldError) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    fn invalid(&mut self, path: &str, value: &Value, what: &str) {
        self.refuse(FieldError::invalid(shown(path), value.clone(), format!("{path} in body {what}")));
    }

    fn value(&mut self, node: &Node, value: &Value, old: Option<&Value>, path: &str) {
        if self.errors.len() >= ERRORS_MAX {
            return;
        }
        let before = self.errors.len();
        self.has_type(node, value, path);
        if !value.is_null() {
            if let Some(logic) = &node.logic {
                self.logic(logic, value, old, path);
            }
            match value {
                Value::Number(_) => self.number(node, value, path),
                Value::String(text) => self.string(node, text, path),
                Value::Array(list) => self.array(node, list, old, path),
                _ => {}
            }
        }
        self.enumeration(node, value, path);
        if let Value::Object(map) = value {
            self.object(node, map, old, path);
        }
        self.matched += 1;
        if self.errors.len() > before && old == Some(value) {
            self.errors.truncate(before);
        }
    }

    fn has_type(&mut self, node: &Node, value: &Value, path: &str) {
        let (fits, wanted) = match (node.int_or_string, node.kind) {
            (true, _) => (Type::Integer.fits(value) || value.is_string(), "integer,string"),
            (false, Some(kind)) => (kind.fits(value), kind.name()),
            (false, None) => (true, ""),
        };
        if fits || (value.is_null() && node.nullable) {
            self.matched += 1;
            return;
        }
        let found = type_name(value);
        let detail = format!("{path} in body must be of type {wanted}: {found:?}");
        self.refuse(FieldError::type_invalid(shown(path), found, detail));
    }

    fn enumeration(&mut self, node: &Node, value: &Value, path: &str) {
        let Some(allowed) = &node.enumeration else { return };
        let equal = |a: &Value| match (a, value) {
            (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
            (a, b) => a == b,
        };
        if allowed.iter().any(equal) {
            self.matched += 1;
            return;
        }
        let texts: Vec<String> =
            allowed.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        self.refuse(FieldError::not_supported(shown(path), value.clone(), &texts));
    }

    fn number(&mut self, node: &Node, value: &Value, path: &str) {
        let bounds = &node.bounds;
        let number = value.as_f64().unwrap_or_default();
        if let Some(why) = format::out_of_range(node, value, path) {
            self.refuse(FieldError::invalid("<nil>", "", why));
        }
        if let Some(step) = bounds.multiple_of {
            self.multiple(step, value, path);
        }
        if let Some(max) = bounds.maximum {
            if bounds.exclusive_maximum && number >= max {
                self.invalid(path, value, &format!("should be less than {}", plain(max)));
            } else if number > max {
                self.invalid(path, value, &format!("should be less than or equal to {}", plain(max)));
            }
        }
        if let Some(min) = bounds.minimum {
            if bounds.exclusive_minimum && number <= min {
                self.invalid(path, value, &format!("should be greater than {}", plain(min)));
            } else if number < min {
                self.invalid(path, value, &format!("should be greater than or equal to {}", plain(min)));
            }
        }
        self.matched += 1;
    }

    /// A step counts as an integer where the value is one, as upstream: then 0.5 is no step.
    fn multiple(&mut self, step: f64, value: &Value, path: &str) {
        let whole = value.is_i64();
        let step = if whole { step.trunc() } else { step };
        if step <= 0.0 {
            let found = if whole { Value::from(0) } else { Value::from(step) };
            let why = format!("factor MultipleOf declared for {path} must be positive: {}", plain(step));
            self.refuse(FieldError::invalid(shown(path), found, why));
            return;
        }
        let times = value.as_f64().unwrap_or_default() / step;
        if (times - times.round()).abs() > 1e-9 || times.abs() > SAFE_MAX {
            self.invalid(path, value, &format!("should be a multiple of {}", plain(step)));
        }
    }

    /// The first of length and pattern that is wrong, and the format.
    fn string(&mut self, node: &Node, text: &str, path: &str) {
        let length = if node.bounds.max_length.or(node.bounds.min_length).is_some() {
            text.chars().count() as u64
        } else {
            0
        };
        let value = || Value::from(text);
        if let Some(max) = node.bounds.max_length.filter(|max| length > *max) {
            self.refuse(FieldError::too_long(shown(path), usize::try_from(max).unwrap_or(usize::MAX)));
        } else if let Some(min) = node.bounds.min_length.filter(|min| length < *min) {
            self.invalid(path, &value(), &format!("should be at least {min} chars long"));
        } else if let Some(pattern) = node.pattern.as_ref().filter(|pattern| !pattern.is_match(text)) {
            self.invalid(path, &value(), &format!("should match '{pattern}'"));
        } else {
            self.matched += 1;
        }
        if let Some(name) = node.format.as_deref().filter(|_| matches!(node.kind, None | Some(Type::String)))
            && !format::fits(name, text)
        {
            let detail = format!("{path} in body must be of type {name}: {text:?}");
            self.refuse(FieldError::type_invalid(shown(path), text, detail));
        }
    }

    fn array(&mut self, node: &Node, list: &[Value], old: Option<&Value>, path: &str) {
        if let Some(items) = &node.items {
            let before = Correlated::new(&node.list, old);
            for (index, item) in list.iter().enumerate() {
                self.value(items, item, before.find(item), &format!("{path}[{index}]"));
            }
        }
        let length = list.len() as u64;
        if let Some(min) = node.bounds.min_items.filter(|min| length < *min) {
            self.invalid(path, &Value::from(length), &format!("should have at least {min} items"));
        }
        if let Some(max) = node.bounds.max_items.filter(|max| length > *max) {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.refuse(FieldError::too_many(shown(path), list.len(), max));
        }
        self.matched += 1;
    }

    fn object(&mut self, node: &Node, map: &Map<String, Value>, old: Option<&Value>, path: &str) {
        let length = map.len() as u64;
        if let Some(min) = node.bounds.min_properties.filter(|min| length < *min) {
            self.invalid(path, &Value::from(length), &format!("should have at least {min} properties"));
        }
        if let Some(max) = node.bounds.max_properties.filter(|max| length > *max) {
            let max = usize::try_from(max).unwrap_or(usize::MAX);
            self.refuse(FieldError::too_many(shown(path), map.len(), max));
        }
        for (name, value) in map {
            let child = match (node.properties.get(name), &node.additional) {
                (Some(child), _) => child,
                (None, Additional::Values(child)) => child,
                _ => continue,
            };
            // Both objects are read in the same version, so a change of it cannot be seen.
            let hidden = path.is_empty() && (name == "kind" || name == "apiVersion");
            let old = old.and_then(|old| old.get(name)).filter(|_| !hidden);
            self.value(child, value, old, &join(path, name));
        }
        for name in node.required.iter().filter(|name| !map.contains_key(*name)) {
            self.refuse(FieldError::required(join(path, name), ""));
        }
    }

    fn logic(&mut self, logic: &Logic, value: &Value, old: Option<&Value>, path: &str) {
        let probe = |branch: &Node| {
            let mut checker = Self { errors: Vec::new(), matched: 0 };
            checker.value(branch, value, old, path);
            checker
        };
        if !logic.any_of.is_empty() {
            let (fitting, best) = best_of(&logic.any_of, &probe, true);
            if fitting == 0 {
                self.composite(path, "must validate at least one schema (anyOf)");
                self.extend(best);
            }
        }
        if !logic.one_of.is_empty() {
            let (fitting, best) = best_of(&logic.one_of, &probe, false);
            match fitting {
                1 => {}
                0 => {
                    self.composite(path, "must validate one and only one schema (oneOf). Found none valid");
                    self.extend(best);
                }
                n => {
                    let what = format!(
                        "must validate one and only one schema (oneOf). Found {n} valid alternatives"
                    );
                    self.composite(path, &what);
                }
            }
        }
        let mut fitting = 0;
        for branch in &logic.all_of {
            let checker = probe(branch);
            fitting += usize::from(checker.errors.is_empty());
            self.extend(checker.errors);
        }
        if fitting != logic.all_of.len() {
            let none = if fitting == 0 { ". None validated" } else { "" };
            self.composite(path, &format!("must validate all the schemas (allOf){none}"));
        }
        if logic.not.as_ref().is_some_and(|not| probe(not).errors.is_empty()) {
            self.composite(path, "must not validate the schema (not)");
        }
    }

    fn extend(&mut self, errors: Vec<FieldError>) {
        for error in errors {
            self.refuse(error);
        }
    }

    /// What is wrong with a value as a whole has no field.
    fn composite(&mut self, path: &str, what: &str) {
        let bad_value = Some(Value::from(""));
        let detail = format!("{path:?} {what}");
        self.refuse(FieldError {
            path: "<nil>".to_owned(),
            kind: FieldErrorKind::Invalid,
            bad_value,
            detail,
        });
    }
}

/// How many alternatives fit, and what the nearest one misses.
fn best_of(
    branches: &[Node],
    probe: &dyn Fn(&Node) -> Checker,
    first_is_enough: bool,
) -> (usize, Vec<FieldError>) {
    let mut fitting = 0;
    let mut best: Option<Checker> = None;
    for branch in branches {
        let checker = probe(branch);
        if checker.errors.is_empty() {
            fitting += 1;
            if first_is_enough {
                break;
            }
        } else if best.as_ref().is_none_or(|known| checker.matched > known.matched) {
            best = Some(checker);
        }
    }
    (fitting, best.map(|checker| checker.errors).unwrap_or_default())
}

/// The root has no path.
fn shown(path: &str) -> &str {
    if path.is_empty() { "<nil>" } else { path }
}
