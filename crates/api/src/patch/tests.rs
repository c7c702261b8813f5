//! Each directive by a table, patches as kubectl apply sends them, and properties of all three patches.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::catalogue::Gvk;

const DEPLOYMENT: Gvk = Gvk::fixed("apps", "v1", "Deployment");
const POD: Gvk = Gvk::fixed("", "v1", "Pod");
const SERVICE: Gvk = Gvk::fixed("", "v1", "Service");
const NODE: Gvk = Gvk::fixed("", "v1", "Node");

#[allow(clippy::needless_pass_by_value, reason = "reads better in the tables")]
fn pod(spec: Value) -> Value {
    json!({ "spec": spec })
}

/// (what is shown, kind, original, patch, result)
fn cases() -> Vec<(&'static str, Gvk, Value, Value, Value)> {
    let mut cases = object_cases();
    cases.extend(list_cases());
    cases.extend(directive_cases());
    cases.extend(order_cases());
    cases
}

fn object_cases() -> Vec<(&'static str, Gvk, Value, Value, Value)> {
    vec![
        (
            "objects merge, null deletes",
            POD,
            json!({ "metadata": { "labels": { "a": "1", "b": "2" } }, "spec": { "nodeName": "n" } }),
            json!({ "metadata": { "labels": { "b": null, "c": "3", "d": null } } }),
            json!({ "metadata": { "labels": { "a": "1", "c": "3" } }, "spec": { "nodeName": "n" } }),
        ),
        (
            "null inside something new leaves nothing",
            POD,
            json!({}),
            json!({ "spec": { "securityContext": { "runAsUser": null, "fsGroup": 1 }, "nodeName": null } }),
            json!({ "spec": { "securityContext": { "fsGroup": 1 } } }),
        ),
        (
            "a value of another type replaces",
            POD,
            json!({ "metadata": { "labels": "x" } }),
            json!({ "metadata": { "labels": { "a": "1" } } }),
            json!({ "metadata": { "labels": { "a": "1" } } }),
        ),
        (
            "$patch: replace of an object",
            POD,
            pod(json!({ "securityContext": { "runAsUser": 1, "fsGroup": 2 } })),
            pod(json!({ "securityContext": { "$patch": "replace", "fsGroup": 3 } })),
            pod(json!({ "securityContext": { "fsGroup": 3 } })),
        ),
        (
            "$patch: delete of an object empties it",
            POD,
            pod(json!({ "securityContext": { "runAsUser": 1 } })),
            pod(json!({ "securityContext": { "$patch": "delete" } })),
            pod(json!({ "securityContext": {} })),
        ),
        (
            "an object that says how to patch what is not there is none",
            POD,
            pod(json!({ "hostname": "a" })),
            pod(
                json!({ "securityContext": { "$patch": "replace", "fsGroup": 2 }, "affinity": { "$patch": "odd" } }),
            ),
            pod(json!({ "hostname": "a" })),
        ),
    ]
}

