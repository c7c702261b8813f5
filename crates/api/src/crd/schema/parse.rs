//! From `JSONSchemaProps` to nodes. What is wrong with a schema was said before ([`super::structural`],
//! [`super::keywords`]); this only bounds it and compiles its patterns.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{Additional, Bounds, ListKind, Logic, Node, RuleSpec, Type};
use crate::status::FieldError;

/// Deeper schemas are refused.
const DEPTH_MAX: usize = 64;
/// Larger schemas are refused; the largest in use have a few thousand.
const NODES_MAX: usize = 50_000;
/// Largest compiled pattern, and of all patterns of one schema together.
const REGEX_BYTES_MAX: usize = 1 << 20;
const PATTERNS_MAX: usize = 2_000;

/// Keywords that hold a schema, a list of them, or a map of them.
const NESTED: [&str; 3] = ["items", "additionalProperties", "not"];
const NESTED_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// Refuses schemas that are too deep, too large or have too many patterns.
pub(super) fn check_size(schema: &Value, path: &str) -> Result<(), FieldError> {
    let mut count = Count { nodes: 0, patterns: 0 };
    count.walk(schema, path, 0)
}

struct Count {
    nodes: usize,
    patterns: usize,
}

impl Count {
    fn walk(&mut self, schema: &Value, path: &str, depth: usize) -> Result<(), FieldError> {
        let Some(map) = schema.as_object() else { return Ok(()) };
        self.nodes += 1;
        self.patterns += usize::from(map.contains_key("pattern"));
        if depth > DEPTH_MAX {
            return Err(FieldError::forbidden(path, format!("the schema is deeper than {DEPTH_MAX} levels")));
        }
        if self.nodes > NODES_MAX || self.patterns > PATTERNS_MAX {
            let why = format!("the schema has more than {NODES_MAX} nodes or {PATTERNS_MAX} patterns");
            return Err(FieldError::forbidden(path, why));
        }
        for (name, child) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            self.walk(child, &format!("{path}.properties[{name}]"), depth + 1)?;
        }
        for key in NESTED {
            if let Some(child) = map.get(key) {
                self.walk(child, &format!("{path}.{key}"), depth + 1)?;
            }
        }
        for key in NESTED_LISTS {
            for (index, child) in map.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
                self.walk(child, &format!("{path}.{key}[{index}]"), depth + 1)?;
            }
        }
        Ok(())
    }
}

struct Parser {
    errors: Vec<FieldError>,
}

/// Parses a schema that was found structural.
pub(super) fn root(schema: &Value, path: &str) -> Result<Node, Vec<FieldError>> {
    let mut parser = Parser { errors: Vec::new() };
    let node = parser.node(schema, path);
    if parser.errors.is_empty() { Ok(node) } else { Err(parser.errors) }
}

impl Parser {
    fn node(&mut self, schema: &Value, path: &str) -> Node {
        let Some(map) = schema.as_object() else {
            self.errors.push(FieldError::type_invalid(path, schema.clone(), "must be an object"));
            return Node::default();
        };
        let flag = |key: &str| map.get(key) == Some(&Value::Bool(true));
        let kind = map.get("type").and_then(Value::as_str);
        let mut node = Node {
            kind: kind.and_then(|text| Type::ALL.into_iter().find(|kind| kind.name() == text)),
            nullable: flag("nullable"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            required: strings(map.get("required")),
            default: map.get("default").filter(|v| !v.is_null()).cloned(),
            enumeration: map.get("enum").and_then(Value::as_array).filter(|e| !e.is_empty()).cloned(),
            format: map.get("format").and_then(Value::as_str).filter(|f| !f.is_empty()).map(str::to_owned),
            pattern: self.pattern(map, path),
            bounds: bounds(map),
            list: list_kind(map),
            specs: rules(map),
            ..Node::default()
        };
        self.children(map, path, &mut node);
        self.logic(map, path, &mut node);
        node
    }

    fn pattern(&mut self, map: &Map<String, Value>, path: &str) -> Option<Regex> {
        let text = map.get("pattern").and_then(Value::as_str).filter(|text| !text.is_empty())?;
        match RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                let detail = format!("must be a valid regular expression, but isn't: {why}");
                self.errors.push(FieldError::invalid(format!("{path}.pattern"), text, detail));
                None
            }
        }
    }

    fn children(&mut self, map: &Map<String, Value>, path: &str, node: &mut Node) {
        for (name, child) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let child = self.node(child, &format!("{path}.properties[{name}]"));
            node.properties.insert(name.clone(), child);
        }
        node.additional = match map.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Any,
            Some(child @ Value::Object(_)) => {
                Additional::Values(Box::new(self.node(child, &format!("{path}.additionalProperties"))))
            }
            _ => Additional::Unknown,
        };
        if let Some(child) = map.get("items").filter(|v| v.is_object()) {
            node.items = Some(Box::new(self.node(child, &format!("{path}.items"))));
        }
    }

    fn logic(&mut self, map: &Map<String, Value>, path: &str, node: &mut Node) {
        let mut branches = |key: &str| -> Vec<Node> {
            let list = map.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let numbered = list.iter().enumerate();
            numbered.map(|(i, child)| self.node(child, &format!("{path}.{key}[{i}]"))).collect()
        };
        let (all_of, any_of, one_of) = (branches("allOf"), branches("anyOf"), branches("oneOf"));
        let not = map.get("not").filter(|v| v.is_object());
        let not = not.map(|child| Box::new(self.node(child, &format!("{path}.not"))));
        if !(all_of.is_empty() && any_of.is_empty() && one_of.is_empty() && not.is_none()) {
            node.logic = Some(Box::new(Logic { all_of, any_of, one_of, not }));
        }
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn bounds(map: &Map<String, Value>) -> Bounds {
    let number = |key: &str| map.get(key).and_then(Value::as_f64);
    let count = |key: &str| map.get(key).and_then(Value::as_i64).map(|n| u64::try_from(n).unwrap_or(0));
    let flag = |key: &str| map.get(key) == Some(&Value::Bool(true));
    Bounds {
        minimum: number("minimum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        maximum: number("maximum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        multiple_of: number("multipleOf"),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        min_properties: count("minProperties"),
        max_properties: count("maxProperties"),
    }
}

fn list_kind(map: &Map<String, Value>) -> ListKind {
    match map.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListKind::Set,
        Some("map") => ListKind::Map(strings(map.get("x-kubernetes-list-map-keys"))),
        _ => ListKind::Atomic,
    }
}

fn rules(map: &Map<String, Value>) -> Vec<RuleSpec> {
    let list = map.get("x-kubernetes-validations").and_then(Value::as_array);
    list.into_iter().flatten().map(RuleSpec::of).collect()
}
