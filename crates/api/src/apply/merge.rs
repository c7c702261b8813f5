//! Merges an applied configuration into the live object. Nothing is removed here; see [`super::remove`].
//!
//! Order of list items: as in the live object, unless the configuration orders the items that both have differently.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::element::PathElement;
use super::items::TypedError;
use super::typing::{ListShape, MapType, Shape, TypeRef};

/// The live object with everything that the configuration says.
pub(super) fn merge(kind: TypeRef<'_>, live: &Value, config: &Value) -> Result<Value, TypedError> {
    let merged = walk(kind, Some(live), Some(config))?;
    Ok(merged.unwrap_or_else(|| Value::Object(Map::new())))
}

fn walk(
    kind: TypeRef<'_>,
    live: Option<&Value>,
    config: Option<&Value>,
) -> Result<Option<Value>, TypedError> {
    let Some(config) = config else { return Ok(live.cloned()) };
    let keep = || Ok(Some(config.clone()));
    match kind.shape_of(Some(config)) {
        Shape::Scalar(_) => keep(),
        Shape::List(list) => {
            let mine = live.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let theirs = config.as_array().map_or(&[][..], Vec::as_slice);
            if list.is_atomic() || (mine.is_empty() && theirs.is_empty()) {
                return keep();
            }
            let merged = ListMerge::new(&list, mine, theirs)?.run()?;
            Ok((!merged.is_empty()).then_some(Value::Array(merged)))
        }
        Shape::Map(map) => {
            let (mine, theirs) = (live.and_then(Value::as_object), config.as_object());
            if map.atomic || (mine.is_none_or(Map::is_empty) && theirs.is_none_or(Map::is_empty)) {
                return keep();
            }
            merge_map(&map, mine, theirs).map(Some)
        }
    }
}

fn merge_map(
    map: &MapType<'_>,
    live: Option<&Map<String, Value>>,
    config: Option<&Map<String, Value>>,
) -> Result<Value, TypedError> {
    let mut merged = live.cloned().unwrap_or_default();
    for (name, wished) in config.into_iter().flatten() {
        let mine = live.and_then(|live| live.get(name));
        let inner =
            walk(map.member(name), mine, Some(wished)).map_err(|e| e.under(&PathElement::field(name)))?;
        match inner {
            Some(value) => merged.insert(name.clone(), value),
            None => merged.remove(name),
        };
    }
    Ok(Value::Object(merged))
}

/// The merge of two lists of named items.
struct ListMerge<'l> {
    list: &'l ListShape<'l>,
    live: &'l [Value],
    live_elements: Vec<PathElement>,
    config_elements: Vec<PathElement>,
    /// Item by element; null where the live list has several.
    live_items: BTreeMap<PathElement, &'l Value>,
    config_items: BTreeMap<PathElement, &'l Value>,
}

static NULL: Value = Value::Null;

impl<'l> ListMerge<'l> {
    fn new(list: &'l ListShape<'l>, live: &'l [Value], config: &'l [Value]) -> Result<Self, TypedError> {
        let (live_elements, config_elements) = (list.elements(live)?, list.elements(config)?);
        let (mut live_items, mut config_items) = (BTreeMap::new(), BTreeMap::new());
        for (element, item) in live_elements.iter().zip(live) {
            live_items.entry(element.clone()).and_modify(|known| *known = &NULL).or_insert(item);
        }
        for (element, item) in config_elements.iter().zip(config) {
            if config_items.insert(element.clone(), item).is_some() {
                return Err(TypedError::one(format!("duplicate entries for key {element}")));
            }
        }
        Ok(Self { list, live, live_elements, config_elements, live_items, config_items })
    }

    fn item(&self, element: &PathElement, out: &mut Vec<Value>) -> Result<(), TypedError> {
        let (mine, theirs) = (self.live_items.get(element), self.config_items.get(element));
        let merged = walk(self.list.item, mine.copied(), theirs.copied()).map_err(|e| e.under(element))?;
        out.extend(merged);
        Ok(())
    }

    /// Walks both lists at once. Items of the live list keep their place up to the next item that both lists have.
    fn run(&self) -> Result<Vec<Value>, TypedError> {
        let mut shared = self.config_elements.iter().filter(|e| self.live_items.contains_key(e));
        let mut next_shared = shared.next();
        let (mut out, mut merged) = (Vec::new(), BTreeSet::new());
        let (mut mine, mut theirs) = (0, 0);
        loop {
            let live = self.live_elements.get(mine);
            let config = self.config_elements.get(theirs);
            if live.is_none() && config.is_none() {
                return Ok(out);
            }
            if let (Some(live), Some(config)) = (live, config) {
                if live == config {
                    merged.insert(live);
                    self.item(live, &mut out)?;
                    (mine, theirs, next_shared) = (mine + 1, theirs + 1, shared.next());
                    continue;
                }
                if self.config_items.contains_key(live) && next_shared.is_some_and(|next| next != live) {
                    mine += 1; // shared, but its turn comes later
                    continue;
                }
            }
            if let Some(live) = live {
                if !self.config_items.contains_key(live) {
                    out.push(self.live[mine].clone());
                    mine += 1;
                    continue;
                }
                if merged.contains(live) {
                    mine += 1;
                }
            }
            if let Some(config) = config {
                merged.insert(config);
                self.item(config, &mut out)?;
                theirs += 1;
                if next_shared == Some(config) {
                    next_shared = shared.next();
                }
            }
        }
    }
}