fn list_cases() -> Vec<(&'static str, Gvk, Value, Value, Value)> {
    vec![
        (
            "containers merge by name and keep their place",
            POD,
            pod(
                json!({ "containers": [{ "name": "a", "image": "a:1" }, { "name": "b", "image": "b:1", "args": ["x"] }] }),
            ),
            pod(json!({ "containers": [{ "name": "b", "image": "b:2" }] })),
            pod(
                json!({ "containers": [{ "name": "a", "image": "a:1" }, { "name": "b", "image": "b:2", "args": ["x"] }] }),
            ),
        ),
        (
            "new items come before what the server keeps",
            POD,
            pod(json!({ "containers": [{ "name": "a" }] })),
            pod(json!({ "containers": [{ "name": "c", "image": "c:1", "args": null }] })),
            pod(json!({ "containers": [{ "name": "c", "image": "c:1" }, { "name": "a" }] })),
        ),
        (
            "lists without strategy are replaced",
            POD,
            pod(json!({ "containers": [{ "name": "a", "args": ["1", "2"] }] })),
            pod(json!({ "containers": [{ "name": "a", "args": ["3"] }] })),
            pod(json!({ "containers": [{ "name": "a", "args": ["3"] }] })),
        ),
        (
            "env inside containers merges by name, ports by containerPort",
            POD,
            pod(json!({ "containers": [{ "name": "a", "env": [{ "name": "X", "value": "1" }],
                "ports": [{ "containerPort": 80, "name": "http" }] }] })),
            pod(json!({ "containers": [{ "name": "a", "env": [{ "name": "X", "value": "2" }],
                "ports": [{ "containerPort": 80, "protocol": "TCP" }] }] })),
            pod(json!({ "containers": [{ "name": "a", "env": [{ "name": "X", "value": "2" }],
                "ports": [{ "containerPort": 80, "name": "http", "protocol": "TCP" }] }] })),
        ),
        (
            "service ports merge by port",
            SERVICE,
            pod(json!({ "ports": [{ "port": 80, "nodePort": 30_000 }, { "port": 443 }] })),
            pod(json!({ "ports": [{ "port": 80, "targetPort": "http" }] })),
            pod(
                json!({ "ports": [{ "port": 80, "nodePort": 30_000, "targetPort": "http" }, { "port": 443 }] }),
            ),
        ),
        (
            "primitive lists are united",
            POD,
            json!({ "metadata": { "finalizers": ["a/1", "b/2"] } }),
            json!({ "metadata": { "finalizers": ["c/3", "a/1"] } }),
            json!({ "metadata": { "finalizers": ["c/3", "a/1", "b/2"] } }),
        ),
        (
            "taints have no strategy and are replaced",
            NODE,
            pod(json!({ "taints": [{ "key": "a", "effect": "NoSchedule" }] })),
            pod(json!({ "taints": [{ "key": "b", "effect": "NoExecute" }] })),
            pod(json!({ "taints": [{ "key": "b", "effect": "NoExecute" }] })),
        ),
        (
            "conditions merge by type",
            NODE,
            json!({ "status": { "conditions": [{ "type": "Ready", "status": "False", "reason": "x" }, { "type": "M" }] } }),
            json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } }),
            json!({ "status": { "conditions": [{ "type": "Ready", "status": "True", "reason": "x" }, { "type": "M" }] } }),
        ),
    ]
}

fn directive_cases() -> Vec<(&'static str, Gvk, Value, Value, Value)> {
    vec![
        (
            "$patch: delete of a list item",
            POD,
            pod(json!({ "containers": [{ "name": "a" }, { "name": "b" }] })),
            pod(
                json!({ "containers": [{ "name": "a", "$patch": "delete" }, { "name": "gone", "$patch": "delete" }] }),
            ),
            pod(json!({ "containers": [{ "name": "b" }] })),
        ),
        (
            "$patch: replace of a list",
            POD,
            pod(json!({ "containers": [{ "name": "a" }, { "name": "b" }] })),
            pod(json!({ "containers": [{ "name": "c", "image": null }, { "$patch": "replace" }] })),
            pod(json!({ "containers": [{ "name": "c" }] })),
        ),
        (
            "$deleteFromPrimitiveList",
            POD,
            json!({ "metadata": { "finalizers": ["a/1", "b/2", "c/3"] } }),
            json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["b/2", "z/9"] } }),
            json!({ "metadata": { "finalizers": ["a/1", "c/3"] } }),
        ),
        (
            "$deleteFromPrimitiveList of what is not there",
            POD,
            json!({ "metadata": {} }),
            json!({ "metadata": { "$deleteFromPrimitiveList/finalizers": ["b/2"] } }),
            json!({ "metadata": {} }),
        ),
    ]
}

