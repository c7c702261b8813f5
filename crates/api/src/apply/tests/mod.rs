//! Tests of server-side apply: tables here, properties in [`properties`].

mod custom;
mod properties;
mod updates;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::{ApiError, Catalogue, Kind};

/// A second per call of `at`.
fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn kind(group: &str, plural: &str) -> Kind {
    Catalogue::builtin().by_resource(group, "v1", plural).unwrap()
}

fn writer(manager: &str, second: i64) -> Writer<'_> {
    Writer { manager, subresource: "", reset: Reset::Status, now: at(second) }
}

/// What the server does with an object beside ownership: defaults.
fn served(kind: &Kind, mut object: Value) -> Value {
    kind.default(&mut object);
    object
}

fn applied_by(
    kind: &Kind,
    live: Option<&Value>,
    config: &Value,
    manager: &str,
    force: Force,
) -> Result<Value, ApiError> {
    let tracker = Tracker::new(kind, &[], writer(manager, 1));
    let mut object = served(kind, tracker.apply(live, config, force)?);
    crate::meta::set(&mut object, "uid", "u");
    Ok(object)
}

fn apply(kind: &Kind, live: &Value, config: &Value, manager: &str) -> Result<Value, ApiError> {
    applied_by(kind, Some(live), config, manager, Force::No)
}

fn created(kind: &Kind, object: &Value, manager: &str) -> Value {
    let mut object = served(kind, object.clone());
    Tracker::new(kind, &[], writer(manager, 0)).update(&json!({}), &mut object);
    crate::meta::set(&mut object, "uid", "u");
    object
}

fn updated(kind: &Kind, live: &Value, new: &Value, manager: &str, second: i64) -> Value {
    let mut new = served(kind, new.clone());
    Tracker::new(kind, &[], writer(manager, second)).update(live, &mut new);
    new
}

/// The field set of a manager, `null` when it has none.
fn fields(object: &Value, manager: &str) -> Value {
    entries(object)
        .into_iter()
        .find(|e| e["manager"] == manager)
        .map_or(Value::Null, |e| e["fieldsV1"].clone())
}

fn entries(object: &Value) -> Vec<Value> {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn deployment(replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "default" },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{ "name": "main", "image": "a:1" }] },
            },
        },
    })
}

fn config_map(data: &Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "c" }, "data": data })
}

