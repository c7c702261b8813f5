//! Custom kinds: served at once, on the same path as built-in ones, cleaned up when their definition goes.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Server, server};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const WIDGETS: &str = "/apis/test.dev/v1/namespaces/default/widgets";

fn schema() -> Value {
    json!({
        "openAPIV3Schema": {
            "type": "object",
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["size"],
                    "properties": {
                        "size": { "type": "integer", "minimum": 1 },
                        "replicas": { "type": "integer", "default": 1 },
                        "color": { "type": "string", "enum": ["red", "blue"], "default": "red" },
                    },
                },
                "status": { "type": "object", "properties": { "replicas": { "type": "integer" } } },
            },
        },
    })
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "widgets.test.dev" },
        "spec": {
            "group": "test.dev", "scope": "Namespaced",
            "names": { "plural": "widgets", "kind": "Widget", "shortNames": ["wd"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": schema(),
                "subresources": {
                    "status": {},
                    "scale": { "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas" },
                },
                "additionalPrinterColumns": [{ "name": "Size", "type": "integer", "jsonPath": ".spec.size" }],
            }],
        },
    })
}

fn widget(name: &str, size: i64) -> Value {
    json!({ "apiVersion": "test.dev/v1", "kind": "Widget", "metadata": { "name": name }, "spec": { "size": size } })
}

async fn gone(server: &Server, path: &str) {
    for _ in 0..400 {
        if server.get(path).await.code == 404 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{path} is still there");
}

#[tokio::test]
async fn our_own_kinds_are_there_from_the_start() {
    let server = server().await;
    for plural in ["imagereports", "patchcampaigns", "reapolicies", "reappolicies", "reaprecords"] {
        let known = server.get(&format!("/apis/konzert.dev/v1alpha1/{plural}")).await.code == 200;
        assert_eq!(known, plural != "reapolicies", "{plural}");
    }
}

#[tokio::test]
async fn a_definition_is_served_at_once_and_defaults_prunes_and_validates() {
    let server = server().await;
    server.get(WIDGETS).await.expect(404);
    let created = server.post(DEFINITIONS, &definition()).await.expect(201);
    let conditions = created["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "Established" && c["status"] == "True"), "{created}");

    let mut object = widget("a", 3);
    object["spec"]["unknown"] = json!(true);
    let answer = server.post(WIDGETS, &object).await;
    assert!(answer.header("warning").contains("unknown field"), "{}", answer.header("warning"));
    let stored = answer.expect(201);
    assert_eq!(stored["spec"], json!({ "size": 3, "replicas": 1, "color": "red" }));
    assert_eq!(stored["metadata"]["generation"], 1);
    for bad in
        [json!({}), json!({ "size": 0 }), json!({ "size": "x" }), json!({ "size": 1, "color": "green" })]
    {
        let mut object = widget("b", 1);
        object["spec"] = bad.clone();
        assert_eq!(server.post(WIDGETS, &object).await.expect(422)["reason"], "Invalid", "{bad}");
    }
    let list = server.get(WIDGETS).await.expect(200);
    assert_eq!((&list["kind"], &list["items"]), (&json!("WidgetList"), &json!([stored])));

    let discovery = server.get("/apis/test.dev/v1").await.expect(200);
    assert_eq!(discovery["resources"][0]["shortNames"], json!(["wd"]));
    let strategic = server.patch(&format!("{WIDGETS}/a"), "strategic", &json!({})).await;
    assert_eq!(strategic.code, 415);
    server.put(&format!("{WIDGETS}/a"), &widget("a", 4)).await.expect(422);
    let openapi = server.get("/openapi/v3/apis/test.dev/v1").await.expect(200);
    assert!(openapi["components"]["schemas"].get("dev.test.v1.Widget").is_some());

    let server = server.restart().await;
    assert_eq!(server.get(&format!("{WIDGETS}/a")).await.expect(200), stored);
}

#[tokio::test]
async fn status_and_scale_of_a_custom_kind() {
    let server = server().await;
    server.post(DEFINITIONS, &definition()).await.expect(201);
    server.post(WIDGETS, &widget("a", 3)).await.expect(201);
    let path = format!("{WIDGETS}/a");
    let both = json!({ "spec": { "size": 9 }, "status": { "replicas": 7 } });
    let main = server.patch(&path, "merge", &both).await.expect(200);
    assert_eq!((&main["spec"]["size"], main.get("status")), (&json!(9), None));
    let status = server.patch(&format!("{path}/status"), "merge", &both).await.expect(200);
    assert_eq!(status["status"]["replicas"], 7);
    assert_eq!(status["metadata"]["generation"], 2);
    let scale = server.get(&format!("{path}/scale")).await.expect(200);
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(1), &json!(7)));
    let scale = server.patch(&format!("{path}/scale"), "merge", &json!({ "spec": { "replicas": 4 } })).await;
    assert_eq!(scale.expect(200)["spec"]["replicas"], 4);
    assert_eq!(server.get(&path).await.expect(200)["spec"]["replicas"], 4);
}

