//! Gives a custom object its shape: unknown fields out, defaults in.
//!
//! `apiVersion`, `kind` and `metadata` of the root and of embedded resources are not the schema's business; of their
//! metadata only the members of `ObjectMeta` stay.

use serde_json::{Map, Value};

use super::{Additional, Node, join};

const OBJECT_META: &[&str] = &[
    "annotations",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "labels",
    "managedFields",
    "name",
    "namespace",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];
const TYPE_META: &[&str] = &["apiVersion", "kind", "metadata"];
/// More dropped fields than this are dropped without being named.
const NAMED_MAX: usize = 100;

struct Pruned(Vec<String>);

impl Pruned {
    fn note(&mut self, path: &str, key: &str) {
        if self.0.len() < NAMED_MAX {
            self.0.push(join(path, key));
        }
    }
}

pub(super) fn prune(root: &Node, object: &mut Value) -> Vec<String> {
    let mut pruned = Pruned(Vec::new());
    if let Value::Object(map) = object {
        prune_resource(root, map, "", root.preserve_unknown, &mut pruned);
    }
    pruned.0.sort();
    pruned.0
}

fn prune_resource(node: &Node, map: &mut Map<String, Value>, path: &str, open: bool, pruned: &mut Pruned) {
    if let Some(Value::Object(metadata)) = map.get_mut("metadata") {
        let path = join(path, "metadata");
        metadata.retain(|key, _| {
            let known = OBJECT_META.contains(&key.as_str());
            if !known {
                pruned.note(&path, key);
            }
            known
        });
    }
    prune_map(node, map, path, TYPE_META, open, pruned);
}

/// `open`: what the schema does not know stays. Fields that it does know are pruned by what it says of them.
fn prune_map(
    node: &Node,
    map: &mut Map<String, Value>,
    path: &str,
    keep: &[&str],
    open: bool,
    pruned: &mut Pruned,
) {
    map.retain(|key, value| {
        if keep.contains(&key.as_str()) {
            return true;
        }
        match (node.properties.get(key), &node.additional) {
            (Some(child), _) => prune_value(child, value, &join(path, key), false, pruned),
            (None, Additional::Values(child)) => prune_value(child, value, &join(path, key), false, pruned),
            // Nothing is known of the values, so that none of their fields is.
            (None, Additional::Any) if !open => {
                prune_value(&Node::default(), value, &join(path, key), false, pruned);
            }
            (None, _) => {
                if !open {
                    pruned.note(path, key);
                }
                return open;
            }
        }
        true
    });
}

/// `open` comes from a list that keeps what it does not know.
fn prune_value(node: &Node, value: &mut Value, path: &str, open: bool, pruned: &mut Pruned) {
    let open = open || node.preserve_unknown;
    match value {
        Value::Object(map) if node.embedded => prune_resource(node, map, path, open, pruned),
        Value::Object(map) => prune_map(node, map, path, &[], open, pruned),
        Value::Array(list) => {
            let unknown = Node::default();
            let items = node.items.as_deref().unwrap_or(&unknown);
            for (index, item) in list.iter_mut().enumerate() {
                prune_value(items, item, &format!("{path}[{index}]"), open, pruned);
            }
        }
        _ => {}
    }
}

/// Fills in defaults where a member is missing, or `null` though that is not allowed; other such `null`s go.
pub(super) fn default(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, child) in &node.properties {
                default_member(child, map, name);
            }
            if let Additional::Values(child) = &node.additional {
                let names: Vec<String> =
                    map.keys().filter(|name| !node.properties.contains_key(*name)).cloned().collect();
                for name in names {
                    if map.get(&name).is_some_and(Value::is_null)
                        && !child.nullable
                        && child.default.is_none()
                    {
                        map.remove(&name);
                    } else {
                        default_value(child, map.get_mut(&name));
                    }
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            for item in list {
                default_value(items, Some(item));
            }
        }
        _ => {}
    }
}

fn default_value(node: &Node, value: Option<&mut Value>) {
    let Some(value) = value else { return };
    if let Some(wanted) = node.default.as_ref().filter(|_| value.is_null() && !node.nullable) {
        *value = wanted.clone();
    }
    default(node, value);
}

fn default_member(node: &Node, map: &mut Map<String, Value>, name: &str) {
    if !node.nullable && map.get(name).is_some_and(Value::is_null) {
        map.remove(name);
    }
    if let Some(wanted) = &node.default
        && !map.contains_key(name)
    {
        map.insert(name.to_owned(), wanted.clone());
    }
    if let Some(value) = map.get_mut(name) {
        default(node, value);
    }
}