fn order_cases() -> Vec<(&'static str, Gvk, Value, Value, Value)> {
    vec![
        (
            "$setElementOrder reorders without other changes",
            POD,
            pod(json!({ "containers": [{ "name": "a" }, { "name": "b" }, { "name": "c" }] })),
            pod(json!({ "$setElementOrder/containers": [{ "name": "c" }, { "name": "a" }] })),
            pod(json!({ "containers": [{ "name": "b" }, { "name": "c" }, { "name": "a" }] })),
        ),
        (
            "$setElementOrder with a change and an item of the server",
            POD,
            pod(json!({ "containers": [{ "name": "sidecar" }, { "name": "a", "image": "1" }] })),
            pod(json!({ "$setElementOrder/containers": [{ "name": "a" }, { "name": "b" }],
                "containers": [{ "name": "a", "image": "2" }, { "name": "b", "image": "1" }] })),
            pod(
                json!({ "containers": [{ "name": "sidecar" }, { "name": "a", "image": "2" }, { "name": "b", "image": "1" }] }),
            ),
        ),
        (
            "$setElementOrder of a new list leaves no directive",
            POD,
            json!({}),
            pod(json!({ "$setElementOrder/containers": [{ "name": "a" }],
                "containers": [{ "name": "a", "$setElementOrder/env": [{ "name": "X" }], "env": [{ "name": "X", "value": "1" }] },
                    { "name": "b", "$patch": "delete" }] })),
            pod(json!({ "containers": [{ "name": "a", "env": [{ "name": "X", "value": "1" }] }] })),
        ),
        (
            "$setElementOrder of primitives",
            POD,
            json!({ "metadata": { "finalizers": ["a/1", "b/2"] } }),
            json!({ "metadata": { "$setElementOrder/finalizers": ["b/2", "c/3"], "finalizers": ["c/3"],
                "$deleteFromPrimitiveList/finalizers": ["a/1"] } }),
            json!({ "metadata": { "finalizers": ["b/2", "c/3"] } }),
        ),
        (
            "$retainKeys clears the other member of a union",
            DEPLOYMENT,
            pod(json!({ "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxSurge": 1 } } })),
            pod(json!({ "strategy": { "$retainKeys": ["type"], "type": "Recreate" } })),
            pod(json!({ "strategy": { "type": "Recreate" } })),
        ),
        (
            "$retainKeys in volumes",
            POD,
            pod(json!({ "volumes": [{ "name": "v", "emptyDir": {} }, { "name": "w", "emptyDir": {} }] })),
            pod(
                json!({ "volumes": [{ "name": "v", "$retainKeys": ["name", "configMap"], "configMap": { "name": "c" } }] }),
            ),
            pod(
                json!({ "volumes": [{ "name": "v", "configMap": { "name": "c" } }, { "name": "w", "emptyDir": {} }] }),
            ),
        ),
    ]
}

#[test]
fn strategic_merge_by_table() {
    for (name, gvk, original, patch, expected) in cases() {
        let merged = strategic_merge(&gvk, &original, &patch).unwrap();
        assert_eq!(merged, expected, "{name}");
    }
}