#[tokio::test]
async fn several_versions_are_one_object() {
    let server = server().await;
    let mut two = definition();
    let mut second = two["spec"]["versions"][0].clone();
    second["name"] = json!("v2");
    second["storage"] = json!(false);
    two["spec"]["versions"].as_array_mut().unwrap().push(second);
    server.post(DEFINITIONS, &two).await.expect(201);
    let mut object = widget("a", 3);
    object["apiVersion"] = json!("test.dev/v2");
    let other = WIDGETS.replace("/v1/", "/v2/");
    let created = server.post(&other, &object).await.expect(201);
    assert_eq!(created["apiVersion"], "test.dev/v2");
    let first = server.get(&format!("{WIDGETS}/a")).await.expect(200);
    assert_eq!(first["apiVersion"], "test.dev/v1");
    assert_eq!(first["metadata"], created["metadata"]);
    assert_eq!(server.get(&other).await.expect(200)["items"][0]["apiVersion"], "test.dev/v2");
    assert_eq!(server.put(&format!("{WIDGETS}/a"), &first).await.expect(200), first);
}

#[tokio::test]
async fn a_deleted_definition_takes_its_objects_with_it() {
    let server = server().await;
    server.post(DEFINITIONS, &definition()).await.expect(201);
    server.post(WIDGETS, &widget("a", 3)).await.expect(201);
    let mut held = widget("held", 3);
    held["metadata"]["finalizers"] = json!(["test.dev/hold"]);
    server.post(WIDGETS, &held).await.expect(201);
    let path = format!("{DEFINITIONS}/widgets.test.dev");
    let marked = server.delete(&path, &json!({})).await.expect(200);
    assert!(marked["metadata"]["deletionTimestamp"].is_string());
    gone(&server, &format!("{WIDGETS}/a")).await;
    let refused = server.post(WIDGETS, &widget("late", 1)).await;
    assert_eq!(refused.code, 405, "{}", refused.text());
    server.get(&path).await.expect(200);
    let free = json!({ "metadata": { "finalizers": null } });
    server.patch(&format!("{WIDGETS}/held"), "merge", &free).await.expect(200);
    gone(&server, &path).await;
    gone(&server, WIDGETS).await;
    server.post(DEFINITIONS, &definition()).await.expect(201);
    assert_eq!(server.get(WIDGETS).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn bad_definitions() {
    let server = server().await;
    let change = |pointer: &str, value: Value| {
        let mut bad = definition();
        *bad.pointer_mut(pointer).unwrap() = value;
        bad
    };
    let mut cel = schema();
    cel["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] = json!([{ "rule": "tru" }]);
    for bad in [
        change("/metadata/name", json!("gadgets.test.dev")),
        change("/spec/scope", json!("Everywhere")),
        change("/spec/versions", json!([])),
        change("/spec/versions/0/schema", cel),
        change("/spec/group", json!("apps")),
    ] {
        let answer = server.post(DEFINITIONS, &bad).await;
        assert_eq!(answer.code, 422, "{bad} {}", answer.text());
    }
    server.post(DEFINITIONS, &definition()).await.expect(201);
}
