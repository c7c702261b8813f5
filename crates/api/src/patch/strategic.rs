//! Strategic merge patch: objects merge, lists merge when the schema says so, directives say what a merge cannot.
//!
//! Directives: `$patch: replace|delete|merge` in an object, `$patch: delete|replace` in an item of a keyed list,
//! `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`; `null` deletes a field.
//!
//! Invariant: no directive and no `null` of the patch reaches the result, also where the original has nothing yet.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{PatchError, order};
use crate::schema::{Cardinality, Field, Message};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList";

/// Where in the object the merge is; for errors.
#[derive(Debug, Default)]
pub(super) struct Path(Vec<String>);

impl Path {
    fn within<T>(&mut self, part: &str, inner: impl FnOnce(&mut Self) -> T) -> T {
        self.0.push(part.to_owned());
        let result = inner(self);
        self.0.pop();
        result
    }

    fn text(&self) -> String {
        self.0.join(".")
    }

    fn bad(&self, directive: &'static str, problem: &'static str) -> PatchError {
        PatchError::BadDirective { directive, path: self.text(), problem }
    }
}

type Object = Map<String, Value>;

/// Merges `patch` into `original`. Without a message (labels, opaque JSON) objects merge and lists are replaced.
pub(super) fn merge_object(
    mut original: Object,
    mut patch: Object,
    message: Option<&Message>,
    path: &mut Path,
) -> Result<Object, PatchError> {
    match patch.remove(DIRECTIVE) {
        None => {}
        Some(Value::String(directive)) if directive == "merge" => {}
        Some(Value::String(directive)) if directive == "replace" => original = Object::new(),
        Some(Value::String(directive)) if directive == "delete" => return Ok(Object::new()),
        Some(value) => {
            return Err(PatchError::UnknownDirective { path: path.text(), value: value.to_string() });
        }
    }
    retain_keys(&mut original, &mut patch, path)?;
    for order in take_prefixed(&mut patch, SET_ORDER) {
        set_order(&mut original, &mut patch, order, message, path)?;
    }
    let deletions = take_prefixed(&mut patch, DELETE_PRIMITIVES);
    for (key, value) in patch {
        let before = original.remove(&key);
        let field = message.and_then(|message| message.field(&key));
        let merged = path.within(&key, |path| merge_value(before, value, field, path))?;
        if let Some(merged) = merged {
            original.insert(key, merged);
        }
    }
    for (name, value) in deletions {
        let Value::Array(unwanted) = value else { return Err(path.bad(DELETE_PRIMITIVES, "is not a list")) };
        let unwanted: HashSet<String> = unwanted.iter().map(Value::to_string).collect();
        if let Some(Value::Array(list)) = original.get_mut(&name) {
            list.retain(|item| !unwanted.contains(&item.to_string()));
        }
    }
    Ok(original)
}

/// Removes the directives `prefix/<field>` and returns them by field.
fn take_prefixed(patch: &mut Object, prefix: &str) -> Vec<(String, Value)> {
    let field = |key: &String| key.strip_prefix(prefix)?.strip_prefix('/').map(str::to_owned);
    let found: Vec<(String, String)> =
        patch.keys().filter_map(|key| Some((key.clone(), field(key)?))).collect();
    found.into_iter().filter_map(|(key, field)| Some((field, patch.remove(&key)?))).collect()
}

/// The merged value; `None` deletes it.
fn merge_value(
    before: Option<Value>,
    patch: Value,
    field: Option<&Field>,
    path: &mut Path,
) -> Result<Option<Value>, PatchError> {
    let replaces = field.is_some_and(|field| field.has_strategy("replace"));
    Ok(match patch {
        Value::Null => None,
        Value::Object(patch) => {
            let before = match before {
                Some(Value::Object(before)) if !replaces => before,
                _ => Object::new(),
            };
            // The values of a map are merged without the rules of the map's field.
            let field = field.filter(|field| field.cardinality == Cardinality::One);
            let message = field.and_then(Field::message).filter(|message| message.special.is_none());
            Some(Value::Object(merge_object(before, patch, message, path)?))
        }
        Value::Array(patch) => {
            let before = match before {
                Some(Value::Array(before)) => before,
                _ => Vec::new(),
            };
            Some(Value::Array(merge_list(before, patch, field, path)?))
        }
        scalar => Some(scalar),
    })
}

/// `$retainKeys`: fields that the list does not name are cleared before the merge.
fn retain_keys(original: &mut Object, patch: &mut Object, path: &Path) -> Result<(), PatchError> {
    let Some(value) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = value else { return Err(path.bad(RETAIN_KEYS, "is not a list")) };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let kept = |name: &str| keys.contains(name);
    let named = |(name, value): (&String, &Value)| value.is_null() || name.starts_with('$') || kept(name);
    if !patch.iter().all(named) {
        return Err(path.bad(RETAIN_KEYS, "does not name every field of the patch"));
    }
    original.retain(|name, _| kept(name));
    Ok(())
}

