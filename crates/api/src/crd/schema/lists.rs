//! Lists that are sets or maps hold every item or key once.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Additional, ListKind, Node, join};
use crate::status::FieldError;

/// More findings than this are not collected.
const ERRORS_MAX: usize = 50;

pub(super) fn check(node: &Node, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(node, value, path, &mut errors);
    errors
}

fn walk(node: &Node, value: &Value, path: &str, errors: &mut Vec<FieldError>) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match (node.properties.get(name), &node.additional) {
                    (Some(child), _) => walk(child, value, &join(path, name), errors),
                    (None, Additional::Values(child)) => {
                        walk(child, value, &format!("{path}[{name}]"), errors);
                    }
                    _ => {}
                }
            }
        }
        Value::Array(list) => {
            match &node.list {
                ListKind::Atomic => {}
                ListKind::Set => duplicates(list.iter().map(Value::clone), path, errors),
                ListKind::Map(keys) => keyed(keys, list, path, errors),
            }
            if let Some(items) = &node.items {
                for (index, item) in list.iter().enumerate() {
                    walk(items, item, &format!("{path}[{index}]"), errors);
                }
            }
        }
        _ => {}
    }
}

fn keyed(keys: &[String], list: &[Value], path: &str, errors: &mut Vec<FieldError>) {
    for (index, item) in list.iter().enumerate() {
        if !item.is_object() && !item.is_null() {
            let why = "must be an object for an array of list-type map";
            errors.push(FieldError::invalid(format!("{path}[{index}]"), item.clone(), why));
            return;
        }
    }
    let key_of = |item: &Value| {
        let pairs = keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    duplicates(list.iter().map(key_of), path, errors);
}

/// Names each repeated value once, where it stands for the second time.
fn duplicates(values: impl Iterator<Item = Value>, path: &str, errors: &mut Vec<FieldError>) {
    let mut seen: HashMap<String, usize> = HashMap::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            errors.push(FieldError::duplicate(format!("{path}[{index}]"), value));
        }
    }
}