#[test]
fn path_elements_round_trip() {
    let table = [
        ("f:spec", ".spec"),
        ("f:a:b", ".a:b"),
        (r#"k:{"containerPort":80,"protocol":"TCP"}"#, r#"[containerPort=80,protocol="TCP"]"#),
        (r#"v:"x""#, r#"[="x"]"#),
        ("v:true", "[=true]"),
        ("v:1.5", "[=1.5]"),
        ("i:3", "[3]"),
    ];
    for (text, shown) in table {
        let element = PathElement::decode(text).unwrap().unwrap();
        assert_eq!(element.encode(), text);
        assert_eq!(element.to_string(), shown);
    }
    assert_eq!(PathElement::decode("x:future").unwrap(), None);
    for wrong in ["spec", "", "k:[]", "k:{", "v:{}", "i:x", r#"k:{"a":{}}"#] {
        assert!(PathElement::decode(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn hostile_field_sets_are_refused() {
    let mut deep = json!({});
    for _ in 0..200 {
        deep = json!({ "f:x": deep });
    }
    assert_eq!(FieldSet::from_fields_v1(&deep), Err(FieldSetError::TooDeep));
    assert_eq!(FieldSet::from_fields_v1(&json!([])), Err(FieldSetError::NotAnObject));
    assert_eq!(FieldSet::from_fields_v1(&json!({ "f:a": 1 })), Err(FieldSetError::NotAnObject));
    assert!(FieldSet::from_fields_v1(&json!({ "bad": {} })).is_err());
}

#[test]
fn an_apply_owns_what_it_names_and_not_the_defaults() {
    let kind = kind("apps", "deployments");
    let object = applied_by(&kind, None, &deployment(2), "kubectl", Force::No).unwrap();
    assert_eq!(object["spec"]["strategy"]["type"], "RollingUpdate");
    assert_eq!(
        entries(&object),
        [json!({
            "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "manager": "kubectl", "operation": "Apply",
            "time": "2023-11-14T22:13:21Z",
            "fieldsV1": { "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {
                    "f:metadata": { "f:labels": { "f:app": {} } },
                    "f:spec": { "f:containers": { r#"k:{"name":"main"}"#: {
                        ".": {}, "f:name": {}, "f:image": {},
                    } } },
                },
            } },
        })]
    );
}

#[test]
fn a_field_of_somebody_else_is_a_conflict() {
    let kind = kind("apps", "deployments");
    let live = created(&kind, &deployment(2), "kubectl-client-side-apply");
    let error = apply(&kind, &live, &deployment(3), "other").unwrap_err();
    assert_eq!((error.code, error.reason), (409, "Conflict"));
    assert_eq!(
        error.message,
        "Apply failed with 1 conflict: conflict with \"kubectl-client-side-apply\" using apps/v1: .spec.replicas"
    );
    assert_eq!(
        error.details.unwrap(),
        json!({ "causes": [{
            "reason": "FieldManagerConflict",
            "message": "conflict with \"kubectl-client-side-apply\" using apps/v1",
            "field": ".spec.replicas",
        }] })
    );
    let forced = applied_by(&kind, Some(&live), &deployment(3), "other", Force::Yes).unwrap();
    assert_eq!(forced["spec"]["replicas"], 3);
    assert!(fields(&forced, "kubectl-client-side-apply")["f:spec"].get("f:replicas").is_none());
    assert!(fields(&forced, "kubectl-client-side-apply")["f:spec"].get("f:selector").is_some());
    assert_eq!(fields(&forced, "other")["f:spec"]["f:replicas"], json!({}));
}

#[test]
fn several_conflicts_are_listed_by_manager() {
    let kind = kind("", "configmaps");
    let live = apply(
        &kind,
        &created(&kind, &config_map(&json!({ "x": "1", "y": "1" })), "z"),
        &config_map(&json!({ "w": "1" })),
        "b",
    )
    .unwrap();
    let error = apply(&kind, &live, &config_map(&json!({ "w": "2", "x": "2", "y": "2" })), "c").unwrap_err();
    assert_eq!(
        error.message,
        "Apply failed with 3 conflicts: conflicts with \"b\":\n- .data.w\nconflicts with \"z\" using v1:\n- .data.x\n- .data.y"
    );
}

#[test]
fn what_is_not_applied_any_more_goes_unless_somebody_else_owns_it() {
    let kind = kind("", "configmaps");
    let first =
        applied_by(&kind, None, &config_map(&json!({ "a": "1", "b": "1" })), "one", Force::No).unwrap();
    let shared = apply(&kind, &first, &config_map(&json!({ "b": "1", "c": "1" })), "two").unwrap();
    assert_eq!(shared["data"], json!({ "a": "1", "b": "1", "c": "1" }));
    let less = apply(&kind, &shared, &config_map(&json!({})), "one").unwrap();
    assert_eq!(less["data"], json!({ "b": "1", "c": "1" }));
    assert_eq!(fields(&less, "one"), json!({ "f:data": {} }));
    let none = apply(&kind, &less, &json!({ "apiVersion": "v1", "kind": "ConfigMap" }), "two").unwrap();
    assert!(none.get("data").is_none(), "{none}");
    assert_eq!(fields(&none, "two"), Value::Null);
    assert_eq!(none["metadata"]["name"], "c");
    assert_eq!(none["metadata"]["uid"], "u");
}

#[test]
fn items_of_lists_and_sets_go_with_their_owner() {
    let kind = kind("apps", "deployments");
    let with = |containers: Value, finalizers: Value| {
        let mut object = deployment(1);
        object["metadata"]["finalizers"] = finalizers;
        object["spec"]["template"]["spec"]["containers"] = containers;
        object
    };
    let main = json!({ "name": "main", "image": "a:1", "ports": [{ "containerPort": 80 }, { "containerPort": 81 }] });
    let side = json!({ "name": "side", "image": "s:1" });
    let first =
        applied_by(&kind, None, &with(json!([main, side]), json!(["a/x", "a/y"])), "one", Force::No).unwrap();
    let port = r#"k:{"containerPort":80,"protocol":"TCP"}"#;
    let main_fields =
        &fields(&first, "one")["f:spec"]["f:template"]["f:spec"]["f:containers"][r#"k:{"name":"main"}"#];
    assert_eq!(main_fields["f:ports"][port], json!({ ".": {}, "f:containerPort": {} }));
    let side_only = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "finalizers": ["b/z"] },
        "spec": { "template": { "spec": { "containers": [{ "name": "side", "tty": true }] } } },
    });
    let shared = apply(&kind, &first, &side_only, "two").unwrap();
    assert_eq!(shared["metadata"]["finalizers"], json!(["a/x", "a/y", "b/z"]));
    let main = json!({ "name": "main", "image": "a:1", "ports": [{ "containerPort": 81 }] });
    let less = apply(&kind, &shared, &with(json!([main]), json!(["a/y"])), "one").unwrap();
    assert_eq!(less["metadata"]["finalizers"], json!(["a/y", "b/z"]));
    let containers = less["spec"]["template"]["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers[0]["ports"], json!([{ "containerPort": 81, "protocol": "TCP" }]));
    assert_eq!(containers.len(), 2, "the other manager still owns the item");
    assert_eq!(containers[1]["tty"], true);
    assert!(containers[1].get("image").is_none(), "its image had one owner only: {}", containers[1]);
}

#[test]
fn atomic_parts_change_owner_as_a_whole() {
    let kind = kind("", "services");
    let service = |selector: Value| {
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" },
            "spec": { "selector": selector, "ports": [{ "port": 80 }] },
        })
    };
    let live = applied_by(&kind, None, &service(json!({ "a": "1" })), "one", Force::No).unwrap();
    let error = apply(&kind, &live, &service(json!({ "b": "1" })), "two").unwrap_err();
    assert!(error.message.ends_with("conflict with \"one\": .spec.selector"), "{}", error.message);
    let forced = applied_by(&kind, Some(&live), &service(json!({ "b": "1" })), "two", Force::Yes).unwrap();
    assert_eq!(forced["spec"]["selector"], json!({ "b": "1" }));
    assert_eq!(
        fields(&forced, "one")["f:spec"]["f:ports"],
        json!({ r#"k:{"port":80,"protocol":"TCP"}"#: { ".": {}, "f:port": {} } })
    );
}

#[test]
fn configurations_that_do_not_fit() {
    let kind = kind("apps", "deployments");
    let with = |pointer: &str, value: Value| {
        let mut object = deployment(1);
        *object.pointer_mut(pointer).unwrap() = value;
        object
    };
    let prefix = "failed to create typed patch object (default/web; apps/v1, Kind=Deployment): ";
    let table = [
        (with("/spec/replicas", json!("x")), ".spec.replicas: expected numeric (int or float), got string"),
        (with("/spec/selector", json!([])), ".spec.selector: expected map, got &{[]}"),
        (
            with("/spec/template/spec/containers", json!([{ "name": "a", "bar": 1 }])),
            ".spec.template.spec.containers[name=\"a\"].bar: field not declared in schema",
        ),
        (
            with("/spec/template/spec/containers", json!([{ "name": "a" }, { "name": "a" }])),
            ".spec.template.spec.containers: duplicate entries for key [name=\"a\"]",
        ),
        (
            with("/spec/template/spec/containers", json!([{ "image": "a" }, { "image": "b" }])),
            ".spec.template.spec.containers: duplicate entries for key [name=\"\"]",
        ),
    ];
    for (config, want) in table {
        let error = applied_by(&kind, None, &config, "one", Force::No).unwrap_err();
        assert_eq!((error.code, error.message), (500, format!("{prefix}{want}")));
    }
    let table = [
        (with("/kind", json!("Pod")), "invalid object type: apps/v1, Kind=Pod"),
        (json!({}), "invalid object type: /, Kind="),
        (with("/metadata", json!({ "managedFields": [] })), "metadata.managedFields must be nil"),
    ];
    for (config, want) in table {
        let error = applied_by(&kind, None, &config, "one", Force::No).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (400, want));
    }
}

#[test]
fn an_object_without_owners_gets_one_for_what_is_there() {
    let kind = kind("apps", "deployments");
    let mut live = served(&kind, deployment(2));
    crate::meta::set(&mut live, "uid", "u");
    let error = apply(&kind, &live, &deployment(3), "kubectl").unwrap_err();
    assert!(
        error.message.contains("\"before-first-apply\" using apps/v1: .spec.replicas"),
        "{}",
        error.message
    );
    let same = apply(&kind, &live, &deployment(2), "kubectl").unwrap();
    let managers: Vec<Value> = entries(&same).iter().map(|e| e["manager"].clone()).collect();
    assert_eq!(managers, ["kubectl", "before-first-apply"]);
}

#[test]
fn kubectl_takes_over_what_it_applied_from_the_client() {
    let kind = kind("apps", "deployments");
    let key = "kubectl.kubernetes.io/last-applied-configuration";
    let mut object = deployment(2);
    object["metadata"]["annotations"] = json!({ key: deployment(2).to_string() });
    let live = created(&kind, &object, "kubectl-client-side-apply");
    let applied = apply(&kind, &live, &deployment(3), "kubectl").unwrap();
    assert_eq!(applied["spec"]["replicas"], 3);
    let annotation = applied["metadata"]["annotations"][key].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(annotation).unwrap(), deployment(3));
    assert!(annotation.ends_with('\n'));
    assert_eq!(apply(&kind, &live, &deployment(3), "other").unwrap_err().code, 409);
    // What somebody else changed since is a conflict for kubectl, too.
    let mut changed = live.clone();
    changed["spec"]["replicas"] = json!(7);
    let changed = updated(&kind, &live, &changed, "autoscaler", 5);
    let error = apply(&kind, &changed, &deployment(3), "kubectl").unwrap_err();
    assert!(error.message.contains("conflict with \"autoscaler\""), "{}", error.message);
}

