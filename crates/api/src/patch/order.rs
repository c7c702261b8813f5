//! The order of merged lists: items that the patch names take the patch's order, the server's own items keep theirs,
//! and both are interleaved so that known relative positions survive.
//!
//! Lists may hold 10^5 items, so positions are looked up in hash maps, not by search.

use std::collections::HashMap;

use serde_json::Value;

/// What identifies an item: the value of the merge key, or the scalar itself.
fn identity(item: &Value, key: Option<&str>) -> Option<String> {
    let value = match key {
        Some(key) => item.get(key)?,
        None => item,
    };
    Some(value.to_string())
}

/// Position of the first item of the same identity.
pub(super) struct KeyIndex(HashMap<String, usize>);

impl KeyIndex {
    /// Of a list whose items have the key.
    pub(super) fn new(list: &[Value], key: &str) -> Self {
        Self::of(list, Some(key))
    }

    fn of(list: &[Value], key: Option<&str>) -> Self {
        let mut index = HashMap::with_capacity(list.len());
        for (at, item) in list.iter().enumerate() {
            if let Some(identity) = identity(item, key) {
                index.entry(identity).or_insert(at);
            }
        }
        Self(index)
    }

    /// By the value of the key.
    pub(super) fn find(&self, name: &Value) -> Option<usize> {
        self.0.get(&name.to_string()).copied()
    }

    /// Remembers a new item.
    pub(super) fn insert(&mut self, name: &Value, at: usize) {
        self.0.entry(name.to_string()).or_insert(at);
    }

    fn position(&self, item: &Value, key: Option<&str>) -> Option<usize> {
        self.0.get(&identity(item, key)?).copied()
    }
}

/// Splits into items that `order` names, sorted by it, and the others in their own order.
pub(super) fn partition(items: Vec<Value>, order: &[Value], key: Option<&str>) -> (Vec<Value>, Vec<Value>) {
    let index = KeyIndex::of(order, key);
    let mut named = Vec::new();
    let mut others = Vec::new();
    for item in items {
        match index.position(&item, key) {
            Some(at) => named.push((at, item)),
            None => others.push(item),
        }
    }
    named.sort_by_key(|(at, _)| *at);
    (named.into_iter().map(|(_, item)| item).collect(), others)
}

/// Whether `items` appear in `order`, in that order.
pub(super) fn follows<'a>(
    items: impl Iterator<Item = &'a Value>,
    order: &[Value],
    key: Option<&str>,
) -> bool {
    let index = KeyIndex::of(order, key);
    let positions: Option<Vec<usize>> = items.map(|item| index.position(item, key)).collect();
    positions.is_some_and(|positions| positions.is_sorted())
}

/// Merges the patch's items and the server's own items. An item of the server goes first only where both heads were in
/// the list before and it stood in front; new items of the patch therefore come before what the server keeps.
pub(super) fn interleave(
    patch_items: Vec<Value>,
    server_items: Vec<Value>,
    server_order: &[Value],
    key: Option<&str>,
) -> Vec<Value> {
    let index = KeyIndex::of(server_order, key);
    let mut merged = Vec::with_capacity(patch_items.len() + server_items.len());
    let mut server = server_items.into_iter().peekable();
    for item in patch_items {
        let at = index.position(&item, key);
        while let Some(head) = server.peek() {
            let in_front = at.zip(index.position(head, key)).is_some_and(|(at, head)| head < at);
            if !in_front {
                break;
            }
            merged.extend(server.next());
        }
        merged.push(item);
    }
    merged.extend(server);
    merged
}