#[test]
fn kubectl_apply_of_a_deployment() {
    let live = json!({
        "metadata": { "name": "web", "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "old" } },
        "spec": { "replicas": 5, "template": { "spec": { "restartPolicy": "Always", "containers": [
            { "name": "web", "image": "web:1", "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }],
              "ports": [{ "containerPort": 80, "protocol": "TCP" }], "terminationMessagePath": "/dev/termination-log" },
            { "name": "injected", "image": "proxy:1" },
        ], "volumes": [{ "name": "tmp", "emptyDir": {} }, { "name": "injected", "emptyDir": {} }] } } },
    });
    let patch = json!({
        "metadata": { "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "new" } },
        "spec": { "template": { "spec": {
            "$setElementOrder/containers": [{ "name": "web" }],
            "containers": [{ "name": "web", "image": "web:2", "$setElementOrder/env": [{ "name": "C" }, { "name": "A" }],
                "env": [{ "name": "C", "value": "3" }, { "$patch": "delete", "name": "B" }],
                "$setElementOrder/ports": [{ "containerPort": 8080 }],
                "ports": [{ "containerPort": 8080 }, { "$patch": "delete", "containerPort": 80 }] }],
            "$setElementOrder/volumes": [{ "name": "tmp" }],
            "volumes": [{ "$retainKeys": ["configMap", "name"], "configMap": { "name": "c" }, "emptyDir": null, "name": "tmp" }],
        } } },
    });
    let merged = strategic_merge(&DEPLOYMENT, &live, &patch).unwrap();
    let expected = json!({
        "metadata": { "name": "web", "annotations": { "kubectl.kubernetes.io/last-applied-configuration": "new" } },
        "spec": { "replicas": 5, "template": { "spec": { "restartPolicy": "Always", "containers": [
            { "name": "web", "image": "web:2", "env": [{ "name": "C", "value": "3" }, { "name": "A", "value": "1" }],
              "ports": [{ "containerPort": 8080 }], "terminationMessagePath": "/dev/termination-log" },
            { "name": "injected", "image": "proxy:1" },
        ], "volumes": [{ "name": "tmp", "configMap": { "name": "c" } }, { "name": "injected", "emptyDir": {} }] } } },
    });
    assert_eq!(merged, expected);
}

#[test]
#[allow(clippy::too_many_lines, reason = "a flat table")]
fn bad_strategic_patches_are_refused() {
    let mut doc =
        pod(json!({ "containers": [{ "name": "a" }], "volumes": [{ "name": "v", "emptyDir": {} }] }));
    doc["metadata"] = json!({ "finalizers": ["x"] });
    for (patch, code, message) in [
        (json!([]), 400, "the patch is not a JSON object"),
        (
            json!({ "spec": { "$patch": "explode" } }),
            500,
            "unknown patch type: explode in map: map[$patch:explode]",
        ),
        (
            json!({ "spec": { "$patch": "merge" } }),
            500,
            "unknown patch type: merge in map: map[$patch:merge]",
        ),
        (json!({ "spec": { "$patch": 1 } }), 500, "unknown patch type: %!s(int64=1) in map: map[$patch:1]"),
        (
            json!({ "spec": { "containers": [{ "image": "x" }] } }),
            500,
            "map: map[image:x] does not contain declared merge key: name",
        ),
        (
            json!({ "spec": { "containers": ["x"] } }),
            500,
            "list element types are not identical: [[map[name:a]] [x]]",
        ),
        (
            json!({ "spec": { "containers": [["x"]] } }),
            500,
            "list element types are not identical: [[map[name:a]] [[x]]]",
        ),
        (
            json!({ "spec": { "containers": [{ "name": "a", "$patch": "upsert" }] } }),
            500,
            "unknown patch type: upsert in map: map[$patch:upsert name:a]",
        ),
        (
            json!({ "spec": { "containers": [{ "name": "a", "$patch": "merge" }] } }),
            500,
            "merging lists cannot yet be specified in the patch",
        ),
        (
            json!({ "metadata": { "finalizers": [{}] } }),
            500,
            "list element types are not identical: [[x] [map[]]]",
        ),
        (
            json!({ "spec": { "$setElementOrder/containers": {} } }),
            500,
            "expected a []interface {}, but received a map[string]interface {}",
        ),
        (json!({ "spec": { "$setElementOrder/containers": ["a"] } }), 500, "value for key 0 is not a map"),
        (
            json!({ "spec": { "$setElementOrder/containers": [{ "x": "a" }] } }),
            500,
            "map: map[x:a] does not contain declared merge key: name",
        ),
        (
            json!({ "spec": { "$setElementOrder/containers": [{ "name": "b" }], "containers": [{ "name": "a" }] } }),
            500,
            "The order in patch list:\n[map[name:a]]\n doesn't match $setElementOrder list:\n[map[name:b]]\n",
        ),
        (
            json!({ "spec": { "$setElementOrder/x": [] } }),
            500,
            "unable to find api field in struct PodSpec for the json field \"x\"",
        ),
        (
            json!({ "spec": { "volumes": [{ "name": "v", "$retainKeys": ["name"], "hostPath": {} }] } }),
            400,
            "invalid patch format of retainKeys",
        ),
        (json!({ "spec": { "$retainKeys": "name" } }), 400, "invalid patch format of retainKeys"),
    ] {
        let error = strategic_merge(&POD, &doc, &patch).expect_err(&patch.to_string());
        assert_eq!((error.code, error.message.as_str()), (code, message), "{patch}");
    }
    let custom = Gvk::fixed("konzert.dev", "v1alpha1", "PatchCampaign");
    assert_eq!(strategic_merge(&custom, &doc, &json!({})).unwrap_err().code, 415);
}

#[test]
fn json_patches_apply_or_say_why() {
    let doc = json!({ "spec": { "replicas": 1, "list": [1, 2] } });
    let patch = json!([
        { "op": "test", "path": "/spec/replicas", "value": 1 },
        { "op": "replace", "path": "/spec/replicas", "value": 2 },
        { "op": "add", "path": "/spec/list/-", "value": 3 },
        { "op": "copy", "from": "/spec/list", "path": "/spec/copy" },
        { "op": "move", "from": "/spec/list/0", "path": "/first" },
        { "op": "remove", "path": "/spec/list/0" },
    ]);
    let expected = json!({ "spec": { "replicas": 2, "list": [3], "copy": [1, 2, 3] }, "first": 1 });
    assert_eq!(json_patch(&doc, &patch).unwrap(), expected);
    let added = json_patch(&doc, &json!([{ "op": "replace", "path": "/spec/none", "value": 1 }])).unwrap();
    assert_eq!(added["spec"]["none"], 1);
    assert_eq!(json_patch(&doc, &Value::Null).unwrap(), doc);
    let many: Vec<Value> =
        vec![json!({ "op": "test", "path": "", "value": 1 }); MAX_JSON_PATCH_OPERATIONS + 1];
    for (patch, code, words) in [
        (json!({}), 400, "cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        (json!([1]), 400, "cannot unmarshal number"),
        (json!([{ "op": "jump", "path": "/a" }]), 422, "rejected"),
        (json!([{ "op": "add", "path": "no-slash", "value": 1 }]), 422, "rejected"),
        (json!([{ "op": "add", "path": "", "value": {} }]), 422, "rejected"),
        (json!([null]), 422, "rejected"),
        (
            json!([{ "op": "add", "path": 7, "value": 1 }]),
            400,
            "cannot unmarshal number into Go struct field jsonPatchOp.path",
        ),
        (json!([{ "op": "remove", "path": "/spec/list/-" }]), 422, "rejected"),
        (json!([{ "op": "remove", "path": "/spec/list/-3" }]), 422, "rejected"),
        (json!([{ "op": "replace", "path": "", "value": 1 }]), 422, "rejected"),
        (json!([{ "op": "test", "path": "/spec/list/9", "value": null }]), 422, "rejected"),
        (json!([{ "op": "move", "from": "/spec/none", "path": "/a" }]), 422, "rejected"),
        (json!([{ "op": "test", "path": "/spec/replicas", "value": 7 }]), 422, "rejected"),
        (json!([{ "op": "remove", "path": "/spec/none" }]), 422, "rejected"),
        (json!([{ "op": "replace", "path": "/none/at/all", "value": 1 }]), 422, "rejected"),
        (json!([{ "op": "add", "path": "/spec/list/9", "value": 1 }]), 422, "rejected"),
        (Value::Array(many), 413, "10000, got 10001"),
    ] {
        let error = json_patch(&doc, &patch).unwrap_err();
        assert_eq!(error.code, code, "{}", error.message);
        assert!(error.message.contains(words), "{:?} has no {words:?}", error.message);
    }
}

#[test]
fn copies_cannot_grow_without_bound() {
    let doc = json!({ "a": { "t": "x".repeat(1000) } });
    let to = |path: &str| json!({ "op": "copy", "from": "/a", "path": path });
    let double: Vec<Value> = (0..32).map(|at| to(if at % 2 == 0 { "/a/b" } else { "/a/c" })).collect();
    assert!(json_patch(&doc, &Value::Array(double)).is_err_and(|error| error.code == 413));
    let deep = vec![to("/a/b"); 300];
    assert!(json_patch(&json!({ "a": {} }), &Value::Array(deep)).is_err_and(|error| error.code == 400));
}

/// As clients of Kubernetes have come to use it, beyond the RFC.
#[test]
fn json_patches_take_the_liberties_of_kubernetes() {
    let doc = json!({ "l": [1, 2], "m": { "a/b": 1, "c~d": 2 } });
    for (operation, expected) in [
        (json!({ "op": "add", "path": "/l/-1", "value": 3 }), json!({ "l": [1, 2, 3] })),
        (json!({ "op": "add", "path": "/l/01", "value": 3 }), json!({ "l": [1, 3, 2] })),
        (json!({ "op": "remove", "path": "/l/-1" }), json!({ "l": [1] })),
        (json!({ "op": "replace", "path": "/l/+1", "value": 3 }), json!({ "l": [1, 3] })),
        (json!({ "op": "add", "path": "/m/x" }), json!({ "m": { "a/b": 1, "c~d": 2, "x": null } })),
        (
            json!({ "op": "copy", "from": "/m/none", "path": "/m/x" }),
            json!({ "m": { "a/b": 1, "c~d": 2, "x": null } }),
        ),
        (json!({ "op": "remove", "path": "/m/a~1b" }), json!({ "m": { "c~d": 2 } })),
        (json!({ "op": "remove", "path": "/m/c~0d" }), json!({ "m": { "a/b": 1 } })),
        (
            json!({ "op": "add", "path": "/m/~2", "value": 1 }),
            json!({ "m": { "a/b": 1, "c~d": 2, "~2": 1 } }),
        ),
        (
            json!({ "op": "replace", "path": "", "value": { "x": 1 } }),
            json!({ "l": null, "m": null, "x": 1 }),
        ),
    ] {
        let patched = json_patch(&doc, &json!([operation])).unwrap();
        let mut wanted = doc.as_object().unwrap().clone();
        wanted.extend(expected.as_object().unwrap().clone());
        wanted.retain(|_, member| !member.is_null());
        let wanted = Value::Object(wanted);
        assert_eq!(patched, wanted, "{operation}");
    }
    let strange = unknown_operation_fields(&json!([{ "op": "add", "foo": 1 }, { "Path": 1 }, 7]));
    assert_eq!(strange, ["unknown field \"[0].foo\"", "unknown field \"[1].Path\""]);
}

#[test]
fn floats_without_a_fraction_are_integers() {
    let mut value = json!({ "a": [1.0, 1.5, -2.0, 1e30], "b": 7 });
    whole_numbers(&mut value);
    assert_eq!(value, json!({ "a": [1, 1.5, -2, 1e30], "b": 7 }));
}

#[test]
fn merge_patches_follow_the_examples_of_the_rfc() {
    for (doc, patch, expected) in [
        (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "b" }), json!({ "a": null }), json!({})),
        (json!({ "a": [1] }), json!({ "a": [2, 3] }), json!({ "a": [2, 3] })),
        (json!({ "a": { "b": "c" } }), json!({ "a": { "b": "d", "c": null } }), json!({ "a": { "b": "d" } })),
        (json!({}), json!({ "a": { "bb": { "ccc": null } } }), json!({ "a": { "bb": {} } })),
        (json!({ "e": null }), json!({ "a": 1 }), json!({ "e": null, "a": 1 })),
        (json!([1]), json!({ "a": 1 }), json!({ "a": 1 })),
    ] {
        assert_eq!(merge_patch(&doc, &patch), expected);
    }
    assert_eq!(merge_patch_object(&json!({}), &json!([])).unwrap_err().code, 400);
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(str::to_owned)
}

/// Containers with distinct names, as valid objects and plain patches have them.
fn containers() -> impl Strategy<Value = Value> {
    let env = prop::collection::btree_map(name(), "[0-9]", 0..3).prop_map(|map| {
        map.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect::<Value>()
    });
    let container =
        (prop::option::of("[a-z]:[0-9]"), env, prop::option::of(prop::collection::vec("[a-z]", 0..3)));
    prop::collection::btree_map(name(), container, 0..4).prop_shuffle_values()
}

/// Shuffles the entries, so that the order of a patch is not always that of the names.
trait ShuffleValues {
    fn prop_shuffle_values(self) -> BoxedStrategy<Value>;
}

impl<S> ShuffleValues for S
where
    S: Strategy<Value = std::collections::BTreeMap<String, (Option<String>, Value, Option<Vec<String>>)>>
        + 'static,
{
    fn prop_shuffle_values(self) -> BoxedStrategy<Value> {
        let items = self.prop_map(|map| {
            map.into_iter()
                .map(|(name, (image, env, args))| {
                    let mut container = json!({ "name": name, "env": env });
                    if let Some(image) = image {
                        container["image"] = json!(image);
                    }
                    if let Some(args) = args {
                        container["args"] = json!(args);
                    }
                    container
                })
                .collect::<Vec<Value>>()
        });
        items.prop_shuffle().prop_map(Value::Array).boxed()
    }
}

proptest! {
    #[test]
    fn plain_strategic_patches_are_idempotent(before in containers(), patch in containers()) {
        let (doc, patch) = (pod(json!({ "containers": before })), pod(json!({ "containers": patch })));
        let once = strategic_merge(&POD, &doc, &patch).unwrap();
        prop_assert_eq!(&strategic_merge(&POD, &once, &patch).unwrap(), &once);
    }

    #[test]
    fn merged_lists_hold_every_key_once(before in containers(), patch in containers()) {
        let names = |list: &Value| -> std::collections::BTreeSet<String> {
            list.as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap().to_owned()).collect()
        };
        let expected: std::collections::BTreeSet<String> = names(&before).union(&names(&patch)).cloned().collect();
        let (doc, change) = (pod(json!({ "containers": before })), pod(json!({ "containers": patch })));
        let merged = strategic_merge(&POD, &doc, &change).unwrap();
        let list = &merged["spec"]["containers"];
        prop_assert_eq!(names(list), expected.clone());
        prop_assert_eq!(list.as_array().unwrap().len(), expected.len());
    }

    #[test]
    fn set_element_order_wins(before in containers(), patch in containers()) {
        let order: Vec<Value> = patch.as_array().unwrap().iter().map(|item| json!({ "name": item["name"] })).collect();
        let doc = pod(json!({ "containers": before }));
        let change = pod(json!({ "$setElementOrder/containers": order, "containers": patch }));
        let merged = strategic_merge(&POD, &doc, &change).unwrap();
        let empty = Vec::new();
        let found = merged["spec"]["containers"].as_array().unwrap_or(&empty).iter().map(|item| json!({ "name": item["name"] }));
        let found: Vec<Value> = found.filter(|item| order.contains(item)).collect();
        prop_assert_eq!(found, order);
    }

    #[test]
    fn merge_patch_is_idempotent(before in containers(), patch in containers()) {
        let (doc, patch) = (pod(json!({ "a": before })), pod(json!({ "a": patch, "b": null })));
        let once = merge_patch(&doc, &patch);
        prop_assert_eq!(&merge_patch(&once, &patch), &once);
    }
}

#[test]
fn a_member_that_is_not_there_is_null_to_a_test() {
    let object = json!({ "metadata": { "name": "a" } });
    let patch = json!([
        { "op": "test", "path": "/metadata/finalizers", "value": null },
        { "op": "add", "path": "/metadata/finalizers", "value": ["x/y"] },
    ]);
    let patched = json!({ "metadata": { "name": "a", "finalizers": ["x/y"] } });
    assert_eq!(json_patch(&object, &patch).unwrap(), patched);
    assert_eq!(json_patch(&patched, &patch).unwrap_err().code, 422, "somebody was faster");
    let nowhere = json!([{ "op": "test", "path": "/nothing/here", "value": null }]);
    assert_eq!(json_patch(&object, &nowhere).unwrap_err().code, 422);
}
