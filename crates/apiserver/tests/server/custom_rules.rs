//! Custom kinds in depth: rules, ratcheting, versions, selectable fields, columns, names in conflict, approval.

use serde_json::{Value, json};

use crate::support::{Server, server};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const GEARS: &str = "/apis/rules.dev/v1/namespaces/default/gears";

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["teeth"],
                "x-kubernetes-validations": [
                    { "rule": "self.teeth <= self.limit", "message": "too many teeth" },
                    { "rule": "self.teeth >= oldSelf.teeth", "message": "teeth do not grow back" },
                ],
                "properties": {
                    "teeth": { "type": "integer" },
                    "limit": { "type": "integer", "default": 100 },
                    "metal": { "type": "string", "maxLength": 10 },
                },
            },
        },
    })
}

fn definition() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "gears.rules.dev" },
        "spec": {
            "group": "rules.dev", "scope": "Namespaced",
            "names": { "plural": "gears", "kind": "Gear", "shortNames": ["gr"] },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": schema() },
                "selectableFields": [{ "jsonPath": ".spec.metal" }],
                "additionalPrinterColumns": [
                    { "name": "Teeth", "type": "integer", "jsonPath": ".spec.teeth" },
                    { "name": "Metal", "type": "string", "jsonPath": ".spec.metal", "priority": 1 },
                ],
            }],
        },
    })
}

fn gear(name: &str, teeth: i64, metal: &str) -> Value {
    json!({
        "apiVersion": "rules.dev/v1", "kind": "Gear", "metadata": { "name": name },
        "spec": { "teeth": teeth, "metal": metal },
    })
}

fn named(plural: &str, kind: &str) -> Value {
    let mut other = definition();
    other["metadata"]["name"] = json!(format!("{plural}.rules.dev"));
    other["spec"]["names"] = json!({ "plural": plural, "kind": kind });
    other
}

fn condition(definition: &Value, kind: &str) -> String {
    let all = definition["status"]["conditions"].as_array().unwrap();
    let found = all.iter().find(|c| c["type"] == kind);
    found.map_or_else(String::new, |c| {
        format!(
            "{} {}: {}",
            c["status"].as_str().unwrap(),
            c["reason"].as_str().unwrap(),
            c["message"].as_str().unwrap()
        )
    })
}

