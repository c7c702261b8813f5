//! From `JSONSchemaProps` to nodes, with the rules that make a schema structural.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::{Additional, Bounds, ListKind, Logic, Node, Type, validate};
use crate::status::FieldError;

const DEPTH_MAX: usize = 64;
const NODES_MAX: usize = 50_000;
const REGEX_BYTES_MAX: usize = 1 << 20;
/// More wrong places than this are not collected.
const ERRORS_MAX: usize = 20;

/// Keywords that change meaning and that are not supported here.
const REFUSED: &[(&str, &str)] = &[
    ("$ref", "must not be set: references are not supported"),
    ("x-kubernetes-validations", "CEL validation rules are not supported"),
    ("patternProperties", "must not be set: use additionalProperties"),
    ("dependencies", "must not be set"),
    ("definitions", "must not be set"),
    ("additionalItems", "must not be set"),
];

/// Whether a node describes the object or only restricts it (inside `allOf` and so on).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Structure,
    Logic,
}

struct Parser {
    errors: Vec<FieldError>,
    nodes: usize,
}

pub(super) fn root(schema: &Value, path: &str) -> Result<Node, Vec<FieldError>> {
    let mut parser = Parser { errors: Vec::new(), nodes: 0 };
    let node = parser.node(schema, path, 0, Place::Structure);
    if node.kind != Some(Type::Object) && parser.errors.is_empty() {
        let found = schema.get("type").cloned().unwrap_or_default();
        parser.errors.push(FieldError::invalid(format!("{path}.type"), found, "must be object at the root"));
    }
    if parser.errors.is_empty() { Ok(node) } else { Err(parser.errors) }
}

impl Parser {
    fn refuse(&mut self, error: FieldError) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    fn node(&mut self, schema: &Value, path: &str, depth: usize, place: Place) -> Node {
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            self.refuse(FieldError::forbidden(path, "the schema is too deep or too large"));
            return Node::default();
        }
        let Some(map) = schema.as_object() else {
            self.refuse(FieldError::type_invalid(path, schema.clone(), "must be an object"));
            return Node::default();
        };
        for (key, why) in REFUSED {
            if map.get(*key).is_some_and(|v| !v.as_array().is_some_and(Vec::is_empty)) {
                self.refuse(FieldError::forbidden(format!("{path}.{key}"), *why));
            }
        }
        let flag = |key: &str| map.get(key) == Some(&Value::Bool(true));
        let mut node = Node {
            kind: self.kind(map, path),
            nullable: flag("nullable"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            required: strings(map.get("required")),
            default: map.get("default").cloned(),
            enumeration: map.get("enum").and_then(Value::as_array).cloned(),
            format: map.get("format").and_then(Value::as_str).map(str::to_owned),
            pattern: self.pattern(map, path),
            bounds: bounds(map),
            list: list_kind(map),
            ..Node::default()
        };
        self.children(map, path, depth, place, &mut node);
        self.logic(map, path, depth, &mut node);
        if place == Place::Structure {
            self.structural(map, path, &node);
        }
        self.check_default(path, &node);
        node
    }

    fn kind(&mut self, map: &Map<String, Value>, path: &str) -> Option<Type> {
        let text = match map.get("type") {
            None => return None,
            Some(Value::String(text)) if text.is_empty() => return None,
            Some(Value::String(text)) => text,
            Some(other) => {
                self.refuse(FieldError::type_invalid(
                    format!("{path}.type"),
                    other.clone(),
                    "must be a string",
                ));
                return None;
            }
        };
        let kind = Type::ALL.into_iter().find(|kind| kind.name() == text);
        if kind.is_none() {
            let names = Type::ALL.map(Type::name);
            self.refuse(FieldError::not_supported(format!("{path}.type"), text.as_str(), &names));
        }
        kind
    }

