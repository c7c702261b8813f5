//! The annotation of client-side apply, when kubectl turns to server-side apply.
//!
//! kubectl's own applies do not conflict over fields that the annotation says it applied before, and they keep the
//! annotation up to date, so that one can go back. Other managers are not concerned. kubectl's migration of
//! `managedFields` itself is an ordinary patch by the client.

use serde_json::Value;

use super::check::check;
use super::collect::field_set;
use super::compare::compare;
use super::conflict::Conflicts;
use super::set::FieldSet;
use super::typing::TypeRef;
use crate::meta;

const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
const KUBECTL: &str = "kubectl";
/// Annotations of an object are at most this large, names and values together.
const MAX_ANNOTATIONS_BYTES: usize = 256 * 1024;

fn last_applied(object: &Value) -> Option<&str> {
    meta::annotation(object, ANNOTATION).filter(|text| !text.is_empty())
}

/// The conflicts that kubectl's earlier client-side apply does not explain; all of them for other managers.
pub(super) fn unexplained(
    root: TypeRef<'_>,
    api_version: &str,
    live: &Value,
    conflicts: Conflicts,
    manager: &str,
) -> Conflicts {
    if manager != KUBECTL {
        return conflicts;
    }
    match applied_before(root, api_version, live) {
        Some(before) => conflicts.into_iter().filter(|c| !before.contains(&c.path)).collect(),
        None => conflicts,
    }
}

/// The fields of the annotation that still have the value they were applied with.
fn applied_before(root: TypeRef<'_>, api_version: &str, live: &Value) -> Option<FieldSet> {
    let applied: Value = serde_json::from_str(last_applied(live)?).ok()?;
    if applied.get("apiVersion").and_then(Value::as_str) != Some(api_version) {
        return None;
    }
    check(root, &applied).ok()?;
    let changes = compare(root, &applied, live).ok()?;
    let fields = field_set(root, &applied).ok()?;
    Some(fields.difference(&changes.modified).difference(&changes.added).difference(&changes.removed))
}

/// The applied object with its annotation brought up to date, if it has one and kubectl applies.
pub(super) fn updated(mut applied: Value, config: &Value, manager: &str) -> Value {
    if manager != KUBECTL || last_applied(&applied).is_none() {
        return applied;
    }
    let text = encoded(config);
    let annotations =
        meta::metadata_mut(&mut applied).and_then(|m| m.get_mut("annotations")?.as_object_mut());
    if let Some(annotations) = annotations {
        annotations.insert(ANNOTATION.to_owned(), text.into());
        let size: usize =
            annotations.iter().map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
        if size > MAX_ANNOTATIONS_BYTES {
            annotations.remove(ANNOTATION);
        }
    }
    applied
}

/// The configuration as kubectl writes it: without the annotation, escaped for HTML, with a line end.
fn encoded(config: &Value) -> String {
    let mut config = config.clone();
    if let Some(annotations) = config.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(ANNOTATION);
    }
    let mut text = config.to_string();
    for (plain, escaped) in [
        ("<", "\\u003c"),
        (">", "\\u003e"),
        ("&", "\\u0026"),
        ("\u{2028}", "\\u2028"),
        ("\u{2029}", "\\u2029"),
    ] {
        text = text.replace(plain, escaped);
    }
    text.push('\n');
    text
}
