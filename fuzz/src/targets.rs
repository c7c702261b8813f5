//! The functions under test, and what must hold of what they return.

use std::sync::LazyLock;

use jiff::Timestamp;
use konzert_api::selector::{FieldSelector, LabelSelector};
use konzert_api::{Catalogue, Gvk, Kind, crd, patch, protobuf, quantity::Quantity, schema};
use konzert_apiserver::inputs;
use serde_json::Value;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(Catalogue::builtin);

/// A protobuf body.
pub(crate) fn protobuf(bytes: &[u8]) {
    if let Ok(decoded) = protobuf::decode(bytes) {
        object(decoded.value);
    }
}

/// A JSON body, taken as far as a stored object is.
pub(crate) fn json(bytes: &[u8]) {
    if let Ok((value, _)) = schema::parse_json_strict(bytes) {
        object(value);
    }
}

/// A YAML body.
pub(crate) fn yaml(bytes: &[u8]) {
    if let Some(value) = inputs::body("application/yaml", bytes) {
        assert!(!schema::too_deep(&value), "a document deeper than any reader takes");
        object(value);
    }
}

/// The way of an object through its kind: everything that happens before it is stored, and how it is shown.
fn object(mut value: Value) {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let gvk = Gvk::from_api_version(&text(&value, "apiVersion"), &text(&value, "kind"));
    let Some(kind) = CATALOGUE.by_kind(&gvk.group, &gvk.version, &gvk.kind) else { return };
    schema::unknown_fields(kind.gvk(), &value);
    schema::prune_unknown(kind.gvk(), &mut value);
    if kind.decode(&value).is_err() {
        return;
    }
    kind.default(&mut value);
    let mut again = value.clone();
    kind.default(&mut again);
    assert_eq!(again, value, "defaults are idempotent");
    show(&kind, &value);
}

fn show(kind: &Kind, value: &Value) {
    let before = value.clone();
    kind.validate(value);
    kind.validate_update(&before, value);
    assert_eq!(
        kind.cells(value, Timestamp::UNIX_EPOCH).len(),
        kind.columns().len(),
        "a cell for each column"
    );
    kind.row_conditions(value);
    kind.scale_of(value);
}

/// `{"doc": …, "patch": …}`.
fn parts(bytes: &[u8]) -> Option<(Value, Value)> {
    let (mut value, _) = schema::parse_json_strict(bytes).ok()?;
    Some((value.get_mut("doc")?.take(), value.get_mut("patch")?.take()))
}

/// RFC 6902.
pub(crate) fn json_patch(bytes: &[u8]) {
    if let Some((doc, patch)) = parts(bytes)
        && let Ok(patched) = patch::json_patch(&doc, &patch)
    {
        assert!(!schema::too_deep(&patched), "a patch made an object that nobody can read");
    }
}

/// RFC 7386.
pub(crate) fn merge_patch(bytes: &[u8]) {
    if let Some((doc, patch)) = parts(bytes) {
        let once = patch::merge_patch(&doc, &patch);
        assert_eq!(patch::merge_patch(&once, &patch), once, "a merge patch is idempotent");
    }
}

/// Strategic merge patch of the kind that the document says it is.
pub(crate) fn strategic(bytes: &[u8]) {
    let Some((doc, patch)) = parts(bytes) else { return };
    let gvk = Gvk::from_api_version(
        doc["apiVersion"].as_str().unwrap_or_default(),
        doc["kind"].as_str().unwrap_or_default(),
    );
    // Whatever comes out is an answer; the caller checks depth and types again.
    drop(patch::strategic_merge(&gvk, &doc, &patch));
}

/// A definition of a custom kind, and an object of it: `{"doc": definition, "patch": object}`.
pub(crate) fn definition(bytes: &[u8]) {
    let Some((definition, object)) = parts(bytes) else { return };
    json(definition.to_string().as_bytes());
    let Ok(kinds) = crd::custom_kinds(&definition) else { return };
    for kind in kinds {
        let mut object = object.clone();
        kind.prune(&mut object);
        kind.default(&mut object);
        kind.validate(&object);
        kind.cells(&object, Timestamp::UNIX_EPOCH);
    }
}

/// A label selector, a field selector.
pub(crate) fn selector(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let object = serde_json::json!({ "metadata": { "name": "a", "labels": { "app": "web", "n": "7" } } });
    if let Ok(selector) = LabelSelector::parse(text) {
        selector.matches_object(&object);
    }
    if let Ok(selector) = FieldSelector::parse(text, &["spec.nodeName", "status.phase"]) {
        selector.matches(&object);
        selector.required("metadata.name");
    }
}

/// A quantity.
pub(crate) fn quantity(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(quantity) = Quantity::parse(text) {
        quantity.value();
        quantity.milli_value();
        let shown = quantity.to_string();
        let again = Quantity::parse(&shown);
        assert!(again.is_ok_and(|again| again.to_string() == shown), "{text:?} prints as {shown:?}");
    }
}

/// A continue token.
pub(crate) fn continue_token(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        inputs::continue_token(text);
    }
}

/// The first line of a request and its `Accept`: `PATH?QUERY`, newline, header.
pub(crate) fn request(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (target, accept) = text.split_once('\n').unwrap_or((text, ""));
    inputs::request(target, accept);
}
