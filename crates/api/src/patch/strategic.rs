//! Strategic merge patch: objects merge, lists merge when the schema says so, directives say what a merge cannot.
//!
//! Directives: `$patch: replace|delete` in an object, `$patch: delete|replace` in an item of a keyed list,
//! `$retainKeys`, `$setElementOrder/<list>`, `$deleteFromPrimitiveList/<list>`; `null` deletes a field.
//!
//! Invariant: no directive and no `null` of the patch reaches the result, also where the original has nothing yet.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::{PatchError, order};
use crate::printed::{go_type, in_go};
use crate::schema::{Cardinality, Field, Message};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ORDER: &str = "$setElementOrder";
const DELETE_PRIMITIVES: &str = "$deleteFromPrimitiveList";

type Object = Map<String, Value>;

/// Merges `patch` into `original`. Without a message (labels, opaque JSON) objects merge and lists are replaced.
pub(super) fn merge_object(
    mut original: Object,
    mut patch: Object,
    message: Option<&Message>,
) -> Result<Object, PatchError> {
    match patch.get(DIRECTIVE) {
        None => {}
        Some(Value::String(directive)) if directive == "replace" => {
            patch.remove(DIRECTIVE);
            return Ok(without_directives(patch));
        }
        Some(Value::String(directive)) if directive == "delete" => return Ok(Object::new()),
        Some(directive) => return Err(unknown_directive(directive, &patch)),
    }
    retain_keys(&mut original, &mut patch)?;
    for order in take_prefixed(&mut patch, SET_ORDER) {
        set_order(&mut original, &mut patch, order, message)?;
    }
    let deletions = take_prefixed(&mut patch, DELETE_PRIMITIVES);
    for (key, value) in patch {
        let before = original.remove(&key);
        let field = message.and_then(|message| message.field(&key));
        if let Some(merged) = merge_value(before, value, field)? {
            original.insert(key, merged);
        }
    }
    for (name, value) in deletions {
        // What does not fit is ignored, as in Kubernetes.
        if let (Some(Value::Array(list)), Value::Array(unwanted)) = (original.get_mut(&name), value) {
            expect_alike(list, &unwanted)?;
            let unwanted: HashSet<String> = unwanted.iter().map(Value::to_string).collect();
            list.retain(|item| !unwanted.contains(&item.to_string()));
        }
    }
    Ok(original)
}

/// A directive as Go prints what should be text.
fn unknown_directive(directive: &Value, map: &Object) -> PatchError {
    let directive = match directive {
        Value::String(text) => text.clone(),
        Value::Null => "%!s(<nil>)".to_owned(),
        other => format!("%!s({}={})", go_type(other), in_go(other)),
    };
    PatchError::UnknownDirective { directive, map: in_go(&Value::Object(map.clone())) }
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
) -> Result<Option<Value>, PatchError> {
    let replaces = field.is_some_and(|field| field.has_strategy("replace"));
    match (before, patch) {
        (_, Value::Null) => Ok(None),
        (Some(Value::Object(before)), Value::Object(patch)) if !replaces => {
            // The values of a map are merged without the rules of the map's field.
            let field = field.filter(|field| field.cardinality == Cardinality::One);
            let message = field.and_then(Field::message).filter(|message| message.special.is_none());
            merge_object(before, patch, message).map(|merged| Some(Value::Object(merged)))
        }
        (Some(Value::Array(before)), Value::Array(patch)) => {
            merge_list(before, patch, field).map(|merged| Some(Value::Array(merged)))
        }
        (_, new) => Ok(clean(new)),
    }
}

/// `$retainKeys`: fields that the list does not name are cleared before the merge.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), PatchError> {
    let Some(value) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(keys) = value else { return Err(PatchError::RetainKeys) };
    let keys: HashSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let kept = |name: &str| keys.contains(name);
    let named = |(name, value): (&String, &Value)| value.is_null() || name.starts_with('$') || kept(name);
    if !patch.iter().all(named) {
        return Err(PatchError::RetainKeys);
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
) -> Result<(), PatchError> {
    let Some(order) = list_of(Some(&order))? else { return Ok(()) };
    let before = list_of(original.get(&name))?;
    let change = match patch.get(&name) {
        // Deletes the list; there is nothing to order.
        Some(Value::Null) => return Ok(()),
        change => list_of(change)?,
    };
    let field = message.and_then(|message| message.field(&name));
    if let (Some(message), None) = (message, field) {
        return Err(PatchError::NoSuchField { message: message.short_name().to_owned(), field: name });
    }
    let key = field.and_then(|field| field.merge_key);
    patch.remove(&name);
    if let Some(change) = &change {
        let plain = change.iter().filter(|item| item.get(DIRECTIVE).is_none());
        if !order.is_empty() && !order::follows(plain, &order, key) {
            let printed = |list: &[Value]| in_go(&Value::Array(list.to_vec()));
            return Err(PatchError::OutOfOrder { patch: printed(change), order: printed(&order) });
        }
    }
    let merged = match (before.clone(), change) {
        (None, None) => return Ok(()),
        (Some(before), None) => before,
        (None, Some(change)) => change.into_iter().filter_map(clean).collect(),
        (Some(before), Some(change)) => merge_list(before, change, field)?,
    };
    if let Some(key) = key.filter(|_| !merged.is_empty()) {
        expect_keys(&order, key)?;
    }
    let (named, others) = order::partition(merged, &order, key);
    let ordered = order::interleave(named, others, &before.unwrap_or_default(), key);
    original.insert(name, Value::Array(ordered));
    Ok(())
}