#[test]
fn order_of_items_follows_the_configuration_where_it_says_one() {
    let kind = kind("", "pods");
    let pod = |names: &[&str]| {
        let containers: Vec<Value> = names.iter().map(|n| json!({ "name": n })).collect();
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p" }, "spec": { "containers": containers } })
    };
    let names = |object: &Value| -> String {
        let containers = object["spec"]["containers"].as_array().unwrap();
        containers.iter().map(|c| c["name"].as_str().unwrap()).collect()
    };
    let table = [
        ("abc", "b", "abc"),
        ("abc", "cb", "acb"),
        ("abc", "bd", "abcd"),
        ("abc", "dca", "bdca"),
        ("ab", "cab", "cab"),
    ];
    for (live, config, want) in table {
        let split = |text: &'static str| -> Vec<&str> { text.split("").filter(|t| !t.is_empty()).collect() };
        let live = applied_by(&kind, None, &pod(&split(live)), "one", Force::No).unwrap();
        let merged = apply(&kind, &live, &pod(&split(config)), "two").unwrap();
        assert_eq!(names(&merged), want, "{config}");
    }
}

#[test]
fn scale_is_owned_like_the_replicas_of_the_object() {
    let kind = kind("apps", "deployments");
    let live = applied_by(&kind, None, &deployment(2), "one", Force::No).unwrap();
    let scale = |n: i64| json!({ "apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": { "name": "web" }, "spec": { "replicas": n } });
    let writer = Writer { manager: "hpa", subresource: "scale", reset: Reset::Nothing, now: at(9) };
    let error = apply_scale(&kind, &live, &scale(5), writer, Force::No).unwrap_err();
    assert_eq!(error.message, "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas");
    let (applied, entries) = apply_scale(&kind, &live, &scale(5), writer, Force::Yes).unwrap();
    assert_eq!(applied["spec"]["replicas"], 5);
    let mut next = live.clone();
    next["spec"]["replicas"] = json!(5);
    next["metadata"]["managedFields"] = entries.unwrap();
    assert!(fields(&next, "one")["f:spec"].get("f:replicas").is_none());
    let hpa = self::entries(&next).into_iter().find(|e| e["manager"] == "hpa").unwrap();
    assert_eq!((&hpa["subresource"], &hpa["apiVersion"]), (&json!("scale"), &json!("apps/v1")));
    assert_eq!(hpa["fieldsV1"], json!({ "f:spec": { "f:replicas": {} } }));
    // The same again is no conflict and changes no owner.
    let (again, _) = apply_scale(&kind, &next, &scale(5), writer, Force::No).unwrap();
    assert_eq!(again["spec"]["replicas"], 5);
}
