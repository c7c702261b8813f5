//! The fields that an applied configuration names: every leaf, every item of a set or list map, every entry of a free map.

use std::collections::BTreeMap;

use serde_json::Value;

use super::element::PathElement;
use super::items::TypedError;
use super::set::FieldSet;
use super::typing::{ListShape, MapType, Shape, TypeRef};

/// The field set of an object.
pub(super) fn field_set(kind: TypeRef<'_>, value: &Value) -> Result<FieldSet, TypedError> {
    collect(kind, value).map(|(_, below)| below)
}

/// Whether the value itself is a member, and what is below it.
fn collect(kind: TypeRef<'_>, value: &Value) -> Result<(bool, FieldSet), TypedError> {
    match kind.shape_of(Some(value)) {
        Shape::Scalar(_) => Ok((true, FieldSet::default())),
        Shape::List(list) if list.is_atomic() => Ok((true, FieldSet::default())),
        Shape::List(list) => Ok((false, collect_list(&list, value)?)),
        Shape::Map(map) if map.atomic => Ok((true, FieldSet::default())),
        Shape::Map(map) => Ok((false, collect_map(&map, value)?)),
    }
}

fn collect_list(list: &ListShape<'_>, value: &Value) -> Result<FieldSet, TypedError> {
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    let elements = list.elements(items)?;
    let mut count: BTreeMap<&PathElement, usize> = BTreeMap::new();
    for element in &elements {
        *count.entry(element).or_default() += 1;
    }
    let mut set = FieldSet::default();
    for (element, item) in elements.iter().zip(items) {
        // What appears twice is owned as a whole.
        let below = if count[element] > 1 { FieldSet::default() } else { collect(list.item, item)?.1 };
        set.attach(element.clone(), true, below);
    }
    Ok(set)
}

fn collect_map(map: &MapType<'_>, value: &Value) -> Result<FieldSet, TypedError> {
    let mut set = FieldSet::default();
    for (name, member) in value.as_object().into_iter().flatten() {
        let declared = map.declared(name);
        let (is_member, below) = collect(map.member(name), member)?;
        let is_hollow = member.is_null() || member.as_object().is_some_and(serde_json::Map::is_empty);
        set.attach(PathElement::field(name), is_member || is_hollow || declared.is_none(), below);
    }
    Ok(set)
}