/// `$setElementOrder/<list>`: merges the list, then orders it. Takes the list out of the patch.
fn set_order(
    original: &mut Object,
    patch: &mut Object,
    (name, order): (String, Value),
    message: Option<&Message>,
    path: &mut Path,
) -> Result<(), PatchError> {
    let Value::Array(order) = order else { return Err(path.bad(SET_ORDER, "is not a list")) };
    let field = message.and_then(|message| message.field(&name));
    let key = field.and_then(|field| field.merge_key);
    let before = match original.get(&name) {
        Some(Value::Array(before)) => Some(before.clone()),
        _ => None,
    };
    let change = match patch.get(&name) {
        Some(Value::Array(_)) => match patch.remove(&name) {
            Some(Value::Array(change)) => Some(change),
            _ => None,
        },
        // A null in the patch deletes the list; there is nothing to order.
        Some(_) => return Ok(()),
        None => None,
    };
    if before.is_none() && change.is_none() {
        return Ok(());
    }
    if let Some(change) = &change {
        let plain = change.iter().filter(|item| item.get(DIRECTIVE).is_none());
        if !order::follows(plain, &order, key) {
            return Err(path.bad(SET_ORDER, "does not hold the items of the list in their order"));
        }
    }
    let before = before.unwrap_or_default();
    let merged = match change {
        Some(change) => path.within(&name, |path| merge_list(before.clone(), change, field, path))?,
        None => before.clone(),
    };
    let (named, others) = order::partition(merged, &order, key);
    let ordered = order::interleave(named, others, &before, key);
    original.insert(name, Value::Array(ordered));
    Ok(())
}

fn merge_list(
    before: Vec<Value>,
    patch: Vec<Value>,
    field: Option<&Field>,
    path: &mut Path,
) -> Result<Vec<Value>, PatchError> {
    let merges = field.filter(|field| field.cardinality == Cardinality::List && field.has_strategy("merge"));
    match merges {
        None => Ok(patch.into_iter().map(clean).collect()),
        Some(field) => match field.merge_key {
            Some(key) => merge_keyed(before, patch, field, key, path),
            None if patch.iter().chain(&before).any(|item| item.is_object() || item.is_array()) => {
                Err(PatchError::MixedList { path: path.text() })
            }
            None => Ok(merge_scalars(&before, &patch)),
        },
    }
}

/// A value that replaces what was there: without `null` fields and directives.
fn clean(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(key, value)| !value.is_null() && !is_directive(key));
            Value::Object(kept.map(|(key, value)| (key, clean(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(clean).collect()),
        scalar => scalar,
    }
}

fn is_directive(key: &str) -> bool {
    key == DIRECTIVE
        || key == RETAIN_KEYS
        || [SET_ORDER, DELETE_PRIMITIVES]
            .iter()
            .any(|prefix| key.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('/')))
}

/// Union without duplicates; the patch's items keep the order of the patch.
fn merge_scalars(before: &[Value], patch: &[Value]) -> Vec<Value> {
    let mut seen = HashSet::new();
    let mut merged: Vec<Value> = Vec::with_capacity(before.len() + patch.len());
    for item in before.iter().chain(patch) {
        if seen.insert(item.to_string()) {
            merged.push(item.clone());
        }
    }
    let (named, others) = order::partition(merged, patch, None);
    order::interleave(named, others, before, None)
}

/// What the patch of a keyed list asks for, item by item.
#[derive(Default)]
struct Changes {
    merge: Vec<Object>,
    delete: HashSet<String>,
    replace: bool,
}

impl Changes {
    fn read(patch: Vec<Value>, key: &'static str, path: &Path) -> Result<Self, PatchError> {
        let mut changes = Self::default();
        for item in patch {
            let Value::Object(mut item) = item else {
                return Err(PatchError::MixedList { path: path.text() });
            };
            let directive = item.remove(DIRECTIVE);
            match directive.as_ref().map(|directive| directive.as_str().unwrap_or("not a string")) {
                None | Some("merge") => changes.merge.push(item),
                Some("replace") => changes.replace = true,
                Some("delete") => {
                    changes.delete.insert(merge_key(&item, key, path)?.to_string());
                }
                Some(value) => {
                    return Err(PatchError::UnknownDirective { path: path.text(), value: value.to_owned() });
                }
            }
        }
        Ok(changes)
    }
}

fn merge_keyed(
    mut before: Vec<Value>,
    patch: Vec<Value>,
    field: &Field,
    key: &'static str,
    path: &mut Path,
) -> Result<Vec<Value>, PatchError> {
    let changes = Changes::read(patch, key, path)?;
    if changes.replace {
        return Ok(changes.merge.into_iter().map(|item| clean(Value::Object(item))).collect());
    }
    if !changes.delete.is_empty() {
        before.retain(|item| item.get(key).is_none_or(|name| !changes.delete.contains(&name.to_string())));
    }
    let message = field.message().filter(|message| message.special.is_none());
    let server_order = before.clone();
    let mut patch_order = Vec::with_capacity(changes.merge.len());
    let mut index = order::KeyIndex::new(&before, key);
    for item in changes.merge {
        let name = merge_key(&item, key, path)?.clone();
        patch_order.push(Value::Object(Map::from_iter([(key.to_owned(), name.clone())])));
        let found = index.find(&name);
        let old = match found.map(|at| std::mem::take(&mut before[at])) {
            Some(Value::Object(old)) => old,
            _ => Object::new(),
        };
        let label = name.as_str().map_or_else(|| name.to_string(), str::to_owned);
        let merged = path.within(&label, |path| merge_object(old, item, message, path))?;
        if let Some(at) = found {
            before[at] = Value::Object(merged);
        } else {
            index.insert(&name, before.len());
            before.push(Value::Object(merged));
        }
    }
    let (named, others) = order::partition(before, &patch_order, Some(key));
    Ok(order::interleave(named, others, &server_order, Some(key)))
}

fn merge_key<'a>(item: &'a Object, key: &'static str, path: &Path) -> Result<&'a Value, PatchError> {
    item.get(key)
        .filter(|value| !value.is_null())
        .ok_or_else(|| PatchError::NoMergeKey { path: path.text(), key })
}
