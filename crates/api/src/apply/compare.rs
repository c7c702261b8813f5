//! What a write changed: the fields that were added, modified and removed.
//!
//! Costs what the changed parts cost: equal parts are not walked.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::element::PathElement;
use super::items::TypedError;
use super::set::FieldSet;
use super::typing::{ListShape, MapType, Shape, TypeRef};

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Changes {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// The same with every set put through `filter`.
    pub(super) fn map(self, filter: impl Fn(&FieldSet) -> FieldSet) -> Self {
        Self { added: filter(&self.added), modified: filter(&self.modified), removed: filter(&self.removed) }
    }

    fn attach(&mut self, element: &PathElement, inner: Inner) {
        let Inner { marks, below } = inner;
        self.added.attach(element.clone(), marks.added, below.added);
        self.modified.attach(element.clone(), marks.modified, below.modified);
        self.removed.attach(element.clone(), marks.removed, below.removed);
    }
}

/// What happened to a value itself.
#[derive(Clone, Copy, Debug, Default)]
struct Marks {
    added: bool,
    modified: bool,
    removed: bool,
}

#[derive(Default)]
struct Inner {
    marks: Marks,
    below: Changes,
}

/// Compares two objects of a type.
pub(super) fn compare(kind: TypeRef<'_>, old: &Value, new: &Value) -> Result<Changes, TypedError> {
    if old == new {
        return Ok(Changes::default());
    }
    walk(kind, Some(old), Some(new)).map(|inner| inner.below)
}

/// Equality in which numbers compare by value.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}

/// The two values differ.
fn walk(kind: TypeRef<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<Inner, TypedError> {
    let atom = kind.atom();
    let (before, after) = (atom.shape_of(old), atom.shape_of(new));
    if new.is_none() {
        return step(before, old, new);
    }
    let mut inner = step(after, old, new)?;
    if old.is_some() && !before.is_like(&after) {
        // The value changed its nature: both natures have a say.
        let other = step(before, old, new)?;
        inner.marks.modified |= other.marks.modified;
        inner.below.added = inner.below.added.union(&other.below.added);
        inner.below.modified = inner.below.modified.union(&other.below.modified);
        inner.below.removed = inner.below.removed.union(&other.below.removed);
    }
    Ok(inner)
}

fn step(shape: Shape<'_>, old: Option<&Value>, new: Option<&Value>) -> Result<Inner, TypedError> {
    let below = match shape {
        Shape::Scalar(_) => return Ok(leaf(old, new)),
        Shape::List(list) => {
            let (before, after) = (items(old), items(new));
            if list.is_atomic() || (before.is_empty() && after.is_empty()) {
                return Ok(leaf(old, new));
            }
            walk_list(&list, before, after)?
        }
        Shape::Map(map) => {
            let (before, after) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
            if map.atomic || (before.is_none_or(Map::is_empty) && after.is_none_or(Map::is_empty)) {
                return Ok(leaf(old, new));
            }
            walk_map(&map, before, after)?
        }
    };
    let marks = Marks { added: old.is_none(), removed: new.is_none(), modified: false };
    Ok(Inner { marks, below })
}

fn leaf(old: Option<&Value>, new: Option<&Value>) -> Inner {
    let modified = matches!((old, new), (Some(old), Some(new)) if !same(old, new));
    Inner {
        marks: Marks { added: old.is_none(), removed: new.is_none(), modified },
        below: Changes::default(),
    }
}

fn items(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn walk_map(
    map: &MapType<'_>,
    old: Option<&Map<String, Value>>,
    new: Option<&Map<String, Value>>,
) -> Result<Changes, TypedError> {
    let mut changes = Changes::default();
    let mut visit = |name: &str, before: Option<&Value>, after: Option<&Value>| {
        // A struct that is always there is not added with its first field.
        let before = before.or_else(|| old.and_then(|_| map.zero(name)));
        let after = after.or_else(|| new.and_then(|_| map.zero(name)));
        let element = PathElement::field(name);
        let inner = walk(map.member(name), before, after).map_err(|e| e.under(&element))?;
        changes.attach(&element, inner);
        Ok(())
    };
    for (name, before) in old.into_iter().flatten() {
        let after = new.and_then(|new| new.get(name));
        if after != Some(before) {
            visit(name, Some(before), after)?;
        }
    }
    for (name, after) in new.into_iter().flatten() {
        if !old.is_some_and(|old| old.contains_key(name)) {
            visit(name, None, Some(after))?;
        }
    }
    Ok(changes)
}

fn group<'v>(
    list: &ListShape<'_>,
    items: &'v [Value],
) -> Result<BTreeMap<PathElement, Vec<&'v Value>>, TypedError> {
    let mut groups: BTreeMap<PathElement, Vec<&Value>> = BTreeMap::new();
    for (element, item) in list.elements(items)?.into_iter().zip(items) {
        groups.entry(element).or_default().push(item);
    }
    Ok(groups)
}

fn walk_list(list: &ListShape<'_>, old: &[Value], new: &[Value]) -> Result<Changes, TypedError> {
    let (before, after) = (group(list, old)?, group(list, new)?);
    let mut changes = Changes::default();
    let only_after = after.keys().filter(|element| !before.contains_key(element));
    for element in before.keys().chain(only_after) {
        let olds = before.get(element).map_or(&[][..], Vec::as_slice);
        let news = after.get(element).map_or(&[][..], Vec::as_slice);
        let inner = walk_group(list, olds, news).map_err(|e| e.under(element))?;
        changes.attach(element, inner);
    }
    Ok(changes)
}

/// The items of one element: usually one before and one after; duplicates are compared as one atomic value.
fn walk_group(list: &ListShape<'_>, olds: &[&Value], news: &[&Value]) -> Result<Inner, TypedError> {
    match (olds, news) {
        ([old], [new]) if old == new => Ok(Inner::default()),
        ([] | [_], [] | [_]) => walk(list.item, olds.first().copied(), news.first().copied()),
        ([_, _, ..], [_, _, ..]) => {
            let same = olds.len() == news.len() && olds.iter().zip(news).all(|(old, new)| same(old, new));
            Ok(Inner { marks: Marks { modified: !same, ..Marks::default() }, ..Inner::default() })
        }
        (_, []) => Ok(Inner { marks: Marks { removed: true, ..Marks::default() }, ..Inner::default() }),
        ([], _) => Ok(Inner { marks: Marks { added: true, ..Marks::default() }, ..Inner::default() }),
        (_, [one]) => {
            let mut inner = walk(list.item, None, Some(one))?;
            inner.marks.removed = true;
            Ok(inner)
        }
        ([one], _) => {
            let mut inner = walk(list.item, Some(one), None)?;
            inner.marks.added = true;
            Ok(inner)
        }
    }
}
