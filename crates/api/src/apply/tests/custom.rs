//! Custom kinds: list types of the definition, unknown parts, several versions.

use super::*;
use crate::crd::custom_kinds;

fn definition(list_type: &Value) -> Value {
    let mut list = json!({ "type": "array", "items": { "type": "object", "properties": {
        "host": { "type": "string", "default": "localhost" }, "port": { "type": "integer", "default": 80 }, "note": { "type": "string" },
    } } });
    if let (Some(list), Some(markers)) = (list.as_object_mut(), list_type.as_object()) {
        list.extend(markers.clone());
    }
    let schema = json!({ "type": "object", "properties": {
        "spec": { "type": "object", "properties": {
            "size": { "type": "integer" },
            "tags": { "type": "array", "items": { "type": "string" }, "x-kubernetes-list-type": "set" },
            "plain": { "type": "array", "items": { "type": "string" } },
            "whole": { "type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": { "type": "string" } },
            "ends": list,
            "free": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
        } },
        "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    } });
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "schema": { "openAPIV3Schema": schema },
            "subresources": { "status": {} },
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "things.example.com" },
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": { "plural": "things", "kind": "Thing" },
            "versions": [version("v1", true), version("v2", false)],
        },
    })
}

fn kinds(list_type: &Value) -> Vec<Kind> {
    let kinds = custom_kinds(&definition(list_type)).unwrap();
    kinds.into_iter().map(|kind| Kind::Custom(std::sync::Arc::new(kind))).collect()
}

fn keyed() -> Value {
    json!({ "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["host", "port"] })
}

fn thing(version: &str, spec: &Value) -> Value {
    json!({ "apiVersion": format!("example.com/{version}"), "kind": "Thing", "metadata": { "name": "t" }, "spec": spec })
}

#[test]
fn list_types_of_a_definition() {
    let kinds = kinds(&keyed());
    let kind = &kinds[0];
    let one = thing(
        "v1",
        &json!({
            "tags": ["a", "b"], "plain": ["x"], "whole": { "k": "v" },
            "ends": [{ "host": "h", "note": "n" }], "free": { "deep": { "list": [1], "x": 1 } },
        }),
    );
    let live = applied_by(kind, None, &one, "one", Force::No).unwrap();
    assert_eq!(
        fields(&live, "one"),
        json!({ "f:spec": {
            "f:tags": { r#"v:"a""#: {}, r#"v:"b""#: {} },
            "f:plain": {},
            "f:whole": {},
            "f:ends": { r#"k:{"host":"h","port":80}"#: { ".": {}, "f:host": {}, "f:note": {} } },
            "f:free": { "f:deep": { ".": {}, "f:list": {}, "f:x": {} } },
        } })
    );
    let two =
        thing("v1", &json!({ "tags": ["c"], "ends": [{ "host": "h", "port": 81 }], "free": { "y": 1 } }));
    let both = apply(kind, &live, &two, "two").unwrap();
    assert_eq!(both["spec"]["tags"], json!(["a", "b", "c"]));
    assert_eq!(both["spec"]["ends"].as_array().unwrap().len(), 2);
    let less = apply(kind, &both, &thing("v1", &json!({ "tags": ["b"] })), "one").unwrap();
    assert_eq!(
        less["spec"],
        json!({ "tags": ["b", "c"], "ends": [{ "host": "h", "port": 81 }], "free": { "y": 1 } })
    );
    let error = apply(kind, &live, &thing("v1", &json!({ "odd": 1 })), "one").unwrap_err();
    assert!(error.message.ends_with(".spec.odd: field not declared in schema"), "{}", error.message);
    let error = apply(kind, &live, &thing("v1", &json!({ "tags": ["a", "a"] })), "one").unwrap_err();
    assert!(error.message.ends_with(".spec.tags: duplicate entries for key [=\"a\"]"), "{}", error.message);
}

#[test]
fn a_list_that_became_atomic_is_owned_as_a_whole() {
    let (granular, atomic) = (kinds(&keyed()), kinds(&json!({})));
    let config = thing("v1", &json!({ "ends": [{ "host": "h" }] }));
    let live = applied_by(&granular[0], None, &config, "one", Force::No).unwrap();
    let other = thing("v1", &json!({ "ends": [{ "host": "i" }] }));
    let error = apply(&atomic[0], &live, &other, "two").unwrap_err();
    assert!(error.message.ends_with("conflict with \"one\": .spec.ends"), "{}", error.message);
    let same = apply(&atomic[0], &live, &config, "one").unwrap();
    assert_eq!(fields(&same, "one"), json!({ "f:spec": { "f:ends": {} } }));
}

#[test]
fn versions_differ_in_their_label_only() {
    let kinds = kinds(&keyed());
    let (v1, v2) = (&kinds[0], &kinds[1]);
    let live =
        applied_by(v1, None, &thing("v1", &json!({ "size": 1, "tags": ["a"] })), "one", Force::No).unwrap();
    let mut as_v2 = live;
    as_v2["apiVersion"] = json!("example.com/v2");
    let siblings = [v1.clone()];
    let apply = |manager, config: &Value| {
        Tracker::new(v2, &siblings, writer(manager, 7)).apply(Some(&as_v2), config, Force::No)
    };
    let error = apply("two", &thing("v2", &json!({ "size": 2 }))).unwrap_err();
    assert!(error.message.ends_with("conflict with \"one\": .spec.size"), "{}", error.message);
    // The same applier in the other version: one entry, and what is left out goes.
    let moved = apply("one", &thing("v2", &json!({ "size": 2 }))).unwrap();
    assert_eq!(moved["spec"], json!({ "size": 2 }));
    assert_eq!(entries(&moved).len(), 1);
    assert_eq!(entries(&moved)[0]["apiVersion"], "example.com/v2");
    // A version that is not served any more takes its owners along.
    let gone = Tracker::new(v2, &[], writer("two", 7));
    let taken = gone.apply(Some(&as_v2), &thing("v2", &json!({ "size": 2 })), Force::No);
    assert_eq!(fields(&taken.unwrap(), "one"), Value::Null);
}