/// A list, or nothing.
fn list_of(value: Option<&Value>) -> Result<Option<Vec<Value>>, PatchError> {
    match value {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list.clone())),
        Some(Value::Null) => Err(PatchError::NoList("%!s(<nil>)".to_owned())),
        Some(other) => Err(PatchError::NoList(go_type(other).to_owned())),
    }
}

/// Whether each item of an order is an object with the key.
fn expect_keys(order: &[Value], key: &'static str) -> Result<(), PatchError> {
    for (index, item) in order.iter().enumerate() {
        let object = item.as_object().ok_or(PatchError::NoMap(index))?;
        merge_key(object, key)?;
    }
    Ok(())
}

fn merge_list(
    before: Vec<Value>,
    patch: Vec<Value>,
    field: Option<&Field>,
) -> Result<Vec<Value>, PatchError> {
    let merges = field.filter(|field| field.cardinality == Cardinality::List && field.has_strategy("merge"));
    // A list that is replaced is taken as it is: what does not belong there is an unknown field.
    let Some(field) = merges else { return Ok(patch) };
    expect_alike(&before, &patch)?;
    match field.merge_key {
        Some(key) => merge_keyed(before, patch, field, key),
        None => Ok(merge_scalars(&before, &patch)),
    }
}

/// Lists that merge hold values of one type.
fn expect_alike(before: &[Value], patch: &[Value]) -> Result<(), PatchError> {
    let mut types = before.iter().chain(patch).map(go_type);
    let Some(first) = types.next() else { return Ok(()) };
    if first == go_type(&Value::Array(Vec::new())) {
        return Err(PatchError::ListOfLists);
    }
    if types.all(|other| other == first) {
        return Ok(());
    }
    let printed = |list: &[Value]| in_go(&Value::Array(list.to_vec()));
    Err(PatchError::MixedList { before: printed(before), patch: printed(patch) })
}

/// A value where there was none: without `null` fields and directives. An object that says how to patch what is not there
/// is none.
fn clean(value: Value) -> Option<Value> {
    match value {
        Value::Object(object) if object.contains_key(DIRECTIVE) => None,
        Value::Object(object) => Some(Value::Object(without_directives(object))),
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(clean).collect())),
        scalar => Some(scalar),
    }
}

fn without_directives(object: Object) -> Object {
    let kept = object.into_iter().filter(|(key, value)| !value.is_null() && !is_directive(key));
    kept.filter_map(|(key, value)| Some((key, clean(value)?))).collect()
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
    fn read(patch: Vec<Value>, key: &'static str) -> Result<Self, PatchError> {
        let mut changes = Self::default();
        for item in patch {
            let Value::Object(item) = item else { continue };
            match item.get(DIRECTIVE) {
                None => changes.merge.push(item),
                Some(Value::String(directive)) if directive == "merge" => {
                    return Err(PatchError::MergeOfList);
                }
                Some(Value::String(directive)) if directive == "replace" => changes.replace = true,
                Some(Value::String(directive)) if directive == "delete" => {
                    changes.delete.insert(merge_key(&item, key)?.to_string());
                }
                Some(directive) => return Err(unknown_directive(directive, &item)),
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
) -> Result<Vec<Value>, PatchError> {
    let changes = Changes::read(patch, key)?;
    if changes.replace {
        return Ok(changes.merge.into_iter().map(|item| Value::Object(without_directives(item))).collect());
    }
    if !changes.delete.is_empty() {
        before.retain(|item| item.get(key).is_none_or(|name| !changes.delete.contains(&name.to_string())));
    }
    let message = field.message().filter(|message| message.special.is_none());
    let server_order = before.clone();
    let mut patch_order = Vec::with_capacity(changes.merge.len());
    let mut index = order::KeyIndex::new(&before, key);
    for item in changes.merge {
        let name = merge_key(&item, key)?.clone();
        patch_order.push(Value::Object(Map::from_iter([(key.to_owned(), name.clone())])));
        let found = index.find(&name);
        if let Some((at, Value::Object(old))) = found.map(|at| (at, std::mem::take(&mut before[at]))) {
            before[at] = Value::Object(merge_object(old, item, message)?);
        } else {
            index.insert(&name, before.len());
            before.push(Value::Object(without_directives(item)));
        }
    }
    let (named, others) = order::partition(before, &patch_order, Some(key));
    Ok(order::interleave(named, others, &server_order, Some(key)))
}

fn merge_key<'a>(item: &'a Object, key: &'static str) -> Result<&'a Value, PatchError> {
    item.get(key).ok_or_else(|| PatchError::NoMergeKey { map: in_go(&Value::Object(item.clone())), key })
}