    fn pattern(&mut self, map: &Map<String, Value>, path: &str) -> Option<Regex> {
        let text = map.get("pattern").and_then(Value::as_str).filter(|text| !text.is_empty())?;
        match RegexBuilder::new(text).size_limit(REGEX_BYTES_MAX).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                let detail = format!("must be a valid regular expression, but isn't: {error}");
                self.refuse(FieldError::invalid(format!("{path}.pattern"), text, detail));
                None
            }
        }
    }

    fn children(
        &mut self,
        map: &Map<String, Value>,
        path: &str,
        depth: usize,
        place: Place,
        node: &mut Node,
    ) {
        for (name, child) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = format!("{path}.properties[{name}]");
            let child = self.node(child, &path, depth + 1, place);
            node.properties.insert(name.clone(), child);
        }
        node.additional = match map.get("additionalProperties") {
            Some(Value::Bool(true)) => Additional::Any,
            Some(child @ Value::Object(_)) => {
                let path = format!("{path}.additionalProperties");
                Additional::Values(Box::new(self.node(child, &path, depth + 1, place)))
            }
            _ => Additional::Unknown,
        };
        match map.get("items") {
            Some(Value::Array(_)) => {
                let why = "items must be a schema object and not an array";
                self.refuse(FieldError::forbidden(format!("{path}.items"), why));
            }
            Some(child) => {
                let path = format!("{path}.items");
                node.items = Some(Box::new(self.node(child, &path, depth + 1, place)));
            }
            None => {}
        }
    }

    fn logic(&mut self, map: &Map<String, Value>, path: &str, depth: usize, node: &mut Node) {
        let mut branches = |key: &str| -> Vec<Node> {
            let list = map.get(key).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let numbered = list.iter().enumerate();
            numbered
                .map(|(i, child)| self.node(child, &format!("{path}.{key}[{i}]"), depth + 1, Place::Logic))
                .collect()
        };
        let (all_of, any_of, one_of) = (branches("allOf"), branches("anyOf"), branches("oneOf"));
        let not = map
            .get("not")
            .map(|child| Box::new(self.node(child, &format!("{path}.not"), depth + 1, Place::Logic)));
        if !(all_of.is_empty() && any_of.is_empty() && one_of.is_empty() && not.is_none()) {
            node.logic = Some(Box::new(Logic { all_of, any_of, one_of, not }));
        }
    }

    fn structural(&mut self, map: &Map<String, Value>, path: &str, node: &Node) {
        if node.kind.is_none() && !node.int_or_string && !node.preserve_unknown {
            let detail = "must not be empty for specified object fields";
            self.refuse(FieldError::required(format!("{path}.type"), detail));
        }
        if !node.properties.is_empty() && !matches!(node.additional, Additional::Unknown) {
            let detail = "additionalProperties and properties are mutual exclusive";
            self.refuse(FieldError::forbidden(format!("{path}.additionalProperties"), detail));
        }
        if node.kind == Some(Type::Array) && node.items.is_none() {
            self.refuse(FieldError::required(format!("{path}.items"), "must be specified"));
        }
        if node.embedded && node.kind != Some(Type::Object) {
            let found = map.get("type").cloned().unwrap_or_default();
            let detail = "must be object if x-kubernetes-embedded-resource is true";
            self.refuse(FieldError::invalid(format!("{path}.type"), found, detail));
        }
        if let ListKind::Map(keys) = &node.list
            && keys.is_empty()
        {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            self.refuse(FieldError::required(format!("{path}.x-kubernetes-list-map-keys"), detail));
        }
    }

    fn check_default(&mut self, path: &str, node: &Node) {
        let Some(default) = &node.default else { return };
        let path = format!("{path}.default");
        for mut error in validate::value(node, default) {
            error.path.clone_from(&path);
            self.refuse(error);
        }
    }
}

fn strings(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).into_iter().flatten();
    list.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn bounds(map: &Map<String, Value>) -> Bounds {
    let number = |key: &str| map.get(key).and_then(Value::as_f64);
    let count = |key: &str| map.get(key).and_then(Value::as_u64);
    let flag = |key: &str| map.get(key) == Some(&Value::Bool(true));
    Bounds {
        minimum: number("minimum"),
        exclusive_minimum: flag("exclusiveMinimum"),
        maximum: number("maximum"),
        exclusive_maximum: flag("exclusiveMaximum"),
        multiple_of: number("multipleOf").filter(|n| *n > 0.0),
        min_length: count("minLength"),
        max_length: count("maxLength"),
        min_items: count("minItems"),
        max_items: count("maxItems"),
        unique_items: flag("uniqueItems"),
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