async fn message(server: &Server, method: &str, path: &str, body: &Value) -> String {
    let answer = match method {
        "post" => server.post(path, body).await,
        _ => server.patch(path, "merge", body).await,
    };
    answer.expect(422)["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn rules_hold_on_create_and_update() {
    let server = server().await;
    server.post(DEFINITIONS, &definition()).await.expect(201);
    assert_eq!(
        message(&server, "post", GEARS, &gear("a", 101, "iron")).await,
        "Gear.rules.dev \"a\" is invalid: spec: Invalid value: too many teeth"
    );
    server.post(GEARS, &gear("a", 10, "iron")).await.expect(201);
    let path = format!("{GEARS}/a");
    assert_eq!(
        message(&server, "patch", &path, &json!({ "spec": { "teeth": 9 } })).await,
        "Gear.rules.dev \"a\" is invalid: spec: Invalid value: teeth do not grow back"
    );
    assert_eq!(
        message(&server, "patch", &path, &json!({ "spec": { "teeth": "x" } })).await,
        "Gear.rules.dev \"a\" is invalid: [spec.teeth: Invalid value: \"string\": spec.teeth in body must be of type \
         integer: \"string\", <nil>: Invalid value: null: some validation rules were not checked because the object \
         was invalid; correct the existing errors to complete validation]"
    );
    server.patch(&path, "merge", &json!({ "spec": { "teeth": 11 } })).await.expect(200);
    assert_eq!(server.get(&path).await.expect(200)["spec"]["teeth"], 11);
}

#[tokio::test]
async fn a_tighter_definition_leaves_old_objects_alone() {
    let server = server().await;
    server.post(DEFINITIONS, &definition()).await.expect(201);
    server.post(GEARS, &gear("a", 10, "iron")).await.expect(201);
    let mut tight = server.get(&format!("{DEFINITIONS}/gears.rules.dev")).await.expect(200);
    let properties = &mut tight["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    properties["properties"]["metal"] = json!({ "type": "string", "maxLength": 10, "enum": ["brass"] });
    properties["properties"]["finish"] = json!({ "type": "string", "default": "matt", "maxLength": 10 });
    properties["x-kubernetes-validations"] = json!([{ "rule": "self.teeth > 20" }]);
    server.put(&format!("{DEFINITIONS}/gears.rules.dev"), &tight).await.expect(200);
    let path = format!("{GEARS}/a");
    // What was stored before has the new default when it is read.
    assert_eq!(server.get(&path).await.expect(200)["spec"]["finish"], "matt");
    assert_eq!(server.get(GEARS).await.expect(200)["items"][0]["spec"]["finish"], "matt");
    let label = json!({ "metadata": { "labels": { "seen": "yes" } } });
    server.patch(&path, "merge", &label).await.expect(200);
    assert_eq!(
        message(&server, "patch", &path, &json!({ "spec": { "teeth": 12 } })).await,
        "Gear.rules.dev \"a\" is invalid: spec: Invalid value: failed rule: self.teeth > 20"
    );
    server.patch(&path, "merge", &json!({ "spec": { "teeth": 21 } })).await.expect(200);
    assert!(
        message(&server, "patch", &path, &json!({ "spec": { "metal": "gold" } }))
            .await
            .contains("Unsupported value")
    );
}

#[tokio::test]
async fn a_second_version_becomes_the_stored_one() {
    let server = server().await;
    server.post(DEFINITIONS, &definition()).await.expect(201);
    server.post(GEARS, &gear("a", 10, "iron")).await.expect(201);
    let path = format!("{DEFINITIONS}/gears.rules.dev");
    let mut two = server.get(&path).await.expect(200);
    let mut second = two["spec"]["versions"][0].clone();
    second["name"] = json!("v2");
    second["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["only"] =
        json!({ "type": "string", "default": "v2", "maxLength": 5 });
    two["spec"]["versions"][0]["storage"] = json!(false);
    two["spec"]["versions"].as_array_mut().unwrap().push(second);
    let two = server.put(&path, &two).await.expect(200);
    assert_eq!(two["status"]["storedVersions"], json!(["v1", "v2"]));
    let seen = format!("{}/a", GEARS.replace("/v1/", "/v2/"));
    let new = server.get(&seen).await.expect(200);
    // Defaults are those of the version in which the object was written.
    assert_eq!((&new["apiVersion"], new["spec"].get("only")), (&json!("rules.dev/v2"), None));
    let label = json!({ "metadata": { "labels": { "written": "again" } } });
    server.patch(&format!("{GEARS}/a"), "merge", &label).await.expect(200);
    let new = server.get(&seen).await.expect(200);
    assert_eq!((&new["apiVersion"], &new["spec"]["only"]), (&json!("rules.dev/v2"), &json!("v2")));
    let old = server.get(&format!("{GEARS}/a")).await.expect(200);
    assert_eq!((&old["apiVersion"], old["spec"].get("only")), (&json!("rules.dev/v1"), None));

    let mut dropped = two.clone();
    dropped["spec"]["versions"].as_array_mut().unwrap().remove(0);
    let refused = server.put(&path, &dropped).await.expect(422);
    assert!(
        refused["message"].as_str().unwrap().contains("missing from spec.versions; v1 was previously"),
        "{refused}"
    );
    let migrated = json!({ "status": { "storedVersions": ["v2"] } });
    let two = server.patch(&format!("{path}/status"), "merge", &migrated).await.expect(200);
    let mut dropped = two.clone();
    dropped["spec"]["versions"].as_array_mut().unwrap().remove(0);
    server.put(&path, &dropped).await.expect(200);
    server.get(GEARS).await.expect(404);
    let refused = server
        .patch(&format!("{path}/status"), "merge", &json!({ "status": { "storedVersions": [] } }))
        .await;
    assert_eq!(refused.code, 422);
    let webhook = json!({ "spec": { "conversion": { "strategy": "Webhook" } } });
    assert!(
        message(&server, "patch", &path, &webhook).await.contains("conversion by webhook is not supported")
    );
}

#[tokio::test]
async fn fields_select_in_lists_and_watches() {
    let server = server().await;
    server.post(DEFINITIONS, &definition()).await.expect(201);
    let mut events = server
        .watch(&format!("{GEARS}?watch=true&fieldSelector=spec.metal%3Diron"), "application/json")
        .await;
    for (name, metal) in [("a", "iron"), ("b", "brass"), ("c", "iron")] {
        server.post(GEARS, &gear(name, 1, metal)).await.expect(201);
    }
    let names = |list: &Value| {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|i| i["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = server.get(&format!("{GEARS}?fieldSelector=spec.metal%3Diron")).await.expect(200);
    assert_eq!(names(&list), ["a", "c"]);
    let list = server.get(&format!("{GEARS}?fieldSelector=spec.metal%21%3Diron")).await.expect(200);
    assert_eq!(names(&list), ["b"]);
    server.get(&format!("{GEARS}?fieldSelector=spec.teeth%3D1")).await.expect(400);
    assert_eq!((events.brief().await, events.brief().await), ("ADDED a".to_owned(), "ADDED c".to_owned()));
    server.patch(&format!("{GEARS}/a"), "merge", &json!({ "spec": { "metal": "brass" } })).await.expect(200);
    server.patch(&format!("{GEARS}/b"), "merge", &json!({ "spec": { "metal": "iron" } })).await.expect(200);
    assert_eq!((events.brief().await, events.brief().await), ("DELETED a".to_owned(), "ADDED b".to_owned()));
    let openapi = server.get("/openapi/v3/apis/rules.dev/v1").await.expect(200);
    assert_eq!(
        openapi["components"]["schemas"]["dev.rules.v1.Gear"]["x-kubernetes-selectable-fields"],
        json!([{ "fieldPath": "spec.metal" }])
    );
}

#[tokio::test]
async fn columns_and_their_priority() {
    let server = server().await;
    server.post(DEFINITIONS, &definition()).await.expect(201);
    server.post(GEARS, &gear("a", 7, "iron")).await.expect(201);
    let table = server
        .call("GET", GEARS, &[("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")], Vec::new())
        .await
        .expect(200);
    let columns: Vec<(&str, i64)> = table["columnDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["priority"].as_i64().unwrap()))
        .collect();
    assert_eq!(columns, [("Name", 0), ("Teeth", 0), ("Metal", 1)]);
    assert_eq!(table["rows"][0]["cells"], json!(["a", 7, "iron"]));
}

#[tokio::test]
async fn names_in_conflict_wait_until_they_are_free() {
    let server = server().await;
    server.post(DEFINITIONS, &definition()).await.expect(201);
    let twin = server.post(DEFINITIONS, &named("cogs", "Gear")).await.expect(201);
    assert_eq!(condition(&twin, "NamesAccepted"), "False ListKindConflict: \"GearList\" is already in use");
    assert_eq!(condition(&twin, "Established"), "False NotAccepted: not all names are accepted");
    server.get("/apis/rules.dev/v1/namespaces/default/cogs").await.expect(404);
    let mut short = named("wheels", "Wheel");
    short["spec"]["names"]["shortNames"] = json!(["gr"]);
    let short = server.post(DEFINITIONS, &short).await.expect(201);
    assert_eq!(condition(&short, "NamesAccepted"), "False ShortNamesConflict: \"gr\" is already in use");
    assert_eq!(short["status"]["acceptedNames"]["kind"], "Wheel");

    server.delete(&format!("{DEFINITIONS}/gears.rules.dev"), &json!({})).await.expect(200);
    for _ in 0..400 {
        let twin = server.get(&format!("{DEFINITIONS}/cogs.rules.dev")).await.expect(200);
        let served = server.get("/apis/rules.dev/v1/namespaces/default/cogs").await.code == 200;
        if served && condition(&twin, "NamesAccepted") == "True NoConflicts: no conflicts found" {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("the name never became free");
}

#[tokio::test]
async fn names_of_built_in_kinds_are_taken() {
    let server = server().await;
    let mut clash = definition();
    clash["metadata"] = json!({
        "name": "ingresses.discovery.k8s.io",
        "annotations": { "api-approved.kubernetes.io": "unapproved, a test" },
    });
    clash["metadata"]["name"] = json!("endpointslices.discovery.k8s.io");
    clash["spec"]["group"] = json!("discovery.k8s.io");
    clash["spec"]["names"] = json!({ "plural": "endpointslices", "kind": "EndpointSlice" });
    let clash = server.post(DEFINITIONS, &clash).await.expect(201);
    assert!(condition(&clash, "NamesAccepted").starts_with("False "), "{clash}");
    assert_eq!(
        condition(&clash, "KubernetesAPIApprovalPolicyConformant"),
        "False UnapprovedAnnotation: not approved: \"unapproved, a test\""
    );
}

#[tokio::test]
async fn community_groups_want_an_approval() {
    let server = server().await;
    let with = |annotation: Option<&str>| {
        let mut crd = definition();
        crd["metadata"]["name"] = json!("gears.rules.k8s.io");
        crd["spec"]["group"] = json!("rules.k8s.io");
        if let Some(text) = annotation {
            crd["metadata"]["annotations"] = json!({ "api-approved.kubernetes.io": text });
        }
        crd
    };
    let missing = message(&server, "post", DEFINITIONS, &with(None)).await;
    assert!(
        missing
            .contains("metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups"),
        "{missing}"
    );
    let odd = message(&server, "post", DEFINITIONS, &with(Some("yes"))).await;
    assert!(
        odd.contains("with either a URL or a reason starting with \\\"unapproved\\\"")
            || odd.contains("either a URL"),
        "{odd}"
    );
    let url = "https://github.com/kubernetes/enhancements/pull/1";
    let fine = server.post(DEFINITIONS, &with(Some(url))).await.expect(201);
    assert_eq!(
        condition(&fine, "KubernetesAPIApprovalPolicyConformant"),
        format!("True ApprovedAnnotation: approved in {url}")
    );
}

#[tokio::test]
async fn rules_with_errors_and_large_definitions_are_refused() {
    let server = server().await;
    let mut bad = definition();
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{ "rule": "self.nothing > 1" }]);
    let text = message(&server, "post", DEFINITIONS, &bad).await;
    let path =
        "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule: Invalid value: ";
    assert!(text.contains(path), "{text}");
    assert!(text.contains("compilation failed: ERROR: <input>:1:5: undefined field 'nothing'"), "{text}");
    let mut huge = definition();
    let names: Vec<String> = (0..400_000).map(|n| format!("v{n}")).collect();
    huge["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["metal"]["enum"] =
        json!(names);
    let answer = server.post(DEFINITIONS, &huge).await;
    assert!([413, 422].contains(&answer.code), "{}", answer.code);
    let mut deep = json!({ "type": "object" });
    for _ in 0..70 {
        deep = json!({ "type": "object", "properties": { "a": deep } });
    }
    let mut nested = definition();
    nested["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = deep;
    let answer = server.post(DEFINITIONS, &nested).await;
    assert!([400, 422].contains(&answer.code), "{}", answer.code);
    server.get(GEARS).await.expect(404);
}
