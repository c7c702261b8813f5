//! Whether the defaults of a schema are values that the schema itself takes.

use serde_json::{Value, json};

use super::super::cel;
use super::{Node, embedded, lists, shape, validate};
use crate::status::FieldError;

/// More findings than this are not collected.
const ERRORS_MAX: usize = 50;

pub(super) fn check(root: &Node, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(root, path, true, &mut errors);
    errors
}

/// `outside`: not within the metadata of a resource, which is judged with the whole of it.
fn walk(node: &Node, path: &str, outside: bool, errors: &mut Vec<FieldError>) {
    if errors.len() >= ERRORS_MAX {
        return;
    }
    if let Some(default) = &node.default {
        one(node, default, &format!("{path}.default"), outside, errors);
    }
    // Defaults below `additionalProperties` are filled in, but never judged, as upstream.
    if let Some(items) = &node.items {
        walk(items, &format!("{path}.items"), outside, errors);
    }
    for (name, child) in &node.properties {
        let meta = node.embedded && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        walk(child, &format!("{path}.properties[{name}]"), outside && !meta, errors);
    }
}

fn one(node: &Node, default: &Value, path: &str, outside: bool, errors: &mut Vec<FieldError>) {
    if outside {
        let mut pruned = json!({ "value": default });
        let wrapper = Node {
            properties: [("value".to_owned(), Node { rules: Vec::new(), ..node.clone() })].into(),
            ..Node::default()
        };
        if !shape::prune(&wrapper, &mut pruned).is_empty() {
            errors.push(FieldError::invalid(path, default.clone(), "must not have unknown fields"));
        }
        let found = embedded::check(node, default, path, node.embedded);
        if !found.is_empty() {
            errors.extend(found);
            return;
        }
    }
    let mut found = validate::value(node, default, None, path);
    found.extend(lists::check(node, default, path));
    if found.is_empty() {
        found = cel::run_as(node, default, Some(default), path, node.embedded);
    }
    if found.is_empty() {
        found = cel::run_as(node, default, None, path, node.embedded);
    }
    errors.extend(found);
}
