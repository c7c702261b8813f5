//! Takes fields and items out of an object, and brings field sets in line with a type.

use serde_json::{Map, Value};

use super::element::PathElement;
use super::set::FieldSet;
use super::typing::{Shape, TypeRef};

/// What is left of an object or list whose members are all taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emptied {
    /// `null`, so that it still counts as a field that is there.
    Null,
    /// Nothing.
    Gone,
}

/// The object without the members of the set.
pub(super) fn remove_items(kind: TypeRef<'_>, value: &Value, gone: &FieldSet, emptied: Emptied) -> Value {
    if gone.is_empty() {
        return value.clone();
    }
    walk(kind, value, gone, emptied).unwrap_or_else(|| Value::Object(Map::new()))
}

fn walk(kind: TypeRef<'_>, value: &Value, gone: &FieldSet, emptied: Emptied) -> Option<Value> {
    match (kind.shape_of(Some(value)), value) {
        (Shape::List(list), Value::Array(items)) if !items.is_empty() => {
            if list.is_atomic() {
                return None;
            }
            let kept: Vec<Value> = items
                .iter()
                .filter_map(|item| match list.element(item) {
                    Err(_nameless) => Some(item.clone()),
                    Ok(element) => keep(list.item, item, &element, gone, emptied),
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        (Shape::Map(map), Value::Object(members)) if !members.is_empty() => {
            if map.atomic {
                return None;
            }
            let kept: Map<String, Value> = members
                .iter()
                .filter_map(|(name, member)| {
                    let element = PathElement::field(name);
                    let kept = keep(map.member(name), member, &element, gone, emptied);
                    let hollow = emptied == Emptied::Null && !gone.has(&element);
                    Some((name.clone(), kept.or(hollow.then_some(Value::Null))?))
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        _ => Some(value.clone()),
    }
}

fn keep(
    kind: TypeRef<'_>,
    value: &Value,
    element: &PathElement,
    gone: &FieldSet,
    emptied: Emptied,
) -> Option<Value> {
    if gone.has(element) {
        return None;
    }
    match gone.below(element) {
        Some(below) => walk(kind, value, below, emptied),
        None => Some(value.clone()),
    }
}

/// The type of what lies behind an element.
fn step<'a>(kind: TypeRef<'a>, element: &PathElement) -> TypeRef<'a> {
    let atom = kind.atom();
    match element {
        PathElement::Field(name) => atom.map.map_or(TypeRef::Deduced, |map| map.member(name)),
        PathElement::Key(_) => atom.list.map_or(TypeRef::Deduced, |list| list.item),
        PathElement::Value(_) | PathElement::Index(_) => TypeRef::Deduced,
    }
}

/// Makes every declared field that has members below it a member, too: it goes when all of them go.
pub(super) fn with_named_fields(kind: TypeRef<'_>, set: &FieldSet) -> FieldSet {
    let map = kind.atom().map;
    let mut all = FieldSet::default();
    for (element, is_member, below) in set.iter() {
        let declared = match element {
            PathElement::Field(name) => map.is_some_and(|map| map.declared(name).is_some()),
            _ => false,
        };
        let below = if below.is_empty() {
            FieldSet::default()
        } else {
            with_named_fields(step(kind, element), below)
        };
        all.attach(element.clone(), is_member || declared, below);
    }
    all
}

/// A field set as it would have been written under this type: what is atomic now is owned as a whole.
pub(super) fn reconcile(kind: TypeRef<'_>, set: &FieldSet) -> FieldSet {
    let mut new = FieldSet::default();
    let map = kind.atom().map;
    for (element, is_member, below) in set.iter() {
        let known = match element {
            PathElement::Field(name) => {
                map.is_none_or(|map| map.declared(name).is_some() || map.undeclared().is_some())
            }
            _ => true,
        };
        if below.is_empty() || !known {
            new.attach(element.clone(), is_member, below.clone());
            continue;
        }
        let inner = step(kind, element);
        let atomic = match inner.shape_of(None) {
            Shape::Map(map) => map.atomic && !map.is_deduced(),
            Shape::List(list) => list.is_atomic(),
            Shape::Scalar(_) => false,
        };
        if atomic {
            new.attach(element.clone(), true, FieldSet::default());
        } else {
            new.attach(element.clone(), is_member, reconcile(inner, below));
        }
    }
    new
}
