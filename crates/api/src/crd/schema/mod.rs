//! Structural schemas of custom kinds (`apiextensions.k8s.io/v1` `JSONSchemaProps`).
//!
//! `structural` and `keywords` say what is wrong with a schema; `parse` makes nodes of one that is right; `defaults` judges
//! its defaults; `shape` prunes and defaults objects; `validate`, `lists` and `embedded` find what is wrong with them. Regular
//! expressions run in linear time.
//!
//! Invariants: depth and number of nodes are bounded before a schema is looked at, and an object is only walked where a
//! schema leads, so that work is bounded by object times schema depth.

mod defaults;
mod embedded;
mod format;
mod keywords;
mod lists;
mod parse;
mod shape;
mod structural;
mod validate;

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

use super::cel::{self, Rule, RuleSpec};
use crate::status::{FieldError, FieldErrorKind};

/// JSON types of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
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

    pub(super) fn name(self) -> &'static str {
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
pub(super) enum Additional {
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
pub(super) enum ListKind {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

/// Bounds of numbers, strings, lists and objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Bounds {
    pub(super) minimum: Option<f64>,
    pub(super) exclusive_minimum: bool,
    pub(super) maximum: Option<f64>,
    pub(super) exclusive_maximum: bool,
    pub(super) multiple_of: Option<f64>,
    pub(super) min_length: Option<u64>,
    pub(super) max_length: Option<u64>,
    pub(super) min_items: Option<u64>,
    pub(super) max_items: Option<u64>,
    pub(super) min_properties: Option<u64>,
    pub(super) max_properties: Option<u64>,
}

/// Schemas combined by logic; they validate only.
#[derive(Clone, Debug, Default)]
pub(super) struct Logic {
    pub(super) all_of: Vec<Node>,
    pub(super) any_of: Vec<Node>,
    pub(super) one_of: Vec<Node>,
    pub(super) not: Option<Box<Node>>,
}

/// One node of a schema.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a keyword of the schema")]
pub(super) struct Node {
    pub(super) kind: Option<Type>,
    pub(super) nullable: bool,
    pub(super) preserve_unknown: bool,
    pub(super) embedded: bool,
    pub(super) int_or_string: bool,
    pub(super) properties: BTreeMap<String, Node>,
    pub(super) additional: Additional,
    pub(super) items: Option<Box<Node>>,
    pub(super) list: ListKind,
    pub(super) required: Vec<String>,
    pub(super) default: Option<Value>,
    pub(super) enumeration: Option<Vec<Value>>,
    pub(super) format: Option<String>,
    pub(super) pattern: Option<Regex>,
    pub(super) bounds: Bounds,
    pub(super) logic: Option<Box<Logic>>,
    /// Rules as written, and as compiled.
    pub(super) specs: Vec<RuleSpec>,
    pub(super) rules: Vec<Rule>,
    /// Whether there are rules here or below.
    pub(super) rules_below: bool,
}

/// A schema that was found structural.
#[derive(Clone, Debug)]
pub struct Structural {
    root: Node,
}

/// Which part of an object an update changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// All of it.
    Whole,
    /// The status alone.
    Status,
}

impl Structural {
    /// Parses `openAPIV3Schema`; `path` is where it stands in the definition.
    ///
    /// # Errors
    /// Everything that is not structural or not supported.
    pub fn parse(schema: &Value, path: &str) -> Result<Self, Vec<FieldError>> {
        parse::check_size(schema, path).map_err(|error| vec![error])?;
        let mut errors = structural::check(schema, path);
        errors.extend(keywords::check(schema, path));
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut root = parse::root(schema, path)?;
        cel::compile(&mut root, path)?;
        let errors = defaults::check(&root, path);
        if errors.is_empty() { Ok(Self { root }) } else { Err(errors) }
    }

    pub(super) fn root(&self) -> &Node {
        &self.root
    }

    /// Drops fields that the schema does not know; returns their paths, sorted.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        shape::prune(&self.root, object)
    }

    /// Fills in defaults, and removes `null` where it is not allowed.
    pub fn default(&self, object: &mut Value) {
        shape::default(&self.root, object);
    }

    /// What is wrong with a new object.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        self.validate_with(object, Vec::new(), Vec::new())
    }

    /// As [`Self::validate`]; `before` and `more` are findings of others about the same object.
    pub(super) fn validate_with(
        &self,
        object: &Value,
        before: Vec<FieldError>,
        more: Vec<FieldError>,
    ) -> Vec<FieldError> {
        let mut errors = before;
        errors.extend(validate::object(&self.root, object, None));
        errors.extend(more);
        errors.extend(embedded::check(&self.root, object, "", false));
        errors.extend(lists::check(&self.root, object, ""));
        self.with_rules(errors, object, None)
    }

    /// What is wrong with a change. What was wrong before and did not change is let pass.
    pub fn validate_update(&self, old: &Value, new: &Value, part: Changed) -> Vec<FieldError> {
        self.validate_update_with(old, new, part, Vec::new())
    }

    /// As [`Self::validate_update`]; `more` are findings of others about the same object.
    pub(super) fn validate_update_with(
        &self,
        old: &Value,
        new: &Value,
        part: Changed,
        more: Vec<FieldError>,
    ) -> Vec<FieldError> {
        let mut errors = match (part, self.root.properties.get("status"), new.get("status")) {
            (Changed::Whole, _, _) => validate::object(&self.root, new, Some(old)),
            (Changed::Status, Some(node), Some(status)) => {
                validate::value(node, status, old.get("status"), "status")
            }
            (Changed::Status, _, _) => Vec::new(),
        };
        errors.extend(more);
        errors.extend(embedded::check(&self.root, new, "", false));
        if lists::check(&self.root, old, "").is_empty() {
            errors.extend(lists::check(&self.root, new, ""));
        }
        self.with_rules(errors, new, Some(old))
    }

    /// Rules are only asked about objects of the right shape.
    fn with_rules(
        &self,
        mut errors: Vec<FieldError>,
        object: &Value,
        old: Option<&Value>,
    ) -> Vec<FieldError> {
        if !self.root.rules_below {
            return errors;
        }
        let blocks = |error: &FieldError| {
            use FieldErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
            matches!(error.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
        };
        if errors.iter().any(blocks) {
            let why = "some validation rules were not checked because the object was invalid; correct the existing \
                       errors to complete validation";
            errors.push(FieldError::invalid("<nil>", Value::Null, why));
        } else {
            errors.extend(cel::run(&self.root, object, old, ""));
        }
        errors
    }
}

/// `a.b`, without a dot at the start.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}
