//! Structural schemas of custom kinds (`apiextensions.k8s.io/v1` `JSONSchemaProps`).
//!
//! `parse` refuses what is not structural or not supported; `shape` prunes and defaults; `validate` finds what is wrong.
//! No `$ref`, no CEL. Regular expressions run in linear time.
//!
//! Invariants: depth and number of nodes are bounded when a schema is parsed, and an object is only walked where a schema
//! leads, so that work is bounded by object times schema depth.

mod format;
mod parse;
mod shape;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use crate::status::FieldError;

/// JSON types of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Object,
    Array,
    String,
    Integer,
    Number,
    Boolean,
}

impl Type {
    const ALL: [Self; 6] =
        [Self::Object, Self::Array, Self::String, Self::Integer, Self::Number, Self::Boolean];

    fn name(self) -> &'static str {
        match self {
            Self::Object => "object",
            Self::Array => "array",
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
            Self::String => value.is_string(),
            Self::Integer => {
                value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|n| n.fract() == 0.0)
            }
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
        }
    }
}

/// What may stand under names that `properties` does not list.
#[derive(Clone, Debug, Default)]
enum Additional {
    /// Nothing; such names are pruned.
    #[default]
    Unknown,
    /// Anything.
    Any,
    /// Values of one schema: a map.
    Values(Box<Node>),
}

/// How a list is merged, and what must be unique in it.
#[derive(Clone, Debug, Default)]
enum ListKind {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// Bounds of numbers, strings, lists and objects.
#[derive(Clone, Debug, Default)]
struct Bounds {
    minimum: Option<f64>,
    exclusive_minimum: bool,
    maximum: Option<f64>,
    exclusive_maximum: bool,
    multiple_of: Option<f64>,
    min_length: Option<u64>,
    max_length: Option<u64>,
    min_items: Option<u64>,
    max_items: Option<u64>,
    unique_items: bool,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
}

/// Schemas combined by logic; they validate only.
#[derive(Clone, Debug, Default)]
struct Logic {
    all_of: Vec<Node>,
    any_of: Vec<Node>,
    one_of: Vec<Node>,
    not: Option<Box<Node>>,
}

/// One node of a schema.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a keyword of the schema")]
struct Node {
    kind: Option<Type>,
    nullable: bool,
    preserve_unknown: bool,
    embedded: bool,
    int_or_string: bool,
    properties: BTreeMap<String, Node>,
    additional: Additional,
    items: Option<Box<Node>>,
    list: ListKind,
    required: Vec<String>,
    default: Option<Value>,
    enumeration: Option<Vec<Value>>,
    format: Option<String>,
    pattern: Option<Regex>,
    bounds: Bounds,
    logic: Option<Box<Logic>>,
}

/// A schema that was found structural.
#[derive(Clone, Debug)]
pub struct Structural {
    root: Node,
}

impl Structural {
    /// Parses `openAPIV3Schema`; `path` is where it stands in the definition.
    ///
    /// # Errors
    /// Everything that is not structural or not supported.
    pub fn parse(schema: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        parse::root(schema, path).map(|root| Self { root })
    }

    /// Drops fields that the schema does not know; returns their paths.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        shape::prune(&self.root, object)
    }

    /// Fills in defaults, and removes `null` where it is not allowed.
    pub fn default(&self, object: &mut Value) {
        shape::default(&self.root, object);
    }

    /// What is wrong with an object.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        validate::object(&self.root, object)
    }
}

/// `a.b`, without a dot at the start.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
