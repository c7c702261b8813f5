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
        prune_resource(root, map, "", &mut pruned);
    }
    pruned.0
}

fn prune_resource(node: &Node, map: &mut Map<String, Value>, path: &str, pruned: &mut Pruned) {
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
    prune_map(node, map, path, TYPE_META, pruned);
}

fn prune_map(node: &Node, map: &mut Map<String, Value>, path: &str, keep: &[&str], pruned: &mut Pruned) {
    let open = node.preserve_unknown || !matches!(node.additional, Additional::Unknown);
    map.retain(|key, value| {
        if keep.contains(&key.as_str()) {
            return true;
        }
        let child = match (&node.properties.get(key), &node.additional) {
            (Some(child), _) => child,
            (None, Additional::Values(child)) => &**child,
            (None, _) => {
                if !open {
                    pruned.note(path, key);
                }
                return open;
            }
        };
        prune_value(child, value, &join(path, key), pruned);
        true
    });
}

fn prune_value(node: &Node, value: &mut Value, path: &str, pruned: &mut Pruned) {
    match value {
        Value::Object(map) if node.embedded => prune_resource(node, map, path, pruned),
        Value::Object(map) => prune_map(node, map, path, &[], pruned),
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            for (index, item) in list.iter_mut().enumerate() {
                prune_value(items, item, &format!("{path}[{index}]"), pruned);
            }
        }
        _ => {}
    }
}

pub(super) fn default(node: &Node, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (name, child) in &node.properties {
                default_member(child, map, name);
            }
            if let Additional::Values(child) = &node.additional {
                let names: Vec<String> = map.keys().cloned().collect();
                for name in names {
                    default_member(child, map, &name);
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &node.items else { return };
            for item in list {
                default(items, item);
            }
        }
        _ => {}
    }
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
