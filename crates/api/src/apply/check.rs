//! Checks an applied configuration against its type: declared fields, JSON types, no duplicates in sets and list maps.
//!
//! Ranges, formats and required fields are judged later, on the merged object.

use std::collections::BTreeSet;

use serde_json::Value;

use super::element::PathElement;
use super::items::TypedError;
use super::typing::{ListShape, MapType, ScalarType, Shape, TypeRef};
use crate::printed::{go_type, in_go};

/// At most this many messages are reported.
const MAX_REPORTED: usize = 100;

/// What is wrong with a value of a type.
pub(super) fn check(kind: TypeRef<'_>, value: &Value) -> Result<(), TypedError> {
    let mut wrong = match kind.shape_of(Some(value)) {
        Shape::Scalar(scalar) => check_scalar(scalar, value),
        Shape::List(list) => check_list(&list, value),
        Shape::Map(map) => check_map(&map, value),
    };
    wrong.0.truncate(MAX_REPORTED);
    if wrong.0.is_empty() { Ok(()) } else { Err(wrong) }
}

fn check_scalar(scalar: ScalarType, value: &Value) -> TypedError {
    let fits = match value {
        Value::Null => true,
        Value::Number(_) => matches!(scalar, ScalarType::Numeric | ScalarType::Any),
        Value::String(_) => matches!(scalar, ScalarType::String | ScalarType::Any),
        Value::Bool(_) => matches!(scalar, ScalarType::Boolean | ScalarType::Any),
        Value::Array(_) | Value::Object(_) => false,
    };
    if fits {
        return TypedError::default();
    }
    TypedError::one(match scalar {
        ScalarType::Numeric => format!("expected numeric (int or float), got {}", go_type(value)),
        ScalarType::String => {
            format!("expected string, got &value.valueUnstructured{{Value:{}}}", in_go(value))
        }
        ScalarType::Boolean => format!("expected boolean, got &{{{}}}", in_go(value)),
        ScalarType::Any => format!("expected any scalar, got &{{{}}}", in_go(value)),
    })
}

fn check_list(list: &ListShape<'_>, value: &Value) -> TypedError {
    let items = match value {
        Value::Null => return TypedError::default(),
        Value::Array(items) => items,
        other => return TypedError::one(format!("expected list, got &{{{}}}", in_go(other))),
    };
    let mut wrong = TypedError::default();
    let mut seen = BTreeSet::new();
    for (index, item) in items.iter().enumerate() {
        let element = if list.is_atomic() {
            PathElement::Index(i64::try_from(index).unwrap_or(i64::MAX))
        } else {
            match list.element(item) {
                Ok(element) => element,
                Err(why) => {
                    wrong.0.push(format!("element {index}: {why}"));
                    return wrong;
                }
            }
        };
        if let Err(inner) = check(list.item, item) {
            wrong.0.extend(inner.under(&element).0);
        }
        if !seen.insert(element.clone()) {
            wrong.0.push(format!("duplicate entries for key {element}"));
        }
        if wrong.0.len() >= MAX_REPORTED {
            break;
        }
    }
    wrong
}

fn check_map(map: &MapType<'_>, value: &Value) -> TypedError {
    let members = match value {
        Value::Null => return TypedError::default(),
        Value::Object(members) => members,
        other => return TypedError::one(format!("expected map, got &{{{}}}", in_go(other))),
    };
    let mut wrong = TypedError::default();
    for (name, member) in members {
        let element = PathElement::field(name);
        let Some(kind) = map.declared(name).or_else(|| map.undeclared()) else {
            wrong.0.extend(TypedError::one("field not declared in schema").under(&element).0);
            return wrong;
        };
        if let Err(inner) = check(kind, member) {
            wrong.0.extend(inner.under(&element).0);
        }
        if wrong.0.len() >= MAX_REPORTED {
            break;
        }
    }
    wrong
}
